"""The decisions of one call of `decide`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypedDict

from distribute.core.folding.fold_job import is_unwanted
from distribute.core.log import events as ev
from distribute.core.log.recorded import Append, Guard, time_of
from distribute.core.scheduling.agenda import Agenda
from distribute.core.state.state import BatchState


class Stamp(TypedDict):
    """The fields of an event for its id, author, time and cause."""

    id: str
    time: datetime
    author: str
    causation: str | None


class Decisions:
    """The events decided on so far. Each is planned in the agenda at once."""

    def __init__(self, agenda: Agenda, new_id: Callable[[], str], most: int | None = None) -> None:
        self.agenda = agenda
        self._most = most
        self.made: list[Append] = []
        self._new_id = new_id
        self._time = time_of(agenda.now)

    @property
    def has_limit(self) -> bool:
        """Is the number of events limited, so that further calls follow?"""
        return self._most is not None

    @property
    def is_full(self) -> bool:
        """Is the limit reached? Then the next call makes further decisions."""
        return self._most is not None and len(self.made) >= self._most

    def stamp(self, because_of: str | None = None) -> Stamp:
        """The stamp of a new event. `because_of`: the id of its cause; by default, the last event folded."""
        return {
            "id": self._new_id(),
            "time": self._time,
            "author": ev.SCHEDULER,
            "causation": because_of or self.agenda.state.cause or None,
        }

    def add(self, event: ev.Event, guard: Guard, behind: tuple[str, ...] = ()) -> None:
        """Decide on an event. `behind`: as `Append` has it."""
        self.agenda.plan(event)
        self.made.append(Append(event, guard, behind))

    def release(
        self, batch: BatchState, row: int, reason: ev.ReleaseReason, because_of: str | None = None
    ) -> str:
        """Decide to take an attempt from its node. Returns the id of the event."""
        event = ev.Released(
            **self.stamp(because_of),
            **batch.attempt_id(row)._asdict(),
            node=batch.active[row].node,
            submission=batch.submission_of(row),
            reason=reason,
        )
        self.add(event, Guard(batch.job_seq[row], batch.seq))
        return event.id

    def stop(self, batch: BatchState, row: int) -> None:
        """Decide to have an attempt ended by its node, which then says what it left."""
        attempt, kill = batch.active[row], batch.kill_of(row)
        moved_by = None if is_unwanted(batch, row) else attempt.moved_by
        event = ev.StopOrdered(
            **self.stamp(batch.cause),
            **batch.attempt_id(row)._asdict(),
            node=attempt.node,
            submission=batch.submission_of(row),
            by=kill.by if kill is not None else moved_by,
            whole_batch=batch.killed is not None or batch.end is not None,
            moved=True if moved_by is not None else None,
        )
        self.add(event, Guard(batch.job_seq[row], batch.seq))
