"""What is being decided in one call of `decide`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypedDict

from distribute.core import events as ev
from distribute.core.agenda import Agenda
from distribute.core.events import Append, Guard


class Stamp(TypedDict):
    """The fields of an event that say who wrote it and when."""

    id: str
    time: datetime
    author: str


class Decisions:
    """What was decided so far, each planned in the agenda at once. `now` is in seconds since 1970."""

    def __init__(self, agenda: Agenda, now: float, new_id: Callable[[], str]) -> None:
        self.agenda = agenda
        self.now = now
        self.made: list[Append] = []
        self._new_id = new_id
        self._time = datetime.fromtimestamp(now, UTC)

    def stamp(self) -> Stamp:
        """The stamp of a new event."""
        return {"id": self._new_id(), "time": self._time, "author": ev.SCHEDULER}

    def add(self, event: ev.Event, guard: Guard) -> None:
        """Decide on an event."""
        self.agenda.plan(event)
        self.made.append(Append(event, guard))
