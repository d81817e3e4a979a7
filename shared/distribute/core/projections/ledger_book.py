"""The entries of a job's ledger, as they add up."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from distribute.core.folding.outcomes import process_end, process_start, written_at
from distribute.core.log import events as ev
from distribute.core.state.state import Attempt


class Phase(StrEnum):
    """What a job does, or waits for, at a moment.

    The first four are those of `WaitsFor`. `UPLOADING` lasts until its node has reported its end, `ARCHIVING`
    until what it left can be pulled. `LOST` is the whole time of an attempt that was taken from its node,
    given back by it, or excused. `ELSEWHERE`: its batch ran on another system. `OVER`: it was over, until
    somebody had it run again.
    """

    BATCH = "batch"
    NODE = "node"
    OWNER = "owner"
    TURN = "turn"
    STAGING = "staging"
    BUILDING = "building"
    RUNNING = "running"
    PAUSED = "paused"
    UPLOADING = "uploading"
    ARCHIVING = "archiving"
    LOST = "lost"
    ELSEWHERE = "elsewhere"
    OVER = "over"


_WITH_A_NODE = (Phase.STAGING, Phase.BUILDING, Phase.PAUSED, Phase.RUNNING)
_OF_AN_ATTEMPT = (*_WITH_A_NODE, Phase.UPLOADING, Phase.ARCHIVING)


class Entry(NamedTuple):
    """So many milliseconds of a job's life. `attempt`: of this one, or of the wait for it.

    `since` is when its first part began, in seconds since 1970 by the log's clock; parts of other entries may
    lie between its own.
    """

    phase: Phase
    since: float
    took_ms: int
    attempt: int
    node: str | None


class Ledger(NamedTuple):
    """A job's life from its submission to its end, or to now. The entries add up to it."""

    submitted_at: float
    until: float
    is_over: bool
    entries: tuple[Entry, ...]

    @property
    def total_ms(self) -> int:
        """The length of its life."""
        return sum(entry.took_ms for entry in self.entries)


class _Part:
    """What one entry adds up to."""

    __slots__ = ("node", "since_ms", "took_ms")

    def __init__(self, since_ms: int, took_ms: int, node: str | None) -> None:
        self.since_ms, self.took_ms, self.node = since_ms, took_ms, node


class Book:
    """The parts of a job's life, by attempt and phase."""

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._parts: dict[tuple[int, Phase], _Part] = {}
        self._unstarted_pause_ms = 0
        """For how long the present attempt was paused before it started."""
        self._over: tuple[int, int] | None = None
        """The last attempt of a job that is over, and since when it is."""

    def copy(self) -> Book:
        """A copy to go on with."""
        found = Book(self._since_ms)
        found._parts = {
            key: _Part(part.since_ms, part.took_ms, part.node) for key, part in self._parts.items()
        }
        found._unstarted_pause_ms, found._over = self._unstarted_pause_ms, self._over
        return found

    def add(
        self, phase: Phase, attempt: int, node: str | None, begin_ms: int, end_ms: int, *, is_started: bool
    ) -> None:
        """Add the time between two moments."""
        if phase is Phase.OVER:
            self._over = self._over or (attempt, begin_ms)
            return
        if self._over is not None:
            ended, since_ms = self._over
            self._put(ended, Phase.OVER, since_ms, begin_ms - since_ms)
            self._over = None
        if phase is Phase.PAUSED and not is_started:
            self._unstarted_pause_ms += end_ms - begin_ms
        self._put(attempt, phase, begin_ms, end_ms - begin_ms, node)

    def note(self, event: ev.JobEvent, attempt: Attempt | None, time: float, now_ms: int) -> None:
        """Note what an accepted event of the job says of the time that has passed. `attempt`: before it."""
        match event:
            case ev.Assigned():
                self._unstarted_pause_ms = 0
            case ev.Finished() if attempt is not None:
                self._cut(event, attempt, time, now_ms)
            case ev.Released(reason="killed"):
                pass  # it had not begun, and nobody lost anything
            case ev.Released() | ev.Yielded() | ev.Excused():
                self._lose(event.attempt, event.node)
            case _:
                pass

    def ledger(self, now_ms: int, *, is_over: bool) -> Ledger:
        """The ledger as of now."""
        until_ms = now_ms if self._over is None else self._over[1]
        entries = sorted(
            (part.since_ms, attempt, phase, part) for (attempt, phase), part in self._parts.items()
        )
        return Ledger(
            self._since_ms / 1000,
            until_ms / 1000,
            is_over,
            tuple(
                Entry(phase, since_ms / 1000, part.took_ms, attempt, part.node)
                for since_ms, attempt, phase, part in entries
                if part.took_ms
            ),
        )

    def _put(self, attempt: int, phase: Phase, since_ms: int, took_ms: int, node: str | None = None) -> None:
        part = self._parts.get((attempt, phase))
        if part is None:
            self._parts[attempt, phase] = _Part(since_ms, took_ms, node)
        else:
            part.took_ms += took_ms

    def _take(self, attempt: int, phases: tuple[Phase, ...]) -> dict[Phase, _Part]:
        """Take these parts of an attempt out of the book."""
        found = {phase: self._parts.pop((attempt, phase), None) for phase in phases}
        return {phase: part for phase, part in found.items() if part is not None}

    def _cut(self, event: ev.Finished, attempt: Attempt, time: float, now_ms: int) -> None:
        """Divide the time with the node anew: its report says when the process started, ended and stood."""
        parts = self._take(attempt.number, _WITH_A_NODE)
        total_ms = sum(part.took_ms for part in parts.values())
        begin_ms = now_ms - total_ms
        reported_at = written_at(time, event, attempt.lag_s, attempt.assigned_at)
        start = process_start(reported_at, event, attempt.assigned_at, attempt.started_at)
        end_ms = min(now_ms, max(begin_ms, whole_ms(process_end(reported_at, event, attempt.assigned_at))))
        start_ms = end_ms if start is None else min(end_ms, max(begin_ms, whole_ms(start)))
        held_ms, run_ms = start_ms - begin_ms, end_ms - start_ms
        stood_ms = min(run_ms, round(event.paused_s * 1000))
        built = parts.get(Phase.BUILDING)
        built_ms = min(held_ms, built.took_ms) if built is not None else 0
        waited_ms = min(held_ms - built_ms, self._unstarted_pause_ms)
        paused = parts.get(Phase.PAUSED)
        for phase, since_ms, took_ms in (
            (Phase.STAGING, begin_ms, held_ms - built_ms - waited_ms),
            (Phase.BUILDING, built.since_ms if built is not None else begin_ms, built_ms),
            (Phase.PAUSED, paused.since_ms if paused is not None else start_ms, waited_ms + stood_ms),
            (Phase.RUNNING, start_ms, run_ms - stood_ms),
            (Phase.UPLOADING, end_ms, now_ms - end_ms),
        ):
            self._put(attempt.number, phase, since_ms, took_ms, attempt.node)

    def _lose(self, attempt: int, node: str) -> None:
        """Count the whole time of an attempt as lost."""
        parts = self._take(attempt, _OF_AN_ATTEMPT).values()
        if parts:
            since_ms = min(part.since_ms for part in parts)
            self._put(attempt, Phase.LOST, since_ms, sum(part.took_ms for part in parts), node)


def whole_ms(time: float) -> int:
    """Seconds as whole milliseconds, cut as `rfc3339` cuts them: people see one time for one event."""
    return round(time * 1_000_000) // 1000
