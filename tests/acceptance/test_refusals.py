"""A cluster refuses batches that no node can run, and names that are taken."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from acceptance.lab import Lab, command_batch, job_folders, open_lab
from distribute.core.ids import JobId

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    nodes = {
        "small": ["--cpus", "2", "--memory-bytes", str(1 << 30), "--capability", "compiler"],
        "smaller": ["--cpus", "1", "--memory-bytes", str(1 << 30), "--capability", "openfoam"],
    }
    async with open_lab(tmp_path_factory.mktemp("refusals") / "lab", nodes) as lab:
        yield lab


def one_job(name: str, text: str) -> dict[str, object]:
    """A batch whose job leaves a file of the name `text`."""
    return command_batch(name, {"job": f"echo {text} > distribute_save/{text}; echo {text}"})


async def test_a_capability_that_no_node_has_is_refused(lab: Lab) -> None:
    refused = await lab.add(command_batch("lab/x", {"job": "true"}, capabilities=["quantum"]), code=4)
    assert "no node has the capability quantum" in refused.err
    assert "compiler" in refused.err
    assert "openfoam" in refused.err
    assert "--anyway" in refused.err
    await lab.distribute("status", "lab/x", code=4)


async def test_capabilities_that_no_single_node_has_are_refused(lab: Lab) -> None:
    batch = command_batch("lab/x", {"job": "true"}, capabilities=["compiler", "openfoam"])
    assert "no single node has all of: compiler, openfoam" in (await lab.add(batch, code=4)).err


@pytest.mark.parametrize(
    ("resources", "told"),
    [
        ({"cpus": 3}, "no node has 3 cpus for one job; the largest has 2 cpus"),
        ({"memory": "2G"}, "no node has 1 cpu and 2G for one job; the largest has 2 cpus and 1G"),
        ({"gpus": 1000}, "no node has 1 cpu and 1000 GPUs for one job; the largest has 2 cpus and 0 GPUs"),
    ],
)
async def test_resources_larger_than_any_node_are_refused(
    lab: Lab, resources: dict[str, object], told: str
) -> None:
    batch = command_batch("lab/x", {"fits": "true", "large": {"command": "true", "resources": resources}})
    refused = (await lab.add(batch, code=4)).err
    assert f"{told}. Ask for less under 'resources', or submit it with --anyway" in refused


async def test_a_batch_submitted_anyway_waits_says_why_and_runs_when_a_node_joins(lab: Lab) -> None:
    batch = command_batch("lab/later", {"job": "echo $DISTRIBUTE_NODE"}, capabilities=["quantum"])
    added = await lab.add(batch, "--anyway")
    assert "no node has the capability quantum" in added.err
    why = await lab.ask("why", namespace="lab", batch="later", job="job")
    assert (why["state"], why["summary"]) == ("queued", "waits: no node could ever run it")
    assert {(node["node"], node["text"]) for node in why["nodes"]} == {
        ("small", "lacks capabilities: quantum"),
        ("smaller", "lacks capabilities: quantum"),
    }
    lab.processes.add_node("quantum box", ["--cpus", "1", "--capability", "quantum"])
    lab.processes.start("quantum box")
    await lab.over("lab/later")
    assert (await lab.distribute("logs", "lab/later/job")).out == "quantum box\n"


async def test_a_name_that_is_taken_is_refused(lab: Lab) -> None:
    await lab.add(one_job("lab/taken", "first"))
    refused = (await lab.add(one_job("lab/taken", "second"), code=4)).err
    assert "there is a batch lab/taken already" in refused
    assert all(way in refused for way in ("another batch_name", "--replace", "distribute delete lab/taken"))
    await lab.over("lab/taken")
    folder, _ = await lab.pull("lab/taken")
    assert_only(folder, "first")


async def test_replacing_a_running_batch_ends_it_first(lab: Lab) -> None:
    running = {
        "job": "echo old > distribute_save/old; sleep 1000",
        "gone": "echo old > distribute_save/old",
        "waits": {"command": "true", "resources": {"cpus": 2}},
    }
    await lab.add(command_batch("lab/replaced", running))
    await lab.event("started", batch="lab/replaced", where=lambda event: event.job == "job")
    await lab.event("finished", batch="lab/replaced", where=lambda event: event.job == "gone")
    replaced = await lab.add(one_job("lab/replaced", "new"), "--replace", "--yes")
    assert "lab/replaced is submitted: 1 job\n" in replaced.out
    seq = (await lab.event("deleted", batch="lab/replaced")).seq
    assert lab.job_processes("small") == []
    assert lab.job_processes("smaller") == []
    await lab.over("lab/replaced", after=seq)
    folder, _ = await lab.pull("lab/replaced")
    assert_only(folder, "new")
    assert (await lab.distribute("logs", "lab/replaced/job")).out == "new\n"


async def test_a_deleted_name_is_free_and_its_results_never_come_back(lab: Lab) -> None:
    await lab.add(one_job("lab/again", "first"))
    await lab.over("lab/again")
    await lab.distribute("delete", "--yes", "lab/again")
    seq = (await lab.event("deleted", batch="lab/again")).seq
    await lab.add(one_job("lab/again", "second"))
    await lab.over("lab/again", after=seq)
    folder, _ = await lab.pull("lab/again")
    assert_only(folder, "second")


async def test_logs_follow_the_batch_that_has_the_name_now(lab: Lab) -> None:
    gates = [lab.folder / f"gate {text}" for text in ("old", "new")]
    old, new = (
        command_batch("lab/told", {"job": f"echo {gate.name}; until test -e '{gate}'; do sleep 0.05; done"})
        for gate in gates
    )
    await lab.add(old)
    async with aclosing(lab.cluster.live.follow(JobId("lab", "told", "job"), 1)) as live:
        assert await anext(live) == b"gate old\n"
        gates[0].touch()
        await lab.over("lab/told")
        await lab.distribute("delete", "--yes", "lab/told")
        seq = (await lab.event("deleted", batch="lab/told")).seq
        await lab.add(new)
        assert await anext(live) == b"gate new\n"
    await lab.event("started", batch="lab/told", after=seq)
    assert (await lab.distribute("logs", "lab/told/job")).out == "gate new\n"
    following = asyncio.create_task(lab.distribute("logs", "-f", "lab/told/job"))
    done, _ = await asyncio.wait([following], timeout=3)  # it must not end with the old batch
    assert not done
    gates[1].touch()
    assert (await following).out == "gate new\n"


async def test_removing_an_old_batch_late_leaves_the_results_of_a_new_one_of_its_name(lab: Lab) -> None:
    """While the archiver is down, a batch is deleted, and a new one of the same name runs and ends."""
    await lab.add(one_job("lab/late", "first"))
    await lab.over("lab/late")
    lab.processes.end("archiver", signal.SIGKILL)
    await lab.distribute("delete", "--yes", "lab/late")
    seq = (await lab.event("deleted", batch="lab/late")).seq
    await lab.add(one_job("lab/late", "second"))
    await lab.event("finished", batch="lab/late", after=seq)
    lab.processes.start("archiver")
    await lab.over("lab/late", after=seq)
    folder, _ = await lab.pull("lab/late")
    assert_only(folder, "second")


def assert_only(folder: Path, text: str) -> None:
    """Check that the folder has the results of `one_job` with this text, and nothing else."""
    assert [path.name for path in job_folders(folder)] == ["job"]
    assert {path.name for path in (folder / "job").iterdir()} == {text, "stdout.txt"}
    assert (folder / "job" / text).read_text() == f"{text}\n"
    assert (folder / "job" / "stdout.txt").read_text() == f"{text}\n"


@pytest.mark.parametrize("verb", ["status", "wait", "pull", "kill", "delete"])
async def test_an_unknown_batch_is_refused(lab: Lab, verb: str) -> None:
    options = ["--yes"] if verb == "delete" else []
    refused = await lab.distribute(verb, "lab/nowhere", *options, code=4)
    assert refused.err == (
        "distribute: there is no batch lab/nowhere; `distribute status` lists those there are\n"
    )
