"""The history of a batch of thousands of jobs in some dozen lines: alike events are told together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from distribute.core.log import events as ev
from distribute.core.projections.history import Told
from distribute.core.telling.sentences import Groupable, manner, sentence_of_many
from distribute.core.words import format_duration

FEW = 4
"""So many events that are alike are told one by one."""

SHORTEST_S = 60.0
LONGEST_SHARE = 0.5
"""A burst lasts at most a minute, or half as long as its batch had been there before. So the history of a day
has a dozen bursts, not hundreds."""


class Line(NamedTuple):
    """A line of a history: one event, or a burst of `events` from `time` to `until`, by the log's clock.

    `begins`: a batch was submitted, so what follows is about no earlier one of its name.
    """

    seq: int
    time: float
    sentence: str
    misfit: str | None = None
    events: int = 1
    until: float = 0.0
    begins: bool = False


def line_of(told: Told) -> Line:
    """An event as a line of its own."""
    seq, time, event = told.recorded
    begins = event.type == "submitted" and event.replaces is None and told.misfit is None
    return Line(seq, time, told.sentence, told.misfit, until=time, begins=begins)


@dataclass(slots=True)
class _Alike:
    """Events that are alike: the first ones, and of all of them what a sentence tells."""

    first: list[Told] = field(default_factory=list)
    jobs: dict[str, None] = field(default_factory=dict)
    nodes: dict[str, None] = field(default_factory=dict)
    count: int = 0
    until: float = 0.0

    def add(self, told: Told, event: Groupable) -> None:
        self.count += 1
        self.until = told.recorded.time
        if len(self.first) < FEW:
            self.first.append(told)
        if isinstance(event, ev.JobEvent):
            self.jobs[event.job] = None
        self.nodes[event.node] = None

    def lines(self) -> Iterator[Line]:
        if self.count <= FEW:
            yield from map(line_of, self.first)
            return
        first = self.first[0]
        seq, time, event = first.recorded
        assert event.about != "batch", "such events are told alone"
        told = sentence_of_many(event, list(self.jobs), list(self.nodes), self.count, first.known)
        if (took := self.until - time) >= 1:
            told += f", within {format_duration(round(took))}"
        yield Line(seq, time, told, events=self.count, until=self.until)


class Bursts:
    """Makes lines of a batch's events. What somebody does to the whole batch ends a burst."""

    def __init__(self) -> None:
        self._alike: dict[tuple[str, str], _Alike] = {}
        self._begun = 0.0
        self._submitted_at = 0.0

    def take(self, told: Told) -> list[Line]:
        """Take the next event. Returns the lines that are complete."""
        _, time, event = told.recorded
        if event.about == "batch" or told.misfit is not None:
            if event.type == "submitted" and told.misfit is None:
                self._submitted_at = time
            return [*self.rest(), line_of(told)]
        age = self._begun - self._submitted_at
        is_over = self._alike and time - self._begun > max(SHORTEST_S, LONGEST_SHARE * age)
        lines = self.rest() if is_over else []
        if not self._alike:
            self._begun = time
        self._alike.setdefault((event.type, manner(event, told.known)), _Alike()).add(told, event)
        return lines

    def rest(self) -> list[Line]:
        """The lines of the events that were taken and not told yet."""
        lines = sorted(line for alike in self._alike.values() for line in alike.lines())
        self._alike.clear()
        return lines
