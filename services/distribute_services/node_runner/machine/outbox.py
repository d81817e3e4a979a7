"""The outbox: the events that this node appends about one attempt or one build, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import TypedDict

from distribute.core.log.events import Event
from distribute.core.log.recorded import Append, Guard, time_of

NewId = Callable[[], str]


class Stamp(TypedDict):
    """The fields of every event for its author, its time and its cause."""

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


class _Activity(Enum):
    """What the node is doing in a scope."""

    NOTHING = auto()
    APPENDING = auto()
    READING = auto()


@dataclass(slots=True, eq=False)
class Outbox:
    """The node's events in one scope. They are appended one after another.

    `cause` is the id of the event that causes the next one. `last_seq` is the sequence of the scope's last
    event; None: unknown, so nothing is appended before the scope was read.
    """

    cause: str
    last_seq: int | None
    in_log: list[Event] = field(default_factory=list)
    to_append: deque[Event] = field(default_factory=deque)
    read_again: bool = False
    """The scope must be read as soon as the current append or read is over."""
    _refused_by: int = 0
    _activity: _Activity = _Activity.NOTHING
    _root: str = ""
    """The id of the event that causes the first event."""

    def __post_init__(self) -> None:
        self._root = self.cause

    @property
    def is_empty(self) -> bool:
        """Was there never an event?"""
        return not self.in_log and not self.to_append

    def are_stored_before(self, seq: int) -> bool:
        """Are all events in the log, before the message at this sequence?"""
        return not self.to_append and self.last_seq is not None and self.last_seq < seq

    def add(self, event: Event) -> None:
        """Queue an event behind the others."""
        self.to_append.append(event)
        self.cause = event.id

    def next(self) -> Append | None:
        """The event to append now, if there is one. Then call `stored` or `refused`."""
        if self._activity is not _Activity.NOTHING or self.last_seq is None or not self.to_append:
            return None
        self._activity = _Activity.APPENDING
        return Append(self.to_append[0], Guard(self.last_seq))

    def stored(self, seq: int) -> None:
        """Call this when the event is in the log."""
        self.in_log.append(self.to_append.popleft())
        self.last_seq = seq
        self._activity = _Activity.NOTHING

    def refused(self, last_seq: int) -> None:
        """Call this when the guard failed. The scope's last message is at `last_seq`; 0: unknown."""
        self.last_seq = None
        self._refused_by = last_seq
        self._activity = _Activity.NOTHING

    def begin_reading(self) -> bool:
        """Should the scope be read now? If the node is busy there, it is read after that."""
        self.read_again = self._activity is not _Activity.NOTHING
        if self.read_again:
            return False
        self._activity = _Activity.READING
        self.last_seq = None
        return True

    def end_reading(self) -> None:
        """Call this when the scope was read. Nothing is appended unless `reread` follows."""
        self._activity = _Activity.NOTHING

    def reread(
        self, behind: Collection[str], before: Collection[str], last_seq: int, new_id: NewId, root: str | None
    ) -> None:
        """Queue again the events that the scope lacks. It ends at `last_seq`.

        The scope holds the events `behind`, and also the events `before`, which do not count where they are.
        `root` is the id of the event that causes the first event; None: as before.

        The fold demands that each event names the one before it as its cause. So from the first event that
        the scope lacks, all are appended again. An event gets a new id if the log has its id already, or if
        its cause has changed.
        """
        renamed: dict[str | None, str] = {self._root: root} if root is not None else {}
        in_log, to_append = list[Event](), deque[Event]()
        for event in (*self.in_log, *self.to_append):
            causation = renamed.get(event.causation, event.causation)
            is_there = event.id in behind or event.id in before
            if not to_append and event.id in behind and causation == event.causation:
                in_log.append(event)
            elif not is_there and causation == event.causation:
                to_append.append(event)
            else:
                renamed[event.id] = new_id()
                again = {"id": renamed[event.id], "causation": causation}
                to_append.append(event.model_copy(update=again))
        self.in_log, self.to_append = in_log, to_append
        self.cause = renamed.get(self.cause, self.cause)
        self._root = root or self._root
        # The message that beat our last event may be unreadable, so it is not among those that were read.
        self.last_seq = max(last_seq, self._refused_by)
        self._refused_by = 0

    def take_over(self, found: Sequence[Event]) -> None:
        """Take the events that an earlier runner appended. Ours follow from them; none repeats a type."""
        types = {event.type for event in found}
        self.cause = found[-1].id if found else self._root
        more = deque[Event]()
        for event in (*self.in_log, *self.to_append):
            if event.type not in types:
                more.append(event.model_copy(update={"causation": self.cause}))
                self.cause = event.id
        self.in_log, self.to_append = list(found), more

    def drop(self) -> None:
        """Append nothing more."""
        self.last_seq = None
