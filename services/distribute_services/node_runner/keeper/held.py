"""When a unit's processes must be signalled: its clock, its limits, and how it is ended.

Pure: time is an argument, in seconds of a monotonic clock.
"""

from __future__ import annotations

import signal

LEFTOVER_GRACE_S = 2.0
"""Longest time from SIGTERM to SIGKILL for processes that a job left running."""

WARNING = 0
"""Stands for the unit's warning among the signals that are due: not all of its processes get that."""

_SOON_S = 0.1
_SOON_ROUNDS = 10
_LATER_S = 1.0
_MAX_ROUNDS = 40
"""SIGKILLs are repeated each `_SOON_S` at first, then each `_LATER_S`: half a minute in all."""


class Clock:
    """Seconds that a unit has run. It stands still while the unit is frozen."""

    __slots__ = ("_paused_s", "_ran_s", "_since", "stopped_at")

    def __init__(self, since: float) -> None:
        self._since = since
        self._ran_s = 0.0
        self._paused_s = 0.0
        self.stopped_at: float | None = None

    def ran(self, now: float) -> float:
        """Seconds that the unit has run, without pauses."""
        return self._ran_s + (0.0 if self.stopped_at is not None else now - self._since)

    def paused(self, now: float) -> float:
        """Seconds that the unit was frozen."""
        return self._paused_s + (now - self.stopped_at if self.stopped_at is not None else 0.0)

    def stop(self, now: float) -> None:
        """The unit is frozen."""
        if self.stopped_at is None:
            self._ran_s, self.stopped_at = self.ran(now), now

    def go_on(self, now: float) -> None:
        """The unit is thawed."""
        if self.stopped_at is not None:
            self._paused_s, self._since, self.stopped_at = self.paused(now), now, None

    def when(self, ran_s: float) -> float | None:
        """When the unit will have run for so long; None while it is frozen."""
        return None if self.stopped_at is not None else self._since + ran_s - self._ran_s


class Held:
    """The times of one unit.

    Methods return the numbers of the signals that all its processes get now. SIGKILL means that none may be
    left. `WARNING` is no signal: it means that the unit is to be warned.
    """

    __slots__ = ("_is_ending", "_kill_at", "_rounds", "_timeout_s", "_warn_s", "clock", "grace_s", "why")

    def __init__(
        self,
        now: float,
        *,
        timeout_s: float | None = None,
        grace_s: float = 0.0,
        warn_s: float | None = None,
    ) -> None:
        """`warn_s`: so many seconds before its timeout, the unit is warned."""
        self.clock = Clock(now)
        self.grace_s = grace_s
        self.why: str | None = None
        """Why it is ended; None: it ended by itself, or lives."""
        self._timeout_s = timeout_s
        self._warn_s = warn_s
        self._is_ending = False
        self._kill_at: float | None = None
        self._rounds = 0

    @property
    def is_frozen(self) -> bool:
        """Are its processes stopped?"""
        return self.clock.stopped_at is not None

    @property
    def is_ending(self) -> bool:
        """Was it asked to end?"""
        return self._is_ending

    @property
    def resists(self) -> bool:
        """Do its processes survive every SIGKILL?"""
        return self._rounds >= _MAX_ROUNDS

    def due(self) -> float | None:
        """When `act` must be called next; None: not before something else happens."""
        if self._is_ending:
            return self._kill_at
        if self._timeout_s is None:
            return None
        if self._warn_s is not None:
            return self.clock.when(max(0.0, self._timeout_s - self._warn_s))
        return self.clock.when(self._timeout_s)

    def act(self, now: float) -> list[int]:
        """What is due now."""
        due = self.due()
        if due is None or due > now:
            return []
        if self._is_ending:
            self._rounds += 1
            self._kill_at = now + (_SOON_S if self._rounds < _SOON_ROUNDS else _LATER_S)
            return [signal.SIGKILL]
        if self._warn_s is not None:
            self._warn_s = None
            return [WARNING, *self.act(now)]
        return self.end("timeout", self.grace_s, now)

    def end_leftovers(self, now: float) -> list[int]:
        """Its process has ended: end what that left."""
        return [] if self._is_ending else self.end(None, min(self.grace_s, LEFTOVER_GRACE_S), now)

    def end(self, why: str | None, grace_s: float, now: float) -> list[int]:
        """End the unit. If it is ended already, the earlier of both times for SIGKILL counts.

        A frozen unit is killed at once: the computer's owner has it now, so the unit must not run for a grace
        period. `why` None: its process has ended, and these are the processes that it left.
        """
        if self.is_frozen:
            grace_s = 0.0
        kill_at = now + grace_s
        asks = not self._is_ending and grace_s > 0
        if not self._is_ending:
            self._is_ending = True
            self.why = why
        if self._kill_at is None or kill_at < self._kill_at:
            self._kill_at = kill_at
        return ([signal.SIGTERM] if asks else []) + self.act(now)

    def freeze(self, now: float) -> None:
        """Stop the clock. If the unit is being ended, the rest of its grace period is cancelled."""
        self.clock.stop(now)
        if self._is_ending:
            self._kill_at = now

    def thaw(self, now: float) -> None:
        """Let the clock go on."""
        self.clock.go_on(now)
