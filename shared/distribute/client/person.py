"""Who acts, and where that person's events get their ids and times from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict


class Stamp(TypedDict):
    """What every event carries: its id, the time by its author's clock, its author."""

    id: str
    time: datetime
    author: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person who writes events. `new_id` and `now` are arguments, so that a simulation can give its own."""

    name: str
    new_id: Callable[[], str]
    now: Callable[[], datetime]

    def stamp(self) -> Stamp:
        """The id, time and author of a new event."""
        return Stamp(id=self.new_id(), time=self.now(), author=self.name)
