"""Full and broken disks of nodes and of the broker: nothing accepted is lost, and work goes on if it can."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import yaml

from acceptance.lab import PATIENCE_S, Lab, command_batch, distribute, job_folders, open_lab
from distribute_cli.local.cluster import NodePlan, Plan, local_cluster
from integration.node_runner.small_disk import small_disk

DATA_BYTES = 12 << 20
LEAVES_DATA = f"head -c {DATA_BYTES} /dev/urandom > distribute_save/data; sha256sum < distribute_save/data"

LARGE_ENOUGH_TO_BEGIN_MIB = 200
"""Size of the disk when the broker starts, which limits itself to three quarters. Then we shrink the disk."""


async def test_a_job_that_fills_its_nodes_disk_fails_and_the_node_goes_on(tmp_path: Path) -> None:
    """A job that fills the disk, or whose files don't fit, fails and says why; the next job runs."""
    (tmp_path / "large input").write_bytes(bytes(64 << 20))
    with small_disk(tmp_path / "disk", 32):
        (tmp_path / "lab").mkdir()
        (tmp_path / "lab" / "node").symlink_to(tmp_path / "disk")
        async with open_lab(tmp_path / "lab", {"node": ["--cpus", "1"]}) as lab:
            jobs = {
                "fills": "head -c 100M /dev/zero > distribute_save/data",
                "prints": "yes | head -c 100M",
                "brings": {"command": "true", "required_files": [str(tmp_path / "large input")]},
                "after": "echo told; head -c 8M /dev/zero > distribute_save/data",
            }
            await lab.add(command_batch("lab/filling", jobs))
            await lab.over("lab/filling")
            views = await lab.jobs("lab/filling")
            assert [views[job]["state"] for job in jobs] == ["failed", "failed", "failed", "succeeded"]
            for view in (views["fills"], views["prints"]):
                # Of a slow job, the node notices first that it fills the disk.
                assert view["exit_code"] == 1 or "the disk of its node was nearly full" in view["reason"]
            assert "the disk is full" in views["brings"]["reason"]
            folder, _ = await lab.pull("lab/filling")
            assert (folder / "after" / "stdout.txt").read_text() == "told\n"
            assert (folder / "after" / "data").stat().st_size == 8 << 20


def rests(until: Path) -> str:
    """A job that writes little, and ends when there is such a file."""
    return f"head -c 4M /dev/zero > distribute_save/own; while [ ! -e {until} ]; do sleep 0.1; done"


@contextlib.asynccontextmanager
async def lab_on_a_small_disk(tmp_path: Path, *options: str, files: int = 0) -> AsyncIterator[Lab]:
    """A lab with one node, on a disk of its own with 64 MiB: `tmp_path / "disk"`."""
    with small_disk(tmp_path / "disk", 64, files) as disk:
        (tmp_path / "lab").mkdir()
        (tmp_path / "lab" / "node").symlink_to(disk)
        async with open_lab(tmp_path / "lab", {"node": ["--cpus", "2", *options]}) as lab:
            yield lab


async def test_the_job_that_writes_most_is_ended_before_the_disk_is_full(tmp_path: Path) -> None:
    writes = "head -c 35M /dev/zero > distribute_save/data; while head -c 256K /dev/zero; do sleep 0.2; done"
    async with lab_on_a_small_disk(tmp_path, f"--keep-free-bytes={48 << 20}") as lab:
        await lab.add(
            command_batch(
                "lab/b", {"rests": rests(tmp_path / "go"), "writes": f"{writes} >> distribute_save/data"}
            )
        )
        finished = (await lab.event("finished", batch="lab/b")).event
        assert (finished.job, finished.succeeded) == ("writes", False)
        assert "because the disk of its node was nearly full" in finished.reason
        assert "it had written most, " in finished.reason
        (tmp_path / "go").touch()
        await lab.over("lab/b")
        assert (await lab.jobs("lab/b"))["rests"]["state"] == "succeeded"
        await lab.add(command_batch("lab/next", {"job": "echo there is room again"}))
        await lab.over("lab/next")
        folder, _ = await lab.pull("lab/b")
        assert (folder / "writes" / "data").stat().st_size > 8 << 20, "what it left is archived"


async def test_the_job_that_makes_most_files_is_ended_before_there_are_too_many(tmp_path: Path) -> None:
    makes = (
        "left() { df --output=iavail . | tail -1; }; cd distribute_save; "
        "for i in $(seq $(($(left) - 32))); do : > $i; done; while : > more$(left); do sleep 1; done"
    )
    async with lab_on_a_small_disk(tmp_path, files=3000) as lab:
        await lab.add(command_batch("lab/b", {"rests": rests(tmp_path / "go"), "makes": makes}))
        finished = (await lab.event("finished", batch="lab/b")).event
        assert (finished.job, finished.succeeded) == ("makes", False)
        assert "nearly out of inodes" in finished.reason
        (tmp_path / "go").touch()
        await lab.over("lab/b")
        assert (await lab.jobs("lab/b"))["rests"]["state"] == "succeeded"


async def test_no_job_is_ended_for_what_others_write_and_the_node_says_that_its_disk_is_short(
    tmp_path: Path,
) -> None:
    async with lab_on_a_small_disk(tmp_path, f"--keep-free-bytes={48 << 20}") as lab:
        await lab.add(command_batch("lab/b", {"rests": rests(tmp_path / "go")}))
        await lab.event("started", batch="lab/b")
        fill(tmp_path / "disk" / "somebody's film")
        async with asyncio.timeout(PATIENCE_S):
            while "its disk has" not in (said := (await lab.distribute("nodes", "node")).out):  # noqa: ASYNC110
                await asyncio.sleep(0.2)  # the next beat tells
        assert "no job begins there with less than 48M" in " ".join(said.split())
        assert await lab.events("finished", batch="lab/b") == []
        (tmp_path / "disk" / "somebody's film").unlink()
        (tmp_path / "go").touch()
        await lab.over("lab/b")
        assert (await lab.jobs("lab/b"))["rests"]["state"] == "succeeded"


async def test_a_last_job_is_not_ended_for_the_results_that_it_was_given(tmp_path: Path) -> None:
    async with lab_on_a_small_disk(tmp_path, f"--keep-free-bytes={48 << 20}") as lab:
        batch = command_batch("lab/b", {"a": "head -c 24M /dev/urandom > distribute_save/data"})
        await lab.add(batch | {"finally": {"name": "last", "command": rests(tmp_path / "go")}})
        await lab.event("started", batch="lab/b", where=lambda event: event.job == "last")
        fill(tmp_path / "disk" / "somebody's film")
        async with asyncio.timeout(PATIENCE_S):
            while "its disk has" not in (await lab.distribute("nodes", "node")).out:  # noqa: ASYNC110
                await asyncio.sleep(0.2)  # the next beat tells
        (tmp_path / "disk" / "somebody's film").unlink()
        (tmp_path / "go").touch()
        await lab.over("lab/b")
        assert (await lab.jobs("lab/b"))["last"]["state"] == "succeeded"


async def test_a_node_whose_disk_others_fill_leaves_until_there_is_room(tmp_path: Path) -> None:
    """The node leaves, and no job fails; when there is room again, it joins again."""
    with small_disk(tmp_path / "disk", 64) as disk:
        (tmp_path / "lab").mkdir()
        (tmp_path / "lab" / "full").symlink_to(disk)
        nodes = {name: ["--cpus", "2"] for name in ("full", "roomy")}
        async with open_lab(tmp_path / "lab", nodes) as lab:
            fill(disk / "somebody's film")
            await lab.add(command_batch("lab/batch", {f"j{n}": "echo $DISTRIBUTE_NODE" for n in range(8)}))
            left = await lab.event("left", node="full")
            await lab.over("lab/batch")
            views = (await lab.jobs("lab/batch")).values()
            assert {(view["state"], view["node"]) for view in views} == {("succeeded", "roomy")}
            assert len(await lab.events("finished", batch="lab/batch")) == 8
            (disk / "somebody's film").unlink()
            await lab.event("joined", node="full", after=left.seq)


async def test_a_node_whose_disk_has_no_inodes_left_leaves_until_there_are_some(tmp_path: Path) -> None:
    """The node leaves, as with a full disk, and no job fails."""
    with small_disk(tmp_path / "disk", 64, files=2000) as disk:
        (tmp_path / "lab").mkdir()
        (tmp_path / "lab" / "full").symlink_to(disk)
        nodes = {name: ["--cpus", "2"] for name in ("full", "roomy")}
        async with open_lab(tmp_path / "lab", nodes) as lab:
            with contextlib.suppress(OSError):
                for number in range(2000):
                    (disk / f"somebody's {number}").touch()
            await lab.add(command_batch("lab/batch", {f"j{n}": "echo $DISTRIBUTE_NODE" for n in range(8)}))
            left = await lab.event("left", node="full")
            await lab.over("lab/batch")
            views = (await lab.jobs("lab/batch")).values()
            assert {(view["state"], view["node"]) for view in views} == {("succeeded", "roomy")}
            for path in disk.glob("somebody's *"):
                path.unlink()
            await lab.event("joined", node="full", after=left.seq)


async def test_a_job_that_does_not_fit_beside_another_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(os.urandom(12 << 20))
    with small_disk(tmp_path / "disk", 32) as disk:
        (tmp_path / "lab").mkdir()
        (tmp_path / "lab" / "node").symlink_to(disk)
        async with open_lab(tmp_path / "lab", {"node": ["--cpus", "3"]}) as lab:
            brings = {"command": "test -s input/input", "required_files": [str(tmp_path / "input")]}
            await lab.add(command_batch("lab/batch", {f"j{n}": brings for n in range(6)}))
            await lab.over("lab/batch")
            views = (await lab.jobs("lab/batch")).values()
            assert {(view["state"], view["attempt"]) for view in views} == {("succeeded", 1)}


async def test_a_job_whose_files_can_not_be_written_fails_with_the_reason(tmp_path: Path) -> None:
    """A job whose files can't be written fails with the disk's error; the node goes on."""
    (tmp_path / "input").write_text("wanted")
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "1"]}) as lab:
        (lab.folder / "node" / "cache").rmdir()
        (lab.folder / "node" / "cache").touch()
        brings = {"command": "true", "required_files": [str(tmp_path / "input")]}
        await lab.add(command_batch("lab/batch", {"brings": brings, "after": "true"}))
        await lab.over("lab/batch")
        views = await lab.jobs("lab/batch")
        assert "a part of its path is not a folder" in views["brings"]["reason"]
        assert views["after"]["state"] == "succeeded"


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))


async def connected(verb: str) -> None:
    """Wait until our command has its connection: without a broker it would end at once."""

    def is_connected() -> bool:
        return any(
            connection.status == psutil.CONN_ESTABLISHED
            for process in psutil.Process().children()
            if verb in process.cmdline()
            for connection in process.net_connections("tcp")
        )

    async with asyncio.timeout(PATIENCE_S):
        while not is_connected():  # noqa: ASYNC110 (the kernel does not notify us)
            await asyncio.sleep(0.02)


async def test_a_full_disk_of_the_broker_delays_work_and_loses_nothing(tmp_path: Path) -> None:
    """All processes wait and say so. With more room and a restarted broker, everything succeeds."""
    (tmp_path / "input").write_bytes(os.urandom(DATA_BYTES))
    with small_disk(tmp_path / "disk", LARGE_ENOUGH_TO_BEGIN_MIB):
        (tmp_path / "lab").mkdir()
        (tmp_path / "lab" / "broker").symlink_to(tmp_path / "disk")
        async with open_lab(tmp_path / "lab", {"node": ["--cpus", "2"]}) as lab:
            await resize(tmp_path / "disk", 48)
            await lab.add(command_batch("lab/large", {f"j{n}": LEAVES_DATA for n in range(6)}))
            await lab.logged("node", "is its disk full?")
            brings = {"command": "sha256sum input/input", "required_files": [str(tmp_path / "input")]}
            adding = asyncio.create_task(lab.add(command_batch("lab/waits", {"job": brings})))
            assert "running" in (await lab.distribute("status", "lab/large")).out
            await connected("add")
            assert not adding.done()
            await lab.processes.broker.stop(kill=True)
            await resize(tmp_path / "disk", 400)
            await lab.processes.broker.start()
            assert (await adding).out == "lab/waits is submitted: 1 job\n"
            for batch in ("lab/large", "lab/waits"):
                await lab.over(batch)
                assert {job["state"] for job in (await lab.jobs(batch)).values()} == {"succeeded"}
            folder, _ = await lab.pull("lab/large")
            assert len(job_folders(folder)) == 6
            assert_right(folder)
            told = (await lab.distribute("logs", "lab/waits/job")).out
            assert told.startswith(hashlib.sha256((tmp_path / "input").read_bytes()).hexdigest())


async def test_no_node_is_lost_because_the_brokers_disk_is_full(tmp_path: Path) -> None:
    """The scheduler hears heartbeats although they can't be stored, so long jobs go on."""
    lost_s = 6.0
    with small_disk(tmp_path / "disk", LARGE_ENOUGH_TO_BEGIN_MIB):
        (tmp_path / "lab").mkdir()
        (tmp_path / "lab" / "broker").symlink_to(tmp_path / "disk")
        async with open_lab(tmp_path / "lab", {"node": ["--cpus", "1"]}, lost_s=lost_s) as lab:
            gate = tmp_path / "gate"
            await lab.add(command_batch("lab/long", {"job": f"until test -e '{gate}'; do sleep 0.05; done"}))
            await lab.event("started", batch="lab/long")
            filling = tmp_path / "disk" / "somebody's"
            with contextlib.suppress(OSError):
                filling.write_bytes(bytes(2 * LARGE_ENOUGH_TO_BEGIN_MIB << 20))
            log = lab.processes.broker.log_path
            async with asyncio.timeout(PATIENCE_S):
                while "Filestore [BEATS] Critical write error" not in log.read_text():  # noqa: ASYNC110
                    await asyncio.sleep(0.1)  # only the broker's log shows it
            await asyncio.sleep(2 * lost_s)  # the test is about a disk that stays full
            filling.unlink()
            await lab.processes.broker.stop()
            await lab.processes.broker.start()
            gate.touch()
            await lab.over("lab/long")
            job = (await lab.jobs("lab/long"))["job"]
            assert (job["state"], job["attempt"]) == ("succeeded", 1)
            (node,) = (await lab.ask("nodes"))["nodes"]
            assert node["state"] == "idle"


async def test_a_local_cluster_recovers_from_a_full_disk_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`up`, `server` and `demo` restart their broker once there is room, and say so. Nothing is lost."""
    with small_disk(tmp_path / "disk", LARGE_ENOUGH_TO_BEGIN_MIB):
        (tmp_path / "lab").mkdir()
        (tmp_path / "lab" / "broker").symlink_to(tmp_path / "disk")
        plan = Plan(tmp_path / "lab", (NodePlan("node", 2),))
        async with local_cluster(plan) as server:
            await resize(tmp_path / "disk", 32)
            jobs = yaml.safe_dump(command_batch("lab/large", {f"j{n}": LEAVES_DATA for n in range(4)}))
            (tmp_path / "large.yaml").write_text(jobs)
            added = await distribute(server, tmp_path, "add", str(tmp_path / "large.yaml"))
            assert added.out == "lab/large is submitted: 4 jobs\n"
            await logged(caplog, "the broker's disk is full (stream OBJ_results: ")
            # Without free room, the broker is not restarted.
            assert "is restarted" not in caplog.text
            assert "running" in (await distribute(server, tmp_path, "status", "lab/large")).out
            await resize(tmp_path / "disk", 400)
            await logged(
                caplog, "the broker ended and is restarted in 0.1 s: it can't write although its disk has"
            )
            waited = await distribute(server, tmp_path, "wait", "lab/large")
            assert waited.out == "lab/large completed: 4 of 4 jobs succeeded\n"
            pulled = await distribute(
                server, tmp_path, "pull", "--save-dir", str(tmp_path / "pulled"), "lab/large"
            )
            assert pulled.code == 0
            folder = tmp_path / "pulled" / "large"
            assert len(job_folders(folder)) == 4
            assert_right(folder)


async def logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Wait until this process has logged these words."""
    async with asyncio.timeout(PATIENCE_S):
        while words not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def resize(disk: Path, size_mib: int) -> None:
    """Give a small disk another size."""
    command = ["mount", "-o", f"remount,size={size_mib}m", str(disk)]
    await asyncio.to_thread(subprocess.run, command, check=True)


def assert_right(folder: Path) -> None:
    """Check each job's data against the digest that it printed."""
    for job in job_folders(folder):
        told = (job / "stdout.txt").read_text().split()[0]
        assert hashlib.sha256((job / "data").read_bytes()).hexdigest() == told
