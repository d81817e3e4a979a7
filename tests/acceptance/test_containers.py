"""Batches of images, from submit to pulled results, with the real Apptainer."""

from __future__ import annotations

import asyncio
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from acceptance.cluster_kit import person_with_cluster
from acceptance.lab import open_lab
from acceptance.person import PATIENCE_S, Person, runs, until
from container_kit import build_image, busybox_image, definition, need_apptainer
from distribute.system import write_whole

FROM_THE_NET = "Bootstrap: docker\nFrom: alpine:3.22\n"
"""How the definition file of the template begins, behind its comment."""


@pytest.fixture
def jane(tmp_path: Path) -> Iterator[Person]:
    """A person with a cluster of one node."""
    need_apptainer()
    with person_with_cluster(tmp_path, "--nodes", "1") as person:
        yield person


def writes(jane: Person, image: Path, *jobs: str) -> None:
    """Write a batch of an image to `solve.yaml`."""
    meta = {"namespace": "jane", "batch_name": "solve", "resources": {"cpus": 1}}
    initialize = {"sif": str(image), "required_mounts": ["/scratch"]}
    work = {"initialize": initialize, "jobs": [{"name": name} for name in jobs]}
    (jane.home / "solve.yaml").write_text(yaml.safe_dump({"meta": meta, "apptainer": work}))


def test_the_template_runs_as_it_is(jane: Person) -> None:
    """But for the image that its own image is made from: this one comes from no network."""
    jane.runs("template", "apptainer")
    written = (jane.home / "pendulum.def").read_text()
    assert FROM_THE_NET in written
    own = written.partition(FROM_THE_NET)[2]
    # Busybox has an awk that can't do this, which its sh prefers.
    image = build_image(jane.home, definition(own, programs=("sh", "awk")))
    shutil.move(image, jane.home / "pendulum.sif")
    added = jane.runs("add", "--wait")
    assert "completed: 2 of 2 jobs succeeded" in added.stdout
    jane.runs("pull")
    pulled = jane.home / "pendulum-apptainer"
    assert "is back after 3.535 s" in (pulled / "angle150" / "stdout.txt").read_text()
    assert (pulled / "angle030" / "motion.csv").read_text().startswith("time_s,degrees\n0.000,30.0000\n")


def test_a_job_finds_nothing_of_another_and_says_what_it_forgot(jane: Person) -> None:
    leave = (
        '    ls "$HOME" /tmp /scratch /distribute_save /input\n'
        '    for path in "$HOME/mine" /tmp/mine /scratch/mine; do echo mine > "$path"; done\n'
    )
    writes(jane, busybox_image(jane.home, leave), "one", "two")
    jane.runs("add", "solve.yaml", "--wait")
    for job in ("one", "two"):
        assert "mine" not in jane.runs("logs", f"jane/solve/{job}").stdout
    shown = jane.runs("status", "jane/solve/one").stdout
    assert ("$HOME/mine" in shown, "/scratch/mine" in shown, "/tmp/mine" in shown) == (True, True, False)


async def test_a_job_in_a_container_outlives_its_runner(tmp_path: Path) -> None:
    """A second batch with the same image finds it in the node's cache."""
    need_apptainer()
    tmp_path.joinpath("image").mkdir()
    wait = "    while ! [ -e /input/go ]; do sleep 0.1; done; echo no luck; exit $(cat /input/go)"
    image = busybox_image(tmp_path / "image", wait)
    async with open_lab(tmp_path / "lab", {"ws1": ["--cpus", "2"]}) as lab:
        for name, code in (("lab/one", "0"), ("lab/two", "255")):
            namespace, batch = name.split("/")
            work = {"initialize": {"sif": str(image)}, "jobs": [{"name": "job"}]}
            await lab.add({"meta": {"namespace": namespace, "batch_name": batch}, "apptainer": work})
            started = await lab.event("started", batch=name)
            assert lab.processes.end("ws1", signal.SIGKILL) == -signal.SIGKILL
            lab.processes.start("ws1")
            joined = await lab.event("joined", node="ws1", after=started.seq)
            assert len(getattr(joined.event, "keeps", ())) == 1
            (inputs,) = (lab.folder / "ws1" / "work").glob("*/job/input")
            write_whole(inputs / "go", code.encode())  # the job reads it as soon as it is there
            await lab.over(name)
            job = (await lab.jobs(name))["job"]
            assert (job["attempt"], job["exit_code"], job["node"]) == (1, int(code), "ws1")
            assert "container" not in (job["reason"] or "")
            await lab.node_is_idle("ws1")
        assert len(list((lab.folder / "ws1" / "cache").glob("*/*"))) == 1


async def test_nothing_of_a_container_outlives_its_keeper(tmp_path: Path) -> None:
    """The keeper is killed, and the job runs again."""
    need_apptainer()
    tmp_path.joinpath("image").mkdir()
    stay = (
        '    [ "$DISTRIBUTE_ATTEMPT" = 1 ] || exit 0\n'
        "    trap '' TERM; setsid sh -c \"trap '' TERM; while :; do sleep 1000; done\" &\n"
        "    while :; do sleep 1000; done\n"
    )
    work = {"initialize": {"sif": str(busybox_image(tmp_path / "image", stay))}, "jobs": [{"name": "job"}]}
    async with open_lab(tmp_path / "lab", {"ws1": ["--cpus", "2", "--grace-s", "0.5"]}) as lab:
        await lab.add({"meta": {"namespace": "lab", "batch_name": "b"}, "apptainer": work})
        await lab.event("started", batch="lab/b")
        keeper = lab.processes.keeper_of("ws1")
        async with asyncio.timeout(PATIENCE_S):
            while len(keeper.children(recursive=True)) < 6:  # noqa: ASYNC110 (nobody announces them)
                await asyncio.sleep(0.05)
        processes = keeper.children(recursive=True)
        keeper.kill()
        await lab.over("lab/b")
        job = (await lab.jobs("lab/b"))["job"]
        assert (job["state"], job["attempt"]) == ("succeeded", 2)
        assert [process for process in processes if runs(process)] == []


def test_status_says_why_a_container_could_not_be_started(jane: Person) -> None:
    (jane.home / "broken.sif").write_bytes(b"no image")
    writes(jane, jane.home / "broken.sif", "job")
    jane.runs("add", "solve.yaml", "--wait", code=1)
    reason = jane.asks("status", "jane/solve")["job_list"][0]["reason"]
    assert reason.startswith("its container could not be started: the image can't be read")


def test_a_killed_job_leaves_no_process_and_what_it_had_made(jane: Person) -> None:
    seconds = f"1000.{uuid.uuid4().int % 10**9}"  # no other sleeps for so long
    stay = (
        f"    setsid sh -c 'echo begun > /distribute_save/begun; exec sleep {seconds}' &\n"
        f"    trap '' TERM; while :; do sleep {seconds}; done\n"
    )
    writes(jane, busybox_image(jane.home, stay), "job")

    def sleeping() -> list[psutil.Process]:
        return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", seconds]]

    jane.runs("add", "solve.yaml")
    until(lambda: len(sleeping()) == 2)
    jane.runs("kill", "jane/solve")
    jane.runs("wait", "jane/solve", code=1)
    assert sleeping() == []
    jane.runs("pull", "jane/solve")
    assert (jane.home / "solve/job/begun").read_text() == "begun\n"
