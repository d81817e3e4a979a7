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
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from pathlib import Path

import psutil

from distribute.core.ids import MAX_NAME_BYTES
from distribute.host import Capacity, Figures

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 10.0
"""Max. seconds to wait for a program that we ask about this computer. `nvidia-smi` can take 3 s."""

GPU_FIGURES_EVERY_S = 30.0
"""Seconds between two calls of `nvidia-smi`. A call takes 20 ms to 1 s of a core: too much for every beat."""

_PYTHON_VERSION = re.compile(r"Python (3\.\d+)")

_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_UNLIMITED_BYTES = 1 << 60
"""cgroup v1 writes "no limit" as a number near 2**63."""


async def detect(
    *,
    cpus: int | None = None,
    memory_bytes: int | None = None,
    gpus: tuple[str, ...] | None = None,
    capabilities: frozenset[str] = frozenset(),
) -> Capacity:
    """Detect what this process may use of this computer. Arguments replace what would be detected.

    Adds to `capabilities`: `apptainer`, `gpu`, `python3`, and `python3.N` (its version: of the `python3` that
    jobs would get), if this computer has them.
    """
    if gpus is None:
        gpus = tuple(await _nvidia("name"))
    found = set(capabilities)
    if gpus:
        found.add("gpu")
    if shutil.which("apptainer"):
        found.add("apptainer")
    if version := _PYTHON_VERSION.match(await _ask("python3", "--version") or ""):
        found |= {"python3", f"python{version[1]}"}
    return Capacity(
        cpus=cpus if cpus is not None else _cpus(),
        memory_bytes=memory_bytes if memory_bytes is not None else _memory_bytes(),
        gpus=gpus,
        capabilities=frozenset(found),
    )


def default_node_name() -> str:
    """The first part of the computer's host name."""
    name = socket.gethostname().split(".")[0]
    return name.replace("/", "_")[:MAX_NAME_BYTES] or "node"


class Sampler:
    """Measures for the heartbeats. `has_gpus`: measure GPUs, too."""

    def __init__(self, work_dir: Path, *, has_gpus: bool) -> None:
        self._work_dir = work_dir
        self._has_gpus = has_gpus
        self._gpu_percent: tuple[float, ...] = ()
        self._gpus_asked_at = -math.inf
        psutil.cpu_percent(None)  # the next call measures from this one on

    async def sample(self) -> Figures:
        """Measure now; `cpu_percent` since the last call. Takes about 100 µs without GPUs."""
        now = time.monotonic()
        if self._has_gpus and now - self._gpus_asked_at >= GPU_FIGURES_EVERY_S:
            self._gpus_asked_at = now
            self._gpu_percent = tuple(map(_percent, await _nvidia("utilization.gpu")))
            if not self._gpu_percent:
                self._has_gpus = False  # the driver is broken, which is logged: don't wait for it again
        return Figures(
            load=os.getloadavg()[0],
            cpu_percent=psutil.cpu_percent(None),
            memory_available_bytes=psutil.virtual_memory().available,
            disk_free_bytes=shutil.disk_usage(self._work_dir).free,
            gpu_percent=self._gpu_percent,
        )


def _cpus() -> int:
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(math.ceil(quota) for quota in _cpu_quotas())]))


def _cpu_quotas() -> Iterator[float]:
    """The limits in cores that cgroups set, v2 (`QUOTA PERIOD`, or `max PERIOD`) and v1."""
    for folder in _cgroup_folders("", _CGROUP, _CGROUP / "unified"):
        match _words(folder / "cpu.max"):
            case [quota, period] if quota != "max":
                yield int(quota) / int(period)
    for folder in _cgroup_folders("cpu", _CGROUP / "cpu", _CGROUP / "cpu,cpuacct"):
        match _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us"):
            case [quota, period] if int(quota) > 0:
                yield int(quota) / int(period)


def _memory_bytes() -> int:
    limits = [psutil.virtual_memory().total]
    for folder in _cgroup_folders("", _CGROUP, _CGROUP / "unified"):
        limits += [int(word) for word in _words(folder / "memory.max") if word != "max"]
    for folder in _cgroup_folders("memory", _CGROUP / "memory"):
        limits += [
            int(word) for word in _words(folder / "memory.limit_in_bytes") if int(word) < _UNLIMITED_BYTES
        ]
    return min(limits)


def _cgroup_folders(controller: str, *mounts: Path) -> Iterator[Path]:
    """This process's cgroup of a controller (`""`: version 2) and all its parents: each may have a limit.

    In a container the path may be that of the host, which does not exist there. Then the mount's root counts.
    """
    for line in _OWN_CGROUPS.read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            for mount in mounts:
                own = mount / path.lstrip("/")
                yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(mount))


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


async def _nvidia(figure: str) -> list[str]:
    """One figure of every GPU, in order of index; empty if there is none or the driver is broken."""
    if shutil.which("nvidia-smi") is None:
        return []
    answer = await _ask("nvidia-smi", f"--query-gpu={figure}", "--format=csv,noheader,nounits")
    return answer.splitlines() if answer is not None else []


def _percent(text: str) -> float:
    """A GPU's use; 0 if the driver says `[N/A]`, as it does of a GPU in partitions (MIG)."""
    try:
        return float(text)
    except ValueError:
        return 0.0


async def _ask(program: str, *arguments: str) -> str | None:
    """The output of a program. None if it isn't installed, fails or hangs. Logs the last two."""
    if shutil.which(program) is None:
        return None
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), ASK_TIMEOUT_S)
    except TimeoutError:
        log.warning("%s did not answer within %g s: this node ignores it", program, ASK_TIMEOUT_S)
        process.kill()
        # A program that hangs in a broken driver can't even be killed.
        await asyncio.wait({asyncio.create_task(process.wait())}, timeout=1)
        return None
    if process.returncode != 0:
        complaint = (err or out).decode(errors="replace").strip()
        log.warning("%s failed with exit code %s: %s", program, process.returncode, complaint)
        return None
    return out.decode(errors="replace").strip()
