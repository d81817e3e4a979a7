"""Stop and continue all processes of a unit, with its cgroup or with signals."""

from __future__ import annotations

import os
import select
import signal
import time

from distribute_services.node_runner.keeper.units import signal_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from distribute_services.node_runner.keeper import procfs
    from distribute_services.node_runner.keeper.cgroup import Cgroup
    from distribute_services.node_runner.keeper.units import Unit

    Members = Callable[[], dict[int, procfs.Stat]]

_CLEAN_LOOKS = 2
"""Looks in a row that must find every process stopped. One is not enough: a process may have started another
and ended while we looked, so that we saw neither."""


def settle(unit: Unit, members: Members, until: float) -> bool:
    """Wait until all processes of a unit are stopped; stop those that its cgroup does not have.

    Gives up at `until`, by the monotonic clock. Returns True if all are stopped. Call it again from time to
    time: a process that waits for a disk stops late.
    """
    grouped: set[int] = set()
    if unit.cgroup is not None:
        frozen = _await_frozen(unit.cgroup, until)
        grouped = unit.cgroup.pids()
        return stop(unit, members, until, spared=grouped) and frozen
    return stop(unit, members, until, spared=grouped)


def stop(unit: Unit, members: Members, until: float, spared: set[int]) -> bool:
    """Send SIGSTOP to all processes of a unit but `spared`, until no running one appears."""
    clean = 0
    is_first = not unit.held.is_frozen
    while True:
        found = {pid: process for pid, process in members().items() if pid not in spared}
        running = [pid for pid, process in found.items() if not process.stopped]
        if is_first:
            unit.stopped_itself = {(pid, found[pid].started) for pid in found.keys() - set(running)}
            is_first = False
        if not running:
            clean += 1
            if clean == _CLEAN_LOOKS:
                return True
            continue
        clean = 0
        if time.monotonic() > until:
            return False
        signal_all(running, [signal.SIGSTOP])


def thaw(unit: Unit, members: Members) -> None:
    """Let a unit's processes go on, except those that had stopped themselves."""
    if unit.cgroup is not None:
        unit.cgroup.thaw()
    found = members()
    signal_all(
        (pid for pid, process in found.items() if (pid, process.started) not in unit.stopped_itself),
        [signal.SIGCONT],
    )
    unit.stopped_itself = set()


def _await_frozen(cgroup: Cgroup, until: float) -> bool:
    """Wait until the kernel has stopped all processes of a cgroup."""
    if cgroup.is_frozen:
        return True
    fd = os.open(f"{cgroup.path}/cgroup.events", os.O_RDONLY)
    try:
        changes = select.poll()
        changes.register(fd, select.POLLPRI)
        while not cgroup.is_frozen:
            left_s = until - time.monotonic()
            if left_s <= 0:
                return False
            os.pread(fd, 256, 0)
            changes.poll(min(left_s, 0.01) * 1000)
    finally:
        os.close(fd)
    return True
