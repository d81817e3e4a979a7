"""Stop and continue all processes of a unit, with its cgroup or with signals."""

from __future__ import annotations

import signal
import time

from distribute_services.node_runner.keeper.units import signal_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from distribute_services.node_runner.keeper import procfs
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
    if unit.cgroup is None:
        return stop(unit, members, until, spared=set())
    frozen = unit.cgroup.await_frozen(until)
    return stop(unit, members, until, spared=unit.cgroup.pids()) and frozen


def stop(unit: Unit, members: Members, until: float, spared: set[int]) -> bool:
    """Send SIGSTOP to all processes of a unit but `spared`, until no running one appears.

    It gives up at `until`, but looks `_CLEAN_LOOKS` times in any case: a unit must not run on because another
    one was slow to stop, and took all the time.
    """
    looks = clean = 0
    while clean < _CLEAN_LOOKS:
        looks += 1
        running = {
            pid: process.started
            for pid, process in members().items()
            if not process.stopped and pid not in spared
        }
        clean = 0 if running else clean + 1
        if running:
            unit.stopped.update(running.items())
            signal_all(running, [signal.SIGSTOP])
            if looks >= _CLEAN_LOOKS and time.monotonic() > until:
                return False
    return True


def thaw(unit: Unit, members: Members) -> None:
    """Let a unit's processes go on, except those that were stopped already when we stopped the others."""
    if unit.cgroup is not None:
        unit.cgroup.thaw()
    ours = [pid for pid, process in members().items() if (pid, process.started) in unit.stopped]
    signal_all(ours, [signal.SIGCONT])
    unit.stopped = set()
