"""Guards, events to be appended, and events as the log has recorded them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from distribute.core.ids import Assignments, Guarded, Under
from distribute.core.log.event_base import EARLIEST, LATEST
from distribute.core.log.events import (
    Assigned,
    BatchArchived,
    Compacted,
    Completed,
    Deleted,
    Event,
    JobEvent,
    Submitted,
)

LATE_S = 1.0
"""A report that was under way for fewer seconds came at once, as far as two clocks can tell."""

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

    `behind`: the ids of the scheduler's own events that must be in the log first. If one of them is refused,
    so is this. The sequence of one that the guard covers, too, takes the place of the guard's own.
    """

    event: Event
    guard: Guard
    behind: tuple[str, ...] = ()


def time_of(now: float) -> datetime:
    """Convert a clock's reading, in seconds since 1970, to the time of an event.

    A clock may be far off, for example after a flat battery. Then we use the nearest allowed time.
    """
    return datetime.fromtimestamp(min(max(now, _EARLIEST_S), _LATEST_S), UTC)


def guard_scope(event: Event) -> Guarded:
    """What the guard of an event covers: its scope or, if the event ends a batch, everything under the batch.

    So a reader can trust an event that says that a batch is over. A submission that replaces a batch ends it,
    too. The guard of an assignment in a batch with `max_running` covers all assignments of the batch, so that
    two schedulers together keep to that number.
    The assignment of the last job is guarded as an end is: nobody has others run again meanwhile.
    """
    if isinstance(event, Completed | BatchArchived | Compacted | Deleted):
        return Under(event.scope)
    if isinstance(event, Submitted) and event.replaces is not None:
        return Under(event.scope)
    if isinstance(event, Assigned) and event.last:
        return Under(event.batch_id)
    if isinstance(event, Assigned) and event.limited:
        return Assignments(Under(event.batch_id))
    return event.scope


def guard_behind(append: Append, before: Iterable[tuple[Event, int]]) -> Guard:
    """The guard of an append, once the events that it has to be behind are in the log, at these sequences."""
    guard, scope = append.guard, guard_scope(append.event)
    for event, seq in before:
        under = Under(event.batch_id) if isinstance(event, JobEvent) else None
        if scope in {event.scope, guard_scope(event), under}:
            guard = guard._replace(last_seq=max(guard.last_seq, seq))
    return guard
