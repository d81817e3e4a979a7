"""Milliseconds from the claim of a job of a 2 GB build until its first program runs; the median of 40 jobs.

The time begins when the broker has the claim. The floor is a job without a build, in the same cluster.
"""

from __future__ import annotations

import asyncio
import statistics

from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.nats.cluster import Cluster
from distribute.ports import Only

from .figure import Figure, Floor
from .running_lab import event_of, running_lab, submit

JOBS = 40
SIZE_MIB = 2048
FILES = 512
TARGET_MS = 20.0
TELLS = ("sh", "-c", "date +%s%N; exit 1")
"""The last lines of a job that fails are in its `finished`."""
BUILD = f"for i in $(seq {FILES}); do head -c {SIZE_MIB // FILES}M /dev/zero > made$i; done"


def run() -> list[Figure]:
    """Run jobs one after another, without a build and with a large one."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    async with running_lab(cpus=1) as (_, cluster):
        floor_ms = await _run(cluster, "small", None)
        large_ms = await _run(cluster, "large", BUILD)
    name = f"to start a job of a build of {SIZE_MIB} MiB"
    return [Figure(name, large_ms, "ms", TARGET_MS, Floor("without a build", floor_ms))]


async def _run(cluster: Cluster, name: str, build: str | None) -> float:
    """Run a batch to its end. Returns the median of the milliseconds from claim to start."""
    since = await submit(cluster, name, [TELLS] * JOBS, build)
    await event_of(cluster, "completed", after=since)
    claimed: dict[str, float] = {}
    taken = []
    wanted = Only(types=frozenset({"claimed", "finished"}))
    async for records in cluster.log.follow(after=since, only=wanted, until=await cluster.log.last_seq()):
        for recorded in records:
            _note(recorded, claimed, taken)
    # The first waits for the build.
    return statistics.median(taken[1:])


def _note(recorded: Recorded, claimed: dict[str, float], taken: list[float]) -> None:
    match recorded.event:
        case ev.Claimed(job=job):
            claimed[job] = recorded.time
        case ev.Finished(job=job, last_lines=(line, *_)):
            taken.append((int(line) / 1e9 - claimed[job]) * 1e3)
