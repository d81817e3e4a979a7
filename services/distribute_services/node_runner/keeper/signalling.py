"""Signals to all processes of a unit, and to those that belong to no unit."""

from __future__ import annotations

import signal
import time
from functools import partial

from distribute_services.node_runner.keeper import freezing, procfs
from distribute_services.node_runner.keeper.held import WARNING
from distribute_services.node_runner.keeper.units import signal_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from distribute_services.node_runner.keeper.units import Unit, Units

_STOP_S = 0.1
"""Longest time for which the keeper stops processes before it kills them."""


def send(units: Units, unit: Unit, numbers: list[int]) -> None:
    """Send signals to a unit, one after another."""
    for number in numbers:
        if number == signal.SIGKILL:
            _kill(units, unit)
        elif number == WARNING:
            warned = procfs.to_warn(units.own_members(unit), unit.pid, unit.warning)
            signal_all(warned, [unit.warning])
        else:
            # A stopped process handles a signal only when it continues.
            asked = (number, signal.SIGCONT) if number == signal.SIGTERM else (number,)
            members = units.members(unit)
            if unit.status is None:  # it still needs the files, for what it does in its grace period
                members = {pid: one for pid, one in members.items() if not procfs.serves_files(pid)}
            signal_all(members, asked)


def _kill(units: Units, unit: Unit) -> None:
    grouped: set[int] = set()
    if unit.cgroup is not None:
        unit.cgroup.kill()
        grouped = unit.cgroup.pids()
    found = units.members(unit)
    if len(found.keys() - grouped) > 1:  # stopped, they have no more children
        freezing.stop(unit, partial(units.members, unit), time.monotonic() + _STOP_S, grouped)
        found = units.members(unit)
    signal_all(found, [signal.SIGKILL])


class Strays:
    """The processes that belong to no unit."""

    def __init__(self, units: Units) -> None:
        self._units = units
        self._seen: set[int] = set()

    def sweep(self) -> None:
        """End them: with SIGTERM, and with SIGKILL when they are seen again."""
        strays = set(self._units.strays())
        signal_all(strays - self._seen, [signal.SIGTERM, signal.SIGCONT])
        signal_all(strays & self._seen, [signal.SIGKILL])
        self._seen = strays

    def settle(self) -> None:
        """Before the first unit of an idle keeper: kill what earlier ones left in spite of all signals."""
        if not len(self._units) and self._seen:
            signal_all(self._units.strays(), [signal.SIGKILL])
            self._seen = set()
