"""Batches that are killed, or whose build fails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from acceptance.lab import PATIENCE_S, Lab, command_batch, open_lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

STUBBORN = "trap '' TERM; (trap '' TERM; sleep 1000) & echo began; while :; do sleep 1; done"


async def began(lab: Lab, batch: str, job: str) -> None:
    """Wait until a stubborn job ignores SIGTERM and has printed: it counts as started before it has."""
    follower = await lab.start("logs", "-f", f"{batch}/{job}")
    await follower.until("began")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    nodes = {
        "one": ["--cpus", "2", "--grace-s", "1", "--capability", "one"],
        "other": ["--cpus", "2", "--grace-s", "1"],
    }
    async with open_lab(tmp_path_factory.mktemp("ends") / "lab", nodes) as lab:
        yield lab


async def test_a_running_batch_can_be_killed(lab: Lab) -> None:
    """Jobs that ignore SIGTERM are killed, waiting ones are dropped, and what was left can be pulled."""
    jobs = {
        "done": "echo done > distribute_save/done",
        "stubborn": STUBBORN,
        "waits": {"command": "true", "resources": {"cpus": 2}},
    }
    await lab.add(command_batch("lab/running", jobs, capabilities=["one"]))
    await lab.event("job_archived", batch="lab/running")
    await began(lab, "lab/running", "stubborn")
    assert len(lab.job_processes("one")) >= 2
    killed = await lab.distribute("kill", "lab/running")
    assert killed.out == "lab/running is being killed: 1 running job and 1 waiting job\n"
    waited = await lab.distribute("wait", "lab/running", code=1)
    assert waited.out == "lab/running killed by jane: 2 of 3 jobs killed\n"
    assert lab.job_processes("one") == [], "a killed job has its cores until its processes are gone"
    folder, _ = await lab.pull("lab/running")
    assert (folder / "done" / "done").read_text() == "done\n"
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"done", "stubborn"}
    assert (folder / "stubborn" / "stdout.txt").read_text() == "began\n"
    logs = await lab.distribute("logs", "lab/running/stubborn")
    assert (logs.out, logs.err) == ("began\n", "lab/running/stubborn was killed by jane\n")
    shown = (await lab.distribute("status", "lab/running")).out
    assert "killed by jane, " in shown.splitlines()[3], shown
    stubborn = (await lab.jobs("lab/running"))["stubborn"]
    assert (stubborn["state"], stubborn["node"], stubborn["signal"]) == ("killed", "one", 9)
    assert (stubborn["killed_by"], stubborn["archived"]) == ("jane", True)
    assert None not in [stubborn[time] for time in ("killed_at", "started_at", "finished_at", "wall_s")]
    assert "is over" in (await lab.distribute("kill", "lab/running", code=4)).err


async def test_one_job_can_be_killed(lab: Lab) -> None:
    gate = lab.folder / "one job"
    jobs = {"stubborn": STUBBORN, "other": f"until test -e '{gate}'; do sleep 0.05; done; echo told"}
    await lab.add(command_batch("lab/one of two", jobs))
    await lab.event("started", batch="lab/one of two", where=lambda event: event.job == "other")
    await began(lab, "lab/one of two", "stubborn")
    await lab.distribute("kill", "lab/one of two/stubborn")
    await lab.event("finished", batch="lab/one of two")
    gate.touch()
    waited = await lab.distribute("wait", "lab/one of two", code=1)
    assert waited.out == "lab/one of two failed: 1 of 2 jobs killed\n"
    states = {job: view["state"] for job, view in (await lab.jobs("lab/one of two")).items()}
    assert states == {"stubborn": "killed", "other": "succeeded"}
    folder, _ = await lab.pull("lab/one of two")
    assert (folder / "other" / "stdout.txt").read_text() == "told\n"
    assert (folder / "stubborn" / "stdout.txt").read_text() == "began\n"


async def test_a_waiting_batch_can_be_killed(lab: Lab) -> None:
    await lab.add(command_batch("lab/waiting", {"job": "true"}, capabilities=["no such"]), "--anyway")
    await lab.distribute("kill", "waiting")
    assert (await lab.distribute("wait", "lab/waiting", code=1)).out.startswith(
        "lab/waiting killed by jane: 1 of 1 job killed"
    )
    assert await lab.events("assigned", batch="lab/waiting") == []


async def test_failed_jobs_are_named_with_what_they_printed_last(lab: Lab) -> None:
    jobs = {"fine": "true", "no room": "echo in f; echo 'no room' >&2; exit 3", "killed": "kill -9 $$"}
    await lab.add(command_batch("lab/fails", jobs, capabilities=["one"]))
    named = (
        "  no room (exit 3 on one)\n    no room\n    distribute logs 'lab/fails/no room'\n"
        "  killed (SIGKILL on one)\n    distribute logs lab/fails/killed\n"
    )
    for verb in ("wait", "watch"):
        ended = await lab.distribute(verb, "lab/fails", code=1)
        assert ended.out == "lab/fails failed: 2 of 3 jobs failed: first no room (exit 3 on one)\n"
        assert named in ended.err
    assert named in (await lab.distribute("status", "lab/fails")).out
    assert (await lab.jobs("lab/fails"))["no room"]["last_line"] == "no room"


async def test_a_build_that_fails_on_every_node_fails_its_batch(lab: Lab) -> None:
    batch = command_batch("lab/broken", {"job": "true", "too": "true"})
    batch["command"]["initialize"] = {"build": "echo building on $DISTRIBUTE_NODE; exit 3"}
    await lab.add(batch)
    waited = await lab.distribute("wait", "lab/broken", code=1)
    assert "lab/broken failed: 2 of 2 jobs failed: first job" in waited.out
    assert "the build failed on every node that could run it" in waited.out
    assert "the build failed at one: exit code 3; its last lines:\n    building on one\n" in waited.err
    assert "distribute logs lab/broken/" not in waited.err
    assert "the build failed at one: exit code 3" in (await lab.distribute("status", "lab/broken")).out
    folder, _ = await lab.pull("lab/broken")
    for node in ("one", "other"):
        printed = folder / f"broken_build_output-{node}.txt"
        assert printed.read_text() == f"building on {node}\n"
    logs = (await lab.distribute("logs", "lab/broken")).out
    assert "building on one\n" in logs
    assert "building on other\n" in logs


async def test_a_build_is_seen_and_followed_while_it_runs(lab: Lab) -> None:
    gate = lab.folder / "build gate"
    batch = command_batch("lab/seen", {"job": "true"}, capabilities=["one"])
    build = f"echo compiling; until test -e '{gate}'; do sleep 0.05; done; echo linked"
    batch["command"]["initialize"] = {"build": build}
    await lab.add(batch)
    await lab.event("build_started", batch="lab/seen")
    assert (await lab.jobs("lab/seen"))["job"]["state"] == "building"
    assert "building on one, " in (await lab.distribute("status")).out
    shown = (await lab.distribute("status", "lab/seen")).out
    assert "being built on one for " in shown
    assert "`distribute logs -f lab/seen` shows what it prints" in shown
    assert re.search(
        r"^one +building .* lab/seen for \d+[ms]", (await lab.distribute("nodes")).out, re.MULTILINE
    )
    async with asyncio.timeout(PATIENCE_S):
        while "compiling\n" not in (logs := await lab.distribute("logs", "lab/seen")).out:
            pass  # what is printed is sent every half second
    assert "==> one (being built) <==\ncompiling\n" in logs.out
    assert re.search(r"lab/seen is being built on one \(for [\dms ]+ so far\); -f follows it", logs.err)
    silent = "lab/seen/job has printed nothing yet: it is building on one; `distribute logs -f lab/seen`"
    assert silent in (await lab.distribute("logs", "lab/seen/job")).err
    following = await lab.start("logs", "-f", "lab/seen")
    await following.until("==> one <==\ncompiling\n")
    watching = await lab.start("watch", "lab/seen")
    await watching.until("lab/seen: 0 % (building on one since ")
    gate.touch()
    assert await following.end() == "==> one <==\ncompiling\nlinked\n==> one (built) <==\n"
    assert "lab/seen completed: 1 of 1 job succeeded" in await watching.end()
    assert (await lab.distribute("logs", "lab/seen")).out == "==> one (built) <==\ncompiling\nlinked\n"


async def test_a_batch_succeeds_although_its_build_fails_on_one_node(lab: Lab) -> None:
    """All jobs run on the other node."""
    batch = command_batch("lab/half broken", {f"j{n}": "echo $DISTRIBUTE_NODE" for n in range(6)})
    batch["command"]["initialize"] = {"build": "test $DISTRIBUTE_NODE = other"}
    await lab.add(batch)
    assert (await lab.distribute("wait", "lab/half broken")).out.startswith("lab/half broken completed")
    folder, _ = await lab.pull("lab/half broken")
    assert {(folder / f"j{n}" / "stdout.txt").read_text() for n in range(6)} == {"other\n"}


async def test_a_batch_can_be_killed_during_its_build(lab: Lab) -> None:
    """All processes of the build end, what it printed is kept, and a new batch of this name can be built."""
    begun = lab.folder / "build begun"
    batch = command_batch("lab/long build", {"job": "true"}, capabilities=["one"])
    batch["command"]["initialize"] = {"build": STUBBORN.replace("echo began", f"echo began; touch '{begun}'")}
    await lab.add(batch)
    async with asyncio.timeout(120):
        while not begun.exists():  # noqa: ASYNC110 - only the file shows that the build runs
            await asyncio.sleep(0.05)
    assert lab.job_processes("one")
    await lab.distribute("kill", "lab/long build")
    await lab.distribute("wait", "lab/long build", code=1)
    assert lab.job_processes("one") == []
    (built,) = await lab.events("build_finished", batch="lab/long build")
    assert (built.succeeded, built.killed, built.reason) == (False, True, "killed by jane")
    assert (await lab.distribute("logs", "lab/long build")).out == "==> one (killed by jane) <==\nbegan\n"
    batch["command"]["initialize"] = {"build": "true"}
    await lab.add(batch, "--replace", "--yes")
    await lab.distribute("wait", "lab/long build")
