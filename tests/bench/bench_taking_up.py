"""Seconds from the start of a node-runner's process until it has taken up 100 running jobs of a killed one.

A job is taken up when the runner has read in the log that it still has it, and waits for its process. The
floor is the start of a process that only imports what the node-runner imports.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time

from distribute.nats.cluster import Cluster
from distribute.ports import Only

from .figure import Figure, Floor
from .running_lab import NODE, running_lab, submit

JOBS = 100
TRIES = 3
TARGET_S = 1.0
LOOK_S = 0.002
GOES_ON = "goes on: an earlier run of this node-runner started it"


def run() -> list[Figure]:
    """Start jobs that last, and kill their node-runner several times."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    samples = []
    async with running_lab(cpus=JOBS) as (processes, cluster):
        await submit(cluster, "long", [("sleep", "600")] * JOBS)
        await _all_have_started(cluster)
        for _ in range(TRIES):
            processes.end(NODE, signal.SIGKILL)
            before = processes.log_of(NODE).count(GOES_ON)
            since = time.perf_counter()
            processes.start(NODE)
            while processes.log_of(NODE).count(GOES_ON) < before + JOBS:  # noqa: ASYNC110 (only its log says)
                await asyncio.sleep(LOOK_S)
            samples.append(time.perf_counter() - since)
    return [Figure(f"taking up {JOBS} jobs", min(samples), "s", TARGET_S, Floor("importing it", _import_s()))]


async def _all_have_started(cluster: Cluster) -> None:
    count = 0
    async for records in cluster.log.follow(after=0, only=Only(types=frozenset({"started"}))):
        count += len(records)
        if count == JOBS:
            return


def _import_s() -> float:
    what = "import distribute_services.node_runner.host.computer, distribute.nats.cluster"
    since = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", what], check=True)
    return time.perf_counter() - since
