"""Whether the kernel has ended a unit because memory was short: it tells nobody but its log."""

from __future__ import annotations

import signal

from distribute_services.node_runner.keeper import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from distribute_services.node_runner.keeper.units import Unit

_SHARED_S = 0.05
_SHELL_SAYS_SIGNAL = 128
"""A shell adds this to the signal that ended its child, and ends with that exit code."""


class Shortage:
    """Notices when the kernel ends processes because memory is short, in all or in a cgroup."""

    def __init__(self) -> None:
        self._seen = procfs.oom_kills()
        self._seen_at = float("-inf")

    def begin(self, unit: Unit, now: float) -> None:
        """The unit begins: an earlier lack of memory does not concern it.

        To look takes 30 µs, so units that begin soon after each other share a look.
        """
        if now >= self._seen_at + _SHARED_S:
            self._seen, self._seen_at = procfs.oom_kills(), now
        unit.oom_kills = self._seen

    def has_ended(self, unit: Unit, code: int | None, number: int | None) -> bool:
        """Has the kernel probably ended the unit, or a child of its shell, because memory was short?"""
        if signal.SIGKILL not in {number, (code or 0) - _SHELL_SAYS_SIGNAL}:
            return False
        self._seen = procfs.oom_kills()
        return self._seen > unit.oom_kills
