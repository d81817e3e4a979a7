"""`Person`: the author of a person's events, with the sources of their ids and times."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
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


def user_name() -> str:
    """This person's login, by which their events name them. A uid without a name is named by its number."""
    from distribute.core.ids import check_author  # 50 ms, which --help and --version do not need

    try:
        return check_author(getpass.getuser())
    except (KeyError, OSError, ValueError):  # no entry in passwd, or a LOGNAME that can't be a name
        return str(os.getuid())


def this_person() -> Person:
    """Who runs this program."""
    from distribute.core.ids import ulid

    def new_id() -> str:
        return ulid(time.time_ns() // 1_000_000, os.urandom(10))

    return Person(user_name(), new_id, lambda: datetime.now(UTC))
