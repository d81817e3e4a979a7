"""`Person`: the author of a person's events, with the sources of their ids and times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict


class Stamp(TypedDict):
    """The fields of every event: its id, the time by its author's clock, its author."""

    id: str
    time: datetime
    author: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person who writes events. A simulation gives its own `new_id` and `now`."""

    name: str
    new_id: Callable[[], str]
    now: Callable[[], datetime]

    def stamp(self) -> Stamp:
        """The id, time and author of a new event."""
        return Stamp(id=self.new_id(), time=self.now(), author=self.name)
