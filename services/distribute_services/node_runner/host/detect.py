"""Detect this computer's hardware and programs, and measure its load."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from distribute.core.ids import MAX_NAME_BYTES
from distribute.host import Figures
from distribute_services.node_runner.host import limits
from distribute_services.node_runner.host.ask import ask
from distribute_services.node_runner.host.gpus import VISIBLE, Gpu, find_gpus, loads, visible
from distribute_services.node_runner.host.lending import ALL, Hardware, Lent, Wishes, lend
from distribute_services.node_runner.host.topology import Counted, read_cores

log = logging.getLogger(__name__)

GPU_FIGURES_EVERY_S = 30.0
"""Seconds between two questions to the driver of the GPUs. One takes 20 ms to 1 s of a core."""

_PYTHON_VERSION = re.compile(r"Python (3\.\d+)")


async def find_hardware(count: Counted = "cores", environ: Mapping[str, str] = os.environ) -> Hardware:
    """What this process may use of this computer: as its affinity, its cgroups and its environment allow."""
    allowed = os.sched_getaffinity(0)
    gpus = await find_gpus()
    return Hardware(
        cores=read_cores(allowed, count),
        threads=len(allowed),
        memory_bytes=limits.memory_bytes(),
        gpus=visible(gpus, environ.get(VISIBLE)),
        cpu_quota=min(limits.cpu_quotas(), default=math.inf),
        hides_gpus=bool(gpus) or VISIBLE in environ,
    )


async def find_capabilities() -> frozenset[str]:
    """Which programs this computer has for jobs: `apptainer`, `python3`, and `python3.N` (its version)."""
    found = set()
    if shutil.which("apptainer"):
        found.add("apptainer")
    if version := _PYTHON_VERSION.match(await ask("python3", "python3", "--version") or ""):
        found |= {"python3", f"python{version[1]}"}
    return frozenset(found)


async def detect(wishes: Wishes = ALL, capabilities: frozenset[str] = frozenset()) -> Lent:
    """Find out what this computer has, and choose what the node lends. Adds capabilities that it has.

    Raises:
        InputError: a person wrote that the node lends more than there is.
    """
    hardware, programs = await asyncio.gather(find_hardware(wishes.counts), find_capabilities())
    return lend(hardware, wishes, capabilities | programs)


def default_node_name() -> str:
    """The first part of the computer's host name."""
    name = socket.gethostname().split(".")[0]
    return name.replace("/", "_")[:MAX_NAME_BYTES] or "node"


class Sampler:
    """Measures for the heartbeats. `gpus` are those whose load it measures, too."""

    def __init__(self, work_dir: Path, gpus: Sequence[Gpu]) -> None:
        self._work_dir = work_dir
        self._gpus = gpus
        self._gpu_percent: tuple[float, ...] = ()
        self._gpus_asked_at = -math.inf
        psutil.cpu_percent(None)  # the next call measures from this one on

    async def sample(self) -> Figures:
        """Measure now; `cpu_percent` since the last call. Takes about 100 µs without GPUs."""
        now = time.monotonic()
        if self._gpus and now - self._gpus_asked_at >= GPU_FIGURES_EVERY_S:
            self._gpus_asked_at = now
            measured = await loads()
            self._gpu_percent = tuple(measured.get(gpu.word, 0.0) for gpu in self._gpus)
            if not measured:
                self._gpus = (
                    self._gpu_percent
                ) = ()  # the driver is broken, which is logged: don't wait for it again
        return Figures(
            load=os.getloadavg()[0],
            cpu_percent=psutil.cpu_percent(None),
            memory_available_bytes=psutil.virtual_memory().available,
            disk_free_bytes=shutil.disk_usage(self._work_dir).free,
            gpu_percent=self._gpu_percent,
        )
