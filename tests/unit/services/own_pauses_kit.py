"""A computer that has nothing but a pause, two clocks, and a node that steps aside."""

from __future__ import annotations

from datetime import UTC, datetime

from distribute.host import Pause, Presence
from distribute_services.node_runner.owner.own_pauses import Begin, End, OwnPauses, Terms

MIDNIGHT = datetime(2030, 1, 7, tzinfo=UTC).timestamp()
"""The begin of a Monday."""


def local_time(moment: float) -> datetime:
    """The clock on the wall."""
    return datetime.fromtimestamp(moment, UTC)


class Desk:
    """Somebody sits at it, or not. `now` is the monotonic clock, `offset` leads to seconds since 1970."""

    def __init__(self, terms: Terms, *, cap_s: float = 4 * 3600.0) -> None:
        self.terms = terms
        self.own_pauses = OwnPauses(terms, local_time)
        self.now = 1000.0
        self.offset = MIDNIGHT + 12 * 3600 - self.now
        self.used_at: float | None = None
        self.others = 0.0
        self.blind_to: tuple[str, ...] = ()
        self.pause: Pause | None = None
        self.ends_at = 0.0
        self.cap_s = cap_s
        self.steps: list[Begin | End] = []

    @property
    def time(self) -> float:
        return self.now + self.offset

    @property
    def reason(self) -> str | None:
        return self.pause.reason if self.pause is not None else None

    @property
    def left_s(self) -> float:
        return self.ends_at - self.now if self.pause is not None else 0.0

    def use(self) -> None:
        self.used_at = self.now

    def begin(self, duration_s: float, by: str | None, reason: str = "") -> None:
        """Pause, as the host does: the lease ends by itself, by the monotonic clock."""
        duration_s = min(duration_s, self.cap_s)
        self.pause = Pause(self.time + duration_s, by, reason)
        self.ends_at = self.now + duration_s

    def restart(self) -> None:
        """Another node-runner goes on with what this one has noted."""
        self.own_pauses = OwnPauses(self.terms, local_time, self.own_pauses.overruled)

    def resume(self) -> None:
        self.pause = None

    def look(self) -> None:
        idle_s = None if self.used_at is None else self.now - self.used_at
        presence = Presence(idle_s, ("terminals",), self.blind_to, self.others)
        step = self.own_pauses.look(presence, self.pause, now=self.now, time=self.time)
        match step:
            case Begin(duration_s, reason):
                assert duration_s > 0
                self.begin(duration_s, None, reason)
            case End():
                assert self.pause is not None
                assert self.pause.by is None
                self.resume()
            case None:
                return
        self.steps.append(step)

    def wait(self, seconds: float, *, every: float = 1.0, used: bool = False) -> None:
        """Let time pass, and look at each step. `used`: somebody uses the computer all the time."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + every)
            if used:
                self.use()
            if self.pause is not None and self.now >= self.ends_at:
                self.pause = None
            self.look()
