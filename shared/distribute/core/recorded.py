"""An event on its way into the log, under a guard, and as the log has it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from distribute.core.event_base import EARLIEST, LATEST
from distribute.core.events import BatchArchived, Completed, Deleted, Event
from distribute.core.ids import Scope, Under

_EARLIEST_S, _LATEST_S = EARLIEST.timestamp(), LATEST.timestamp()


class Guard(NamedTuple):
    """The condition of an append: the last event of what it guards is at `last_seq` (0: there is none).

    `since` is the sequence that the scope's story begins behind: events at or before it belong to a deleted
    batch of the same name, and count as none. What is guarded: `guard_scope`.
    """

    last_seq: int
    since: int = 0

    def holds(self, found_seq: int) -> bool:
        """Does the guard let an event pass, where the last event is at `found_seq`?"""
        return found_seq == self.last_seq or (self.last_seq <= self.since and found_seq <= self.since)

    @property
    def behind(self) -> int:
        """An event that passed the guard is the first of what it guards behind this sequence."""
        return max(self.last_seq, self.since)


class Recorded(NamedTuple):
    """An event in the log: its sequence, and the log's own time, in seconds since 1970."""

    seq: int
    time: float
    event: Event


class Append(NamedTuple):
    """An event to be appended, under a guard. What pure code returns instead of writing.

    `follows`: the sequence of the append made just before this one is what `guard` is to be; where that one
    is refused, so is this.
    """

    event: Event
    guard: Guard
    follows: bool = False


def time_of(now: float) -> datetime:
    """A clock's reading, in seconds since 1970, as the time of an event.

    A clock that is out of bounds, as after a flat battery, stops nobody: its nearest bound is taken instead.
    """
    return datetime.fromtimestamp(min(max(now, _EARLIEST_S), _LATEST_S), UTC)


def guard_scope(event: Event) -> Scope | Under:
    """What must not have moved on for the event to be stored: its scope; for what ends a batch, everything
    under the batch. So whoever reads that a batch is over may believe it."""
    if isinstance(event, Completed | BatchArchived | Deleted):
        return Under(event.scope)
    return event.scope
