"""The broker is killed, and its log loses acknowledged events at its end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from acceptance.lab import command_batch, open_lab
from distribute.core.log import events as ev


def last_block(broker_folder: Path) -> Path:
    """The file that holds the end of the log."""
    return max(broker_folder.glob("**/EV/msgs/*.blk"))


async def test_a_job_whose_start_the_log_has_lost_comes_to_its_end(tmp_path: Path) -> None:
    """The node goes on, appends its lost events again, and its job runs on. The head is restarted."""
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "1"]}) as lab:
        gate = tmp_path / "gate"
        job = f"echo $DISTRIBUTE_ATTEMPT; until test -e '{gate}'; do sleep 0.05; done"
        await lab.add(command_batch("lab/torn", {"job": job}))
        started = await lab.event("started", batch="lab/torn")
        broker, head = lab.processes.broker, ("scheduler", "archiver")
        for service in head:
            lab.processes.end(service, signal.SIGTERM)
        await broker.stop(kill=True)
        block = last_block(broker.folder)
        os.truncate(block, block.stat().st_size - 10)
        await broker.start()
        for service in head:
            lab.processes.start(service)
        gate.touch()
        await lab.over("lab/torn")
        [again] = await lab.events("started", batch="lab/torn")
        assert again.id == started.event.id
        [finished] = await lab.events("finished", batch="lab/torn")
        assert isinstance(finished, ev.Finished)
        assert (finished.succeeded, finished.attempt) == (True, 1)
        folder, _ = await lab.pull("lab/torn")
        assert (folder / "job" / "stdout.txt").read_text() == "1\n"


async def test_a_job_whose_assignment_the_log_has_lost_runs_on(tmp_path: Path) -> None:
    """The scheduler finds the job queued and assigns it to the only node, which has it already."""
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "1"]}) as lab:
        await lab.event("joined", node="node")
        broker, head = lab.processes.broker, ("scheduler", "archiver")
        for service in head:
            lab.processes.end(service, signal.SIGTERM)
        gate, starts = tmp_path / "gate", tmp_path / "starts"
        job = f"echo start >> '{starts}'; until test -e '{gate}'; do sleep 0.05; done"
        await lab.add(command_batch("lab/queued", {"job": job}))
        size_bytes = last_block(broker.folder).stat().st_size
        lab.processes.start("scheduler")
        await lab.event("started", batch="lab/queued")
        lab.processes.end("scheduler", signal.SIGTERM)
        await broker.stop(kill=True)
        os.truncate(last_block(broker.folder), size_bytes)
        await broker.start()
        for service in head:
            lab.processes.start(service)
        gate.touch()
        await lab.over("lab/queued")
        view = (await lab.jobs("lab/queued"))["job"]
        assert (view["state"], view["attempt"]) == ("succeeded", 1)
        assert starts.read_text() == "start\n"
        assert "running jobs go on" in lab.processes.log_of("node")
