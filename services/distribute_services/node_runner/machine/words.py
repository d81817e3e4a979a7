"""The events that this node appends about one attempt or one build."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import TypedDict

from distribute.core.events import Event
from distribute.core.recorded import Append, Guard, time_of

NewId = Callable[[], str]


class Stamp(TypedDict):
    """What every event says of its author, its time and its cause."""

    id: str
    time: datetime
    author: str
    causation: str | None


@dataclass(frozen=True, slots=True)
class Author:
    """This node as the author of events. `clock` gives seconds since 1970."""

    node: str
    new_id: NewId
    clock: Callable[[], float]

    def stamp(self, causation: str | None) -> Stamp:
        return {
            "id": self.new_id(),
            "time": time_of(self.clock()),
            "author": self.node,
            "causation": causation,
        }


class Talk(Enum):
    """What goes on in a scope."""

    QUIET = auto()
    SENDING = auto()
    READING = auto()


@dataclass(slots=True, eq=False)
class Words:
    """The node's events in one scope, one after another, each behind the one before.

    `cause` is the id of the event from which the next one follows. `last_seq` is the sequence of the
    scope's last event; None: not known, so nothing is said before the scope was read.
    """

    cause: str
    last_seq: int | None
    said: list[Event] = field(default_factory=list)
    unsaid: deque[Event] = field(default_factory=deque)
    read_again: bool = False
    """The scope is to be read as soon as what goes on there is over."""
    _refused_by: int = 0
    _talk: Talk = Talk.QUIET

    @property
    def is_empty(self) -> bool:
        """Whether there was never anything to say."""
        return not self.said and not self.unsaid

    def add(self, event: Event) -> None:
        """This event is to be appended behind the others."""
        self.unsaid.append(event)
        self.cause = event.id

    def next(self) -> Append | None:
        """The event to append now, if there is one. Its answer is `stored` or `refused`."""
        if self._talk is not Talk.QUIET or self.last_seq is None or not self.unsaid:
            return None
        self._talk = Talk.SENDING
        return Append(self.unsaid[0], Guard(self.last_seq))

    def stored(self, seq: int) -> None:
        """The event is in the log."""
        self.said.append(self.unsaid.popleft())
        self.last_seq = seq
        self._talk = Talk.QUIET

    def refused(self, last_seq: int) -> None:
        """Another message is in the scope, which ends at `last_seq`; 0: at an unknown place."""
        self.last_seq = None
        self._refused_by = last_seq
        self._talk = Talk.QUIET

    def begin_reading(self) -> bool:
        """Whether to read the scope now. If something goes on there, it is read after that."""
        self.read_again = self._talk is not Talk.QUIET
        if self.read_again:
            return False
        self._talk = Talk.READING
        self.last_seq = None
        return True

    def end_reading(self) -> None:
        """The scope was read. Nothing is said, unless `reread` follows."""
        self._talk = Talk.QUIET

    def reread(
        self,
        found: Collection[str],
        last_seq: int,
        misplaced: Collection[str] = (),
        new_id: NewId | None = None,
    ) -> None:
        """The scope ends at `last_seq` and holds the events `found`. Say again what it lacks.

        It also holds the events `misplaced`, where they count for nothing. They are said again as other
        events, for the log takes an id only once.
        """
        events = [*self.said, *self.unsaid]
        self.said = [event for event in events if event.id in found]
        self.unsaid = deque(
            event.model_copy(update={"id": new_id()}) if new_id and event.id in misplaced else event
            for event in events
            if event.id not in found
        )
        # What beat the last word may be no event that could be read.
        self.last_seq = max(last_seq, self._refused_by)
        self._refused_by = 0

    def drop(self) -> None:
        """Say nothing more."""
        self.last_seq = None
