"""What happened, told line by line as it is read from the log."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

import orjson

from distribute.client.history import told_document
from distribute.client.words import local_moment, printable
from distribute.core.log.recorded import Recorded
from distribute.core.projections.bursts import Bursts, Line, line_of
from distribute.core.projections.history import Told
from distribute.core.telling.sentences import sentence
from distribute.core.telling.wording import Wording
from distribute.core.words import format_duration

ANOTHER = "--- another batch of this name ---"
"""The line between a batch that was deleted and the next of its name."""

_AFTER_WIDTH = 10

Item = TypeVar("Item")


class _Last(Generic[Item]):
    """Hands on the last so many items, once there are no more; all of them, and at once, if that is None."""

    def __init__(self, last: int | None, write: Callable[[Item], object]) -> None:
        self._kept: deque[Item] | None = None if last is None else deque(maxlen=last)
        self._write = write

    def take(self, item: Item) -> None:
        if self._kept is None:
            self._write(item)
        else:
            self._kept.append(item)

    def end(self) -> None:
        for item in self._kept or ():
            self._write(item)


class JsonHistory:
    """One JSON list of events, written as they come: a batch may have half a million."""

    def __init__(self, last: int | None) -> None:
        self._last = _Last[bytes](last, self._write)
        self._before = b"["

    def take(self, told: Told) -> None:
        """Take the next event."""
        self._last.take(orjson.dumps(told_document(told)))

    def end(self) -> None:
        """Write what is left."""
        self._last.end()
        sys.stdout.buffer.write(b"[]\n" if self._before == b"[" else b"]\n")
        sys.stdout.buffer.flush()

    def _write(self, event: bytes) -> None:
        sys.stdout.buffer.write(self._before + event)
        self._before = b",\n"


class QuietHistory:
    """The sequence, type and subject of each event."""

    def __init__(self, last: int | None) -> None:
        self._last = _Last[str](last, print)

    def take(self, told: Told) -> None:
        """Take the next event."""
        self._last.take(quiet_line(told.recorded))

    def end(self) -> None:
        """Write what is left."""
        self._last.end()


class TextHistory:
    """Sentences, each with its time, and with how long it came after the one before."""

    def __init__(self, *, every: bool, last: int | None) -> None:
        self._bursts = None if every else Bursts()
        self._last = _Last[Line](last, self._write)
        self._day = ""
        self._before: Line | None = None

    def take(self, told: Told) -> None:
        """Take the next event."""
        for line in [line_of(told)] if self._bursts is None else self._bursts.take(told):
            self._last.take(line)

    def end(self) -> None:
        """Write what is left."""
        for line in [] if self._bursts is None else self._bursts.rest():
            self._last.take(line)
        self._last.end()

    def _write(self, line: Line) -> None:
        when = datetime.fromtimestamp(line.time).astimezone()
        if (day := f"{when:%A, %Y-%m-%d}") != self._day:
            self._day = day
            print(day)
        if line.begins and self._before is not None:
            print(f"\n{ANOTHER}")
        after = _signed(line.time - self._before.time) if self._before is not None else ""
        refused = "" if line.misfit is None else f" (refused, so it does not count: {line.misfit})"
        self._before = line
        print(f"{when:%H:%M:%S} {after:>{_AFTER_WIDTH}}  {printable(line.sentence + refused)}")


def _signed(seconds: float) -> str:
    """How long after another event this one came, by a clock that may have been set back between them."""
    return format_duration(seconds) if seconds < 0 else f"+{format_duration(seconds)}"


def event_line(recorded: Recorded) -> str:
    """One event of a stream for people: its sequence, its time, and its sentence."""
    when = datetime.fromtimestamp(recorded.time).astimezone()
    told = sentence(recorded.event, Wording(local_moment))
    return f"{recorded.seq:>8}  {when:%Y-%m-%d %H:%M:%S}  {printable(told)}"


def quiet_line(recorded: Recorded) -> str:
    """The sequence, type and subject of an event."""
    return f"{recorded.seq} {recorded.event.type} {printable(str(recorded.event.scope))}"
