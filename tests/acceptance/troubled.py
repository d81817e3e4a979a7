"""A batch that has much trouble, in a lab of one node and two persons."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from acceptance.lab import Lab, command_batch, open_lab

NODE = f"history-{os.getpid()}"
"""No other node of this computer has this name: it is paused."""

BATCH = "lab/cavity"
JOBS: dict[str, Any] = {
    **{f"re{number}": "true" for number in (100, 200, 400, 800, 1600)},
    "re3200": "echo the mesh is too coarse; exit 3",
    "re6400": "sleep 1000",
}


@asynccontextmanager
async def open_troubled_lab(folder: Path) -> AsyncIterator[Lab]:
    async with open_lab(folder, {NODE: ["--cpus", "8", "--max-pause-s", "600"]}, lost_s=8.0) as lab:
        yield lab


async def lose_the_node(lab: Lab) -> None:
    """Stop the node-runner until the node is lost, and let it come back."""
    pid = lab.processes.pids[NODE]
    os.kill(pid, signal.SIGSTOP)
    try:
        lost = await lab.event("lost", node=NODE)
    finally:
        os.kill(pid, signal.SIGCONT)
    await lab.event("joined", node=NODE, after=lost.seq)


async def run_troubled_batch(lab: Lab) -> None:
    """A job fails; bob pauses the node; the node is lost and comes back; bob kills a job. Then it is over."""
    await lab.add(command_batch(BATCH, JOBS))
    started = await lab.event("started", batch=BATCH, where=lambda event: event.job == "re6400")
    for job in JOBS.keys() - {"re6400"}:
        await lab.event("finished", batch=BATCH, where=lambda event, job=job: event.job == job)
    await lab.distribute(
        "pause", "--node", NODE, "--duration", "5m", "--reason", "a demo", "--detach", by="bob"
    )
    paused = await lab.event("paused", node=NODE, after=started.seq)
    await lab.distribute("resume", "--node", NODE, by="bob")
    await lab.event("resumed", node=NODE, after=paused.seq)
    await lose_the_node(lab)
    await lab.distribute("kill", "--force", f"{BATCH}/re6400", by="bob")
    await lab.over(BATCH)


async def submit_again(lab: Lab) -> None:
    """Jane deletes the batch, and submits another of its name."""
    await lab.distribute("delete", "--yes", BATCH)
    await lab.add(command_batch(BATCH, {"again": "true"}))
    await lab.over(BATCH, after=(await lab.event("deleted", batch=BATCH)).seq)
