"""The limits of this process: those of its cgroups, which a container, SLURM or systemd may have set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from distribute_services.node_runner.host import meters

_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_UNLIMITED_BYTES = 1 << 60
"""cgroup v1 writes "no limit" as a number near 2**63."""


def cpu_quotas() -> Iterator[float]:
    """The limits in cpus that cgroups set, v2 (`QUOTA PERIOD`, or `max PERIOD`) and v1."""
    for folder in _cgroup_folders("", _CGROUP, _CGROUP / "unified"):
        match _words(folder / "cpu.max"):
            case [quota, period] if quota != "max":
                yield int(quota) / int(period)
    for folder in _cgroup_folders("cpu", _CGROUP / "cpu", _CGROUP / "cpu,cpuacct"):
        match _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us"):
            case [quota, period] if int(quota) > 0:
                yield int(quota) / int(period)


def memory_bytes() -> int:
    """The memory that this process may use: all there is, or less if its cgroup has a limit."""
    limits = [meters.memory().total_bytes]
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
