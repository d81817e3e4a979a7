"""The ledger of a job: where the time of its whole life went, to the millisecond.

It judges each moment by the predicates that `decide` uses, over the state that `apply` makes of the events
that it is given. So a job's own events, those of its batch's scope and builds, and those of nodes suffice,
unless its batch lets it begin only after others (`depends_on_others`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil

from distribute.core.explaining.waits_for import WaitsFor, waits_for
from distribute.core.folding.fold import apply
from distribute.core.folding.fold_batch import advance
from distribute.core.folding.replacing import is_kept
from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.projections.ledger_book import Book, whole_ms
from distribute.core.projections.ledger_book import Entry as Entry
from distribute.core.projections.ledger_book import Ledger as Ledger
from distribute.core.projections.ledger_book import Phase as Phase
from distribute.core.scheduling.matching import ends, is_paused
from distribute.core.spec.specs import BatchSpec, CommandWork
from distribute.core.state.state import (
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

BUILD_TYPES = frozenset({"build_started", "build_finished"})
"""The types of the builds' events that a ledger needs."""

NODE_TYPES = ev.types_of(ev.NodeEvent)
"""The types of nodes' events. A ledger needs all of them: whether one fits may depend on any before it."""

_WAITS = {one: Phase(one.value) for one in WaitsFor}
_WAITING = frozenset(_WAITS.values())


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
        self._book: Book | None = None
        self._at_ms = 0
        """The latest time of an event; the log's clock may have been set back since."""

    @property
    def exists(self) -> bool:
        """Is there such a job?"""
        return self._book is not None

    def fold(self, recorded: Recorded) -> None:
        """Fold the next event."""
        state, event = self._state, recorded.event
        if recorded.seq <= state.seq or type(event) is ev.Compacted:
            return  # of a compacted batch, the state would keep no jobs
        self._pass_time(whole_ms(recorded.time))
        if event.about == "batch":
            self._stand_in(event)
        attempt = self._attempt() if event.about == "job" and event.scope == self.job else None
        if apply(state, recorded) is not None:
            return
        if isinstance(event, ev.Submitted | ev.Deleted) and event.scope == self.job.batch_id:
            found = self._find()
            if found is None or not is_kept(found[0], self.job.job):
                self._book = Book(self._at_ms) if found is not None else None
        elif self._book is not None and event.about == "job" and event.scope == self.job:
            self._book.note(event, attempt, recorded.time, self._at_ms)

    def ledger(self, now: float) -> Ledger | None:
        """The ledger as of `now`, by the log's clock. None: there is no such job."""
        found = self._find()
        if self._book is None or found is None:
            return None
        book, now_ms = self._book.copy(), max(self._at_ms, whole_ms(now))
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
        """Add one, unless the submission is known. An earlier one that has its name was replaced by then."""
        there = self._state.batches.get(batch)
        has_jobs = there is not None and len(there.names) > 0
        if batch == self.job.batch_id or has_jobs or submission in self._submissions:
            return
        self._submissions.add(submission)
        empty = self._state.batches[batch] = _empty_batch(batch, submission, self._state)
        if there is not None and there.end is None:
            empty.continues = there.submissions  # only what is over, or continued, is replaced

    def _attempt(self) -> Attempt | None:
        """The attempt that the job is in now."""
        found = self._find()
        return found[0].active.get(found[1]) if found is not None else None

    def _find(self) -> tuple[BatchState, int] | None:
        batch = self._state.batches.get(self.job.batch_id)
        row = batch.rows.get(self.job.job) if batch is not None else None
        return (batch, row) if batch is not None and row is not None else None

    def _pass_time(self, to_ms: int) -> None:
        if self._book is not None and (found := self._find()) is not None:
            _pass_time(self._state, *found, self._book, self._at_ms, to_ms)
        self._at_ms = max(self._at_ms, to_ms)


def _empty_batch(batch: BatchId, submission: str, state: State) -> BatchState:
    """A batch that was just submitted, without jobs: whatever end of it the log tells fits."""
    work = CommandWork.model_construct(jobs=())
    spec = BatchSpec.model_construct(**batch._asdict(), work=work)
    submitted = ev.Submitted.model_construct(**batch._asdict(), id=submission, user="", spec=spec)
    found, _ = advance(None, Recorded(state.seq, state.time, submitted))
    assert found is not None, "it was submitted just now"
    return found


def _pass_time(state: State, batch: BatchState, row: int, book: Book, at_ms: int, to_ms: int) -> None:
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


def _ms_from(moment: float) -> int:
    """The first whole millisecond that is not before a moment."""
    found = ceil(moment * 1000)
    return found if found / 1000 >= moment else found + 1
