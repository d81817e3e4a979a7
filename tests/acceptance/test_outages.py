"""While the broker is away, for example because the head restarts, jobs on the nodes go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

from acceptance.lab import command_batch, open_lab

AWAY_S = 8.0
"""Longer than the time limit of a single request."""


def until(gate: Path) -> str:
    return f"until test -e '{gate}'; do sleep 0.05; done"


async def test_a_build_that_ends_while_the_broker_is_away_is_reported_later(tmp_path: Path) -> None:
    """Its node reports that later, and meanwhile goes on with its other jobs."""
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "2"]}) as lab:
        long, built = tmp_path / "long", tmp_path / "built"
        await lab.add(command_batch("lab/long", {"job": f"{until(long)}; echo told"}))
        await lab.event("started", batch="lab/long")
        batch = command_batch("lab/built", {"job": "echo told"})
        batch["command"]["initialize"] = {"build": until(built)}
        await lab.add(batch)
        await lab.event("build_started", node="node")
        await lab.processes.broker.stop()
        built.touch()
        await asyncio.sleep(AWAY_S)  # the test is about this outage
        await lab.processes.broker.start()
        await lab.over("lab/built")
        long.touch()
        await lab.over("lab/long")
        for name in ("lab/built", "lab/long"):
            job = (await lab.jobs(name))["job"]
            assert (job["state"], job["attempt"]) == ("succeeded", 1)
