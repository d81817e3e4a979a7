"""The ledger of a job: where the time of its whole life went, to the millisecond.

It judges each moment by the predicates that `decide` uses, over the state that `apply` makes of the events
that it is given. So a job's own events, those of its batch's scope and builds, and those of nodes suffice,
unless its batch lets it begin only after others (`depends_on_others`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from enum import StrEnum
from math import ceil
from typing import NamedTuple, get_args

from distribute.core import events as ev
from distribute.core.fold import apply
from distribute.core.ids import BatchId, JobId
from distribute.core.matching import ends, is_paused
from distribute.core.outcomes import process_end, process_start
from distribute.core.recorded import Recorded
from distribute.core.specs import BatchSpec
from distribute.core.state import (
    CLAIMED,
    ENDED,
    QUEUED,
    RETRYING,
    RUNNING,
    Attempt,
    BatchState,
    State,
    Status,
)
from distribute.core.waits_for import WaitsFor, waits_for


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


BUILD_TYPES = frozenset({"build_started", "build_finished"})
"""The types of the builds' events that a ledger needs."""

NODE_TYPES = frozenset(
    kind.model_fields["type"].default
    for kind in get_args(get_args(ev.Event)[0])
    if issubclass(kind, ev.NodeEvent)
)
"""The types of nodes' events. A ledger needs all of them: whether one fits may depend on any before it."""

_WAITS = {one: Phase(one.value) for one in WaitsFor}
_WAITING = frozenset(_WAITS.values())
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


def depends_on_others(spec: BatchSpec, job: str, events: Iterable[Recorded]) -> bool:
    """May what happens to other jobs of the batch keep this one waiting, by the batch's own limits?

    `events`: of the batch's own scope; a person may have given it limits by an edit.
    """
    if spec.max_running is not None or spec.max_failures is not None or spec.last_job == job:
        return True
    edits = (one.event for one in events if isinstance(one.event, ev.Edited))
    return any(edit.max_running or edit.max_failures for edit in edits)


class JobLedger:
    """The ledger of one job, by what the fold accepts of the events that this is given, in order.

    Of other batches, only those matter for which its own waits (`after`), and of these only how they end.
    """

    def __init__(self, job: JobId) -> None:
        self.job = job
        self._state = State()
        self._submissions: set[str] = set()
        """The submissions that the state has had."""
        self._book: _Book | None = None
        self._at_ms = 0
        """The latest time of an event; the log's clock may have been set back since."""

    @property
    def exists(self) -> bool:
        """Is there such a job?"""
        return self._book is not None

    def fold(self, recorded: Recorded) -> None:
        """Fold the next event."""
        state, event = self._state, recorded.event
        if recorded.seq <= state.seq:
            return
        self._pass_time(_ms(recorded.time))
        if isinstance(event, ev.BatchEvent):
            self._stand_in(event)
        before = self._find()
        attempt = before[0].active.get(before[1]) if before is not None else None
        misfits = state.misfits
        apply(state, recorded)
        if state.misfits != misfits:
            return
        if isinstance(event, ev.Submitted | ev.Deleted) and event.scope == self.job.batch_id:
            is_there = self._find() is not None
            self._book = _Book(self._at_ms) if is_there else None
        elif self._book is not None and isinstance(event, ev.JobEvent) and event.scope == self.job:
            self._book.note(event, attempt, recorded.time, self._at_ms)

    def ledger(self, now: float) -> Ledger | None:
        """The ledger as of `now`, by the log's clock. None: there is no such job."""
        found = self._find()
        if self._book is None or found is None:
            return None
        book, now_ms = self._book.copy(), max(self._at_ms, _ms(now))
        _pass_time(self._state, *found, book, self._at_ms, now_ms)
        is_over = phase_of(self._state, *found, now_ms / 1000) is Phase.OVER
        return book.ledger(now_ms, is_over=is_over)

    def _stand_in(self, event: ev.BatchEvent) -> None:
        """Give the state an empty batch where it has not been given the submission of one that matters."""
        if isinstance(event, ev.Submitted):
            self._submissions.add(event.id)
            for after in event.spec.after or ():
                self._add_empty(BatchId(after.namespace, after.batch), after.submission)
        elif isinstance(event, ev.SubmissionEvent) and event.submission is not None:
            self._add_empty(event.scope, event.submission)

    def _add_empty(self, batch: BatchId, submission: str) -> None:
        if batch == self.job.batch_id or batch in self._state.batches or submission in self._submissions:
            return
        self._submissions.add(submission)
        self._state.batches[batch] = _empty_batch(batch, submission, self._state)

    def _find(self) -> tuple[BatchState, int] | None:
        batch = self._state.batches.get(self.job.batch_id)
        row = batch.rows.get(self.job.job) if batch is not None else None
        return (batch, row) if batch is not None and row is not None else None

    def _pass_time(self, to_ms: int) -> None:
        found = self._find()
        if self._book is not None and found is not None:
            _pass_time(self._state, *found, self._book, self._at_ms, to_ms)
        self._at_ms = max(self._at_ms, to_ms)


def _empty_batch(batch: BatchId, submission: str, state: State) -> BatchState:
    return BatchState(
        id=batch,
        seq=state.seq,
        submission=submission,
        last_seq=state.seq,
        under_seq=state.seq,
        cause=submission,
        user="",
        kind="",
        priority=0,
        matrix_user=None,
        notify=(),
        submitted_at=state.time,
        needs_build=False,
        groups=(),
        names=[],
        file_order=None,
        rows={},
        status=bytearray(),
        job_seq=array("Q"),
        attempts=array("I"),
        counts=[0] * len(Status),
    )


class _Part:
    """What one entry adds up to."""

    __slots__ = ("node", "since_ms", "took_ms")

    def __init__(self, since_ms: int, took_ms: int, node: str | None) -> None:
        self.since_ms, self.took_ms, self.node = since_ms, took_ms, node


class _Book:
    """The parts of a job's life, by attempt and phase."""

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._parts: dict[tuple[int, Phase], _Part] = {}
        self._unstarted_pause_ms = 0
        """For how long the present attempt was paused before it started."""
        self._over: tuple[int, int] | None = None
        """The last attempt of a job that is over, and since when it is."""

    def copy(self) -> _Book:
        """A copy to go on with."""
        found = _Book(self._since_ms)
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
        start = process_start(time, event, attempt.assigned_at, attempt.started_at)
        end_ms = min(now_ms, max(begin_ms, _ms(process_end(time, event, attempt.assigned_at))))
        start_ms = end_ms if start is None else min(end_ms, max(begin_ms, _ms(start)))
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


def _pass_time(state: State, batch: BatchState, row: int, book: _Book, at_ms: int, to_ms: int) -> None:
    """Add to the book what the job does between two moments in which no event comes."""
    while at_ms < to_ms:
        later = (_ms_from(moment) for moment in _moments(state, batch, row))
        end_ms = min((moment for moment in later if moment > at_ms), default=to_ms)
        end_ms = min(end_ms, to_ms)
        phase = phase_of(state, batch, row, at_ms / 1000)
        attempt = batch.active.get(row)
        number = batch.attempts[row] + (phase in _WAITING)
        node = attempt.node if attempt is not None else None
        is_started = batch.status[row] == RUNNING
        book.add(phase, number, node, at_ms, end_ms, is_started=is_started)
        at_ms = end_ms


def phase_of(state: State, batch: BatchState, row: int, now: float) -> Phase:
    """What the job in this row does, or waits for, at a moment of the log's clock."""
    status = Status(batch.status[row])
    if status in ENDED:
        return Phase.ARCHIVING if row in batch.unarchived else Phase.OVER
    if status == RETRYING:
        return Phase.ARCHIVING
    if status == QUEUED:
        return Phase.ELSEWHERE if batch.ran_at is not None else _WAITS[waits_for(state, batch, row, now)]
    attempt = batch.active[row]
    node = state.nodes.get(attempt.node)
    if node is not None and is_paused(node, now):
        return Phase.PAUSED
    if status == RUNNING:
        return Phase.RUNNING
    return Phase.BUILDING if status == CLAIMED and attempt.node in batch.building else Phase.STAGING


def _moments(state: State, batch: BatchState, row: int) -> Iterator[float]:
    """The moments, past and to come, at which the job's phase may change though no event comes."""
    status = batch.status[row]
    if status == QUEUED:
        if batch.limits.not_before is not None:
            yield batch.limits.not_before
        for node in state.nodes.values():
            yield from ends(node)
    elif row in batch.active:
        held_by = state.nodes.get(batch.active[row].node)
        if held_by is not None and held_by.paused_until is not None:
            yield held_by.paused_until


def _ms(time: float) -> int:
    return round(time * 1000)


def _ms_from(moment: float) -> int:
    """The first whole millisecond that is not before a moment."""
    found = ceil(moment * 1000)
    return found if found / 1000 >= moment else found + 1
