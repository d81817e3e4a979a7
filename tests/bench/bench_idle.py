"""What each idle service takes: resident memory, and percent of a core over ten seconds.

The floor is a Python that has imported asyncio.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import psutil

from .figure import Figure, Floor
from .running_lab import KEEPER, NODE, cpu_s, pids_of, running_lab

SETTLING_S = 2.0
IDLE_S = 10.0
TARGETS_MB = {NODE: 45.0, KEEPER: 12.0}
TARGETS_PERCENT = {NODE: 0.3}


def run() -> list[Figure]:
    """Start a cluster, and let it idle."""
    floor = Floor("import asyncio", _bare_mb())
    return [
        figure
        for name, (memory_mb, percent) in asyncio.run(_measure()).items()
        for figure in (
            Figure(f"{name}: memory", memory_mb, "MB", TARGETS_MB.get(name), floor),
            Figure(f"{name}: of a core", percent, "%", TARGETS_PERCENT.get(name)),
        )
    ]


async def _measure() -> dict[str, tuple[float, float]]:
    async with running_lab(cpus=4) as (processes, _):
        await asyncio.sleep(SETTLING_S)
        used = {name: cpu_s(pid) for name, pid in pids_of(processes).items()}
        since = time.perf_counter()
        await asyncio.sleep(IDLE_S)
        seconds = time.perf_counter() - since
        return {
            name: (_memory_mb(pid), 100 * (cpu_s(pid) - used[name]) / seconds)
            for name, pid in pids_of(processes).items()
        }


def _memory_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def _bare_mb() -> float:
    with subprocess.Popen(
        [sys.executable, "-c", "import asyncio; print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        memory_mb = _memory_mb(bare.pid)
        bare.communicate(b"\n")
    return memory_mb
