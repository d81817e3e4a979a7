"""A node that is told to end while it uploads a job's results loses none of them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from acceptance.lab import command_batch, open_lab
from distribute.core.ids import AttemptId
from integration.standstill import standing_still

HELD_UP_S = 13.0
"""Longer than a node waits for the broker to take its last events."""


async def test_ended_jobs_are_stored_and_reported_however_long_it_takes(tmp_path: Path) -> None:
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "1", "--grace-s", "1"]}, lost_s=60.0) as lab:
        gate = tmp_path / "gate"
        job = f"until test -e '{gate}'; do sleep 0.05; done; head -c 20M /dev/zero > distribute_save/data"
        await lab.add(command_batch("lab/long", {"job": job}))
        started = await lab.event("started", batch="lab/long")
        with standing_still(lab.processes.broker):
            gate.touch()
            await lab.node_is_idle("node")
            await asyncio.sleep(1)  # nothing notifies us that the upload has begun
            os.kill(lab.processes.pids["node"], signal.SIGTERM)
            await lab.logged("node", "leaving once the results of lab/long/job are stored")
            await asyncio.sleep(HELD_UP_S)  # the test is about this delay
        assert await lab.processes.ended("node") == 0
        leaving = await lab.event("leaving", node="node", after=started.seq)
        assert leaving.event.keeps == (AttemptId("lab", "long", "job", 1),)
        await lab.event("left", node="node", after=leaving.seq)
        await lab.over("lab/long")
        view = (await lab.jobs("lab/long"))["job"]
        assert (view["state"], view["attempt"], view["archived"]) == ("succeeded", 1, True)
