"""Milliseconds from the start of `distribute status` to its exit, with one batch in the cluster.

The floor is a Python that does nothing.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time

from .figure import Figure, Floor
from .running_lab import event_of, running_lab, submit

TIMES = 15
TARGET_MS = 250.0


def run() -> list[Figure]:
    """Run the command several times."""
    return [asyncio.run(_measure())]


async def _measure() -> Figure:
    async with running_lab(cpus=4) as (processes, cluster):
        submitted = await submit(cluster, "one", [("/bin/true",)] * 4)
        await event_of(cluster, "batch_archived", after=submitted)
        status = [sys.executable, "-m", "distribute_cli", "status", "--server", processes.server]
        nothing = [sys.executable, "-c", "pass"]
        pairs = [(_took_ms(status), _took_ms(nothing)) for _ in range(TIMES)]
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    return Figure("distribute status", medians[0], "ms", TARGET_MS, Floor("python -c pass", medians[1]))


def _took_ms(command: list[str]) -> float:
    since = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return 1e3 * (time.perf_counter() - since)
