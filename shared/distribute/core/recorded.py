"""Guards, events to be appended, and events as the log has recorded them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from distribute.core.event_base import EARLIEST, LATEST
from distribute.core.events import BatchArchived, Completed, Deleted, Event
from distribute.core.ids import Scope, Under

_EARLIEST_S, _LATEST_S = EARLIEST.timestamp(), LATEST.timestamp()


class Guard(NamedTuple):
    """The condition of an append: the last event of the guarded scope is at `last_seq` (0: there is none).

    Events at or before sequence `since` do not count: they belong to a deleted batch of the same name.
    `guard_scope` says what is guarded.
    """

    last_seq: int
    since: int = 0

    def holds(self, found_seq: int) -> bool:
        """Does the guard hold if the last event is at `found_seq`?"""
        return found_seq == self.last_seq or (self.last_seq <= self.since and found_seq <= self.since)

    @property
    def behind(self) -> int:
        """An event that passed the guard is the first one in the guarded scope behind this sequence."""
        return max(self.last_seq, self.since)


class Recorded(NamedTuple):
    """An event in the log: its sequence, and the log's own time, in seconds since 1970."""

    seq: int
    time: float
    event: Event


class Append(NamedTuple):
    """An event to be appended under a guard. Pure code returns this instead of writing.

    `follows`: the guard is the sequence of the append just before this one. If that one is refused, so is
    this.
    """

    event: Event
    guard: Guard
    follows: bool = False


def time_of(now: float) -> datetime:
    """Convert a clock's reading, in seconds since 1970, to the time of an event.

    A clock may be far off, for example after a flat battery. Then we use the nearest allowed time.
    """
    return datetime.fromtimestamp(min(max(now, _EARLIEST_S), _LATEST_S), UTC)


def guard_scope(event: Event) -> Scope | Under:
    """What the guard of an event covers: its scope or, if the event ends a batch, everything under the batch.

    So a reader can trust an event that says that a batch is over.
    """
    if isinstance(event, Completed | BatchArchived | Deleted):
        return Under(event.scope)
    return event.scope
