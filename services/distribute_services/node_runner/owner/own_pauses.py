"""Decide when this node steps aside by itself, on the terms of the computer's owner. Pure.

Its pause is a lease: it ends when its cause will be over, and is renewed while the cause goes on. So it
hardly outlasts its cause, whatever becomes of this process.

People come first. A person's pause stays as it is; if there is a cause when it ends, the node's own pause
follows without a gap. When a person resumes, the causes of that moment don't count until they are over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set
from dataclasses import dataclass
from enum import Enum

from distribute.core.spec.hours import Hours, LocalTime
from distribute.host import Pause, Presence

LOAD_QUIET_S = 300.0
"""The processes of others must be under the limit for so long."""
RENEWED_S = 300.0
"""A pause is renewed when so much, or half of it, is left."""
FOLLOWS_S = 3.0
"""The node's own pause takes the place of a person's when so much is left of that."""
SETTLED_S = 60.0
"""A node leaves its predecessor's pause as it is for so long: it can't know at once who uses the computer."""
TOLERANCE_S = 60.0
"""The end of a pause may differ by so much from what the terms demand."""
EARLY_S = 2.0
"""A pause that ends by so much too early was ended by a person."""


class Cause(Enum):
    """Why a node steps aside, in words."""

    USE = "the computer is in use"
    HOURS = "outside the hours that it is lent"
    LOAD = "other people's processes need it"


@dataclass(frozen=True, slots=True)
class Terms:
    """When the owner lends the computer. None: this makes no difference."""

    pause_when_active_s: float | None = None
    lend: Hours | None = None
    load_limit: float | None = None


ALWAYS = Terms()
"""The owner lends the computer whatever happens."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Pause for `duration_s` from now. This replaces the pause that there is."""

    duration_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """End the pause."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """A pause that the terms demand, for `duration_s` more; one of this cause has `length_s` at first."""

    cause: Cause
    duration_s: float
    length_s: float
    reason: str


class OwnPauses:
    """Compares what the terms demand with the pause that there is. Ask it every second or so."""

    def __init__(self, terms: Terms, local_time: LocalTime, overruled: Collection[Cause] = ()) -> None:
        """`overruled`: the causes that a person had overruled when an earlier node-runner ended."""
        self._terms = terms
        self._local_time = local_time
        self._over_limit_at: float | None = None
        self._opens: tuple[float, float] | None = None
        """When the hours begin next, and until when that need not be worked out again."""
        self.overruled = self._before = frozenset(overruled)
        """The causes that a person has overruled by resuming. Those of before may not be seen at once."""
        self._known: Pause | None = None
        self._began_at = self._ends_at = 0.0
        """When the known pause was first seen, and when it ends, by the monotonic clock."""
        self._last: Begin | End | None = None
        """What this node has done about the known pause, when it looked last."""
        self._looked = 0.0, 0.0
        """When that was, by both clocks."""
        self._settled_at: float | None = None

    def look(
        self, presence: Presence, paused: Pause | None, *, now: float, time: float
    ) -> Begin | End | None:
        """What to do at `now`, by a monotonic clock, which is `time` in seconds since 1970. None: nothing."""
        if self._settled_at is None:
            self._settled_at = now + SETTLED_S
        wishes = list(self._wishes(presence, now, time))
        causes = {wish.cause for wish in wishes}
        self.overruled &= causes if now >= self._settled_at else causes | self._before
        self._note(paused, causes, now, time)
        wanted = [wish for wish in wishes if wish.cause not in self.overruled]
        step = self._step(max(wanted, key=lambda wish: wish.duration_s, default=None), paused, now)
        self._last, self._looked = step, (now, time)
        return step

    # --- what the terms demand -----------------------------------------------------------------------

    def _wishes(self, presence: Presence, now: float, time: float) -> Iterator[_Wish]:
        terms = self._terms
        if (quiet_s := terms.pause_when_active_s) is not None:
            if presence.blind_to:
                names = ", ".join(presence.blind_to)
                yield _Wish(Cause.USE, quiet_s, quiet_s, f"nothing shows whether {names} is in use")
            elif presence.idle_s is not None and presence.idle_s < quiet_s:
                yield _Wish(Cause.USE, quiet_s - presence.idle_s, quiet_s, Cause.USE.value)
        if terms.lend is not None and not terms.lend.include(self._local_time(time)):
            closed_s = self._opening(terms.lend, time) - time
            yield _Wish(Cause.HOURS, closed_s, closed_s, Cause.HOURS.value)
        if terms.load_limit is not None:
            if presence.others is not None and presence.others > terms.load_limit:
                self._over_limit_at = now
            if self._over_limit_at is not None and now - self._over_limit_at < LOAD_QUIET_S:
                left_s = self._over_limit_at + LOAD_QUIET_S - now
                yield _Wish(Cause.LOAD, left_s, LOAD_QUIET_S, Cause.LOAD.value)

    def _opening(self, lend: Hours, time: float) -> float:
        """When the hours begin. Worked out once a minute: it takes long, and the clock may be changed."""
        if self._opens is None or not self._opens[1] - TOLERANCE_S <= time < min(self._opens):
            opens = lend.next_change(time, self._local_time)
            assert opens is not None, "hours that are closed now open some time"
            self._opens = opens, time + TOLERANCE_S
        return self._opens[0]

    # --- the pause that there is ---------------------------------------------------------------------

    def _note(self, paused: Pause | None, causes: Set[Cause], now: float, time: float) -> None:
        """Note a pause that has begun or changed. One that ended early was ended by a person.

        It must be early by both clocks: one of them stops while the computer sleeps, the other can be set.
        """
        if self._known is not None and paused is None and not isinstance(self._last, End):
            is_early = now < self._ends_at - EARLY_S and time < self._known.until - EARLY_S
            self.overruled |= causes if is_early else frozenset()
        # A new pause may look like the one before, if the clock was set meanwhile.
        if paused != self._known or isinstance(self._last, Begin):
            self._known, self._began_at = paused, now
            if isinstance(self._last, Begin) and paused is not None and paused.by is None:
                # It began when we looked last. The clock may have been set back since.
                looked_at, looked_time = self._looked
                time = max(time, looked_time + now - looked_at)
            self._ends_at = now + (paused.until - time if paused is not None else 0.0)

    def _step(self, wanted: _Wish | None, paused: Pause | None, now: float) -> Begin | End | None:
        assert self._settled_at is not None, "the first look sets it"
        is_settled = now >= self._settled_at
        left_s = self._ends_at - now
        if wanted is None:
            is_ours = paused is not None and paused.by is None
            return End() if is_ours and is_settled and left_s > FOLLOWS_S else None
        begin = Begin(wanted.duration_s, wanted.reason)
        more_s = wanted.duration_s - left_s
        if paused is None:
            return begin if wanted.duration_s > min(EARLY_S, wanted.length_s / 10) else None
        if paused.by is not None:
            return begin if left_s < FOLLOWS_S and more_s > 0 else None
        length_s = self._ends_at - self._began_at
        is_due = left_s < min(RENEWED_S, length_s / 2) and more_s > min(1.0, length_s / 10)
        is_longer = wanted.reason != paused.reason and more_s > TOLERANCE_S
        is_shorter = is_settled and more_s < -TOLERANCE_S
        return begin if is_due or is_longer or is_shorter else None
