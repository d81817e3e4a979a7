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

from distribute.core.ids import MAX_AUTHOR_BYTES
from distribute.host import Figures
from distribute_services.node_runner.host import limits, meters
from distribute_services.node_runner.host.apptainer import NOT_INSTALLED, why_no_containers
from distribute_services.node_runner.host.ask import ASK_TIMEOUT_S, ask, call
from distribute_services.node_runner.host.environment import base_environment, own_programs
from distribute_services.node_runner.host.gpus import VISIBLE, Gpu, find_gpus, loads, visible
from distribute_services.node_runner.host.lending import (
    ALL,
    APPTAINER,
    Hardware,
    Lent,
    Programs,
    Wishes,
    lend,
)
from distribute_services.node_runner.host.run_as import Person
from distribute_services.node_runner.host.topology import Counted, read_cores

log = logging.getLogger(__name__)

GPU_FIGURES_EVERY_S = 30.0
"""Seconds between two questions to the driver of the GPUs. One takes 20 ms to 1 s of a core."""

_PYTHON_VERSION = re.compile(r"Python (3\.\d+)")
_PYTHON_NAME = re.compile(r"python3\.[0-9]{1,3}")

MAX_PYTHONS = 50
"""So many programs called `python3.N` are tried out."""


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


async def find_programs(environment: Mapping[str, str], who: Person | None = None) -> Programs:
    """Which programs this computer has for jobs that get this environment and user, by running them.

    It looks for `apptainer`, for `python3`, which gives its version `python3.N`, too, and for other programs
    of such a name.
    """
    of_jobs = environment if who is None else who.environment(environment)
    version, pythons, no_containers = await asyncio.gather(
        ask("python3", "python3", "--version", environment=of_jobs, who=who),
        _find_pythons(of_jobs, who),
        why_no_containers(environment, who),
    )
    found, lacks = pythons, {}
    if match := _PYTHON_VERSION.match(version or ""):
        found |= {"python3", f"python{match[1]}"}
    if no_containers is None:
        found.add(APPTAINER)
    else:
        lacks[APPTAINER] = no_containers
        if no_containers != NOT_INSTALLED:
            log.warning("this node does not run containers: %s", no_containers)
    return Programs(frozenset(found), lacks)


async def _find_pythons(environment: Mapping[str, str], who: Person | None) -> set[str]:
    """The programs called `python3.N` that jobs find, and that are this version of Python.

    A name that starts nothing, such as that of a version that pyenv lacks, is passed over: unlike `python3`,
    nobody misses it.
    """
    names = sorted(
        {
            name
            for folder in environment.get("PATH", os.defpath).split(os.pathsep)
            for name in _names_in(folder)
            if _PYTHON_NAME.fullmatch(name)
        }
    )[:MAX_PYTHONS]
    answers = await asyncio.gather(
        *(call(name, "--version", environment=environment, who=who, within_s=ASK_TIMEOUT_S) for name in names)
    )
    found = set()
    for name, answer in zip(names, answers, strict=True):
        match = _PYTHON_VERSION.match(answer.out) if answer is not None and answer.exit_code == 0 else None
        if match is not None and name == f"python{match[1]}":
            found.add(name)
    return found


def _names_in(folder: str) -> list[str]:
    """What is in a folder of programs; nothing if it isn't there or is closed to us."""
    try:
        return [path.name for path in Path(folder or os.curdir).iterdir()]
    except OSError:
        return []


async def detect(
    wishes: Wishes = ALL,
    capabilities: frozenset[str] = frozenset(),
    environment: Mapping[str, str] | None = None,
    who: Person | None = None,
) -> Lent:
    """Find out what this computer has, and choose what the node lends. Adds capabilities that it has.

    `environment` is what jobs get from the node. None: what they get if its admin chooses nothing. `who` is
    their user, if it is another than the node's.

    Raises:
        InputError: a person wrote that the node lends more than there is.
    """
    environment = base_environment(os.environ, own_programs()) if environment is None else environment
    hardware, programs = await asyncio.gather(find_hardware(wishes.counts), find_programs(environment, who))
    return lend(hardware, wishes, programs, capabilities)


def default_node_name() -> str:
    """The first part of the computer's host name."""
    name = socket.gethostname().split(".")[0]
    return name.replace("/", "_")[:MAX_AUTHOR_BYTES] or "node"


class Sampler:
    """Measures for the heartbeats. `gpus` are those whose load it measures, too."""

    def __init__(self, work_dir: Path, gpus: Sequence[Gpu]) -> None:
        self._work_dir = work_dir
        self._gpus = gpus
        self._gpu_percent: tuple[float, ...] = ()
        self._gpus_asked_at = -math.inf
        self._processors = meters.Processors()

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
            cpu_percent=self._processors.percent(),
            memory_available_bytes=meters.memory().available_bytes,
            disk_free_bytes=shutil.disk_usage(self._work_dir).free,
            gpu_percent=self._gpu_percent,
        )
