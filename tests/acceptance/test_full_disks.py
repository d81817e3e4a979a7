"""Full and broken disks, a node's and the broker's: what was accepted is kept, all goes on where it can."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import subprocess
from pathlib import Path

import psutil
import pytest
import yaml

from acceptance.lab import PATIENCE_S, command_batch, distribute, open_lab
from distribute_cli.local.cluster import NodePlan, Plan, local_cluster
from integration.node_runner.small_disk import small_disk

DATA_BYTES = 12 << 20
LEAVES_DATA = f"head -c {DATA_BYTES} /dev/urandom > distribute_save/data; sha256sum < distribute_save/data"

LARGE_ENOUGH_TO_BEGIN_MIB = 200
"""The broker stores three quarters of what is free when it starts: the disk is to end before that."""


async def test_a_node_whose_disk_is_filled(tmp_path: Path) -> None:
    """The job that does it fails and says why, as does one whose files don't fit; the next one runs."""
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
            assert views["fills"]["exit_code"] == 1
            assert views["prints"]["exit_code"] == 1
            assert "No space left on device" in views["brings"]["reason"]
            folder, _ = await lab.pull("lab/filling")
            assert (folder / "after" / "stdout.txt").read_text() == "told\n"
            assert (folder / "after" / "data").stat().st_size == 8 << 20


async def test_a_node_whose_disk_others_fill(tmp_path: Path) -> None:
    """It has nothing to lend, so it leaves, and fails no job of the batch; with room again it takes part."""
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


async def test_a_node_whose_disk_has_no_file_left(tmp_path: Path) -> None:
    """As one whose disk is full: it leaves, and fails no job."""
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


async def test_a_node_whose_disk_says_no(tmp_path: Path) -> None:
    """A job that can't be given its files fails with what the disk said; the node lives."""
    (tmp_path / "input").write_text("wanted")
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "1"]}) as lab:
        (lab.folder / "node" / "cache").rmdir()
        (lab.folder / "node" / "cache").touch()
        brings = {"command": "true", "required_files": [str(tmp_path / "input")]}
        await lab.add(command_batch("lab/batch", {"brings": brings, "after": "true"}))
        await lab.over("lab/batch")
        views = await lab.jobs("lab/batch")
        assert "Not a directory" in views["brings"]["reason"]
        assert views["after"]["state"] == "succeeded"


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))


async def connected(verb: str) -> None:
    """Wait until a command of ours has its connection: one that finds no broker ends at once."""

    def is_connected() -> bool:
        return any(
            connection.status == psutil.CONN_ESTABLISHED
            for process in psutil.Process().children()
            if verb in process.cmdline()
            for connection in process.net_connections("tcp")
        )

    async with asyncio.timeout(PATIENCE_S):
        while not is_connected():  # noqa: ASYNC110 (the kernel tells nobody)
            await asyncio.sleep(0.02)


async def test_a_broker_whose_disk_is_full(tmp_path: Path) -> None:
    """Everybody waits, and is told; with more room, and the broker started again, all of it ends well."""
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
            assert len(list(folder.iterdir())) == 6
            assert_right(folder)
            told = (await lab.distribute("logs", "lab/waits/job")).out
            assert told.startswith(hashlib.sha256((tmp_path / "input").read_bytes()).hexdigest())


async def test_no_node_is_lost_for_a_disk_of_the_broker_that_is_full(tmp_path: Path) -> None:
    """Heartbeats are heard though they can't be stored: what runs for days goes on."""
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
                    await asyncio.sleep(0.1)  # it tells nobody else
            await asyncio.sleep(2 * lost_s)  # it stays full: that is what is tested
            filling.unlink()
            await lab.processes.broker.stop()
            await lab.processes.broker.start()
            gate.touch()
            await lab.over("lab/long")
            job = (await lab.jobs("lab/long"))["job"]
            assert (job["state"], job["attempt"]) == ("succeeded", 1)
            (node,) = (await lab.ask("nodes"))["nodes"]
            assert node["state"] == "idle"


async def test_a_local_cluster_whose_disk_was_full_goes_on_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`up`, `server` and `demo` start their broker again once there is room, and say so. Nothing is lost."""
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
            # It is not started again for nothing.
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
            folder = tmp_path / "pulled" / "lab" / "large"
            assert len(list(folder.iterdir())) == 4
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
    """Each job's data is what it said it left."""
    for job in folder.iterdir():
        told = (job / "stdout.txt").read_text().split()[0]
        assert hashlib.sha256((job / "data").read_bytes()).hexdigest() == told
