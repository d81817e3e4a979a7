"""The ledgers of jobs: each adds up to the job's life, and its own few events tell it as all events do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from random import Random

from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.projections.attempts import alone
from distribute.core.projections.course import Course
from distribute.core.projections.ends import END_TYPES, Ends, ends_told
from distribute.core.projections.ledger import BUILD_TYPES, NODE_TYPES, JobLedger, Ledger, depends_on_others
from distribute.core.projections.ledger_book import whole_ms
from distribute.core.spec.specs import After, BatchSpec
from distribute.core.state.state import ENDED, BatchState, State

from .story import require

LOOKED_AT = 2
"""So many jobs of a world: each takes as long as a replay."""


def add_up(log: Sequence[Recorded], state: State, happened: Counter[str]) -> None:
    """Check the ledgers of a few jobs of the log, which adds up to this state."""
    jobs = [batch.job_id(row) for batch in state.batches.values() for row in range(len(batch.names))]
    for job in Random(len(log)).sample(jobs, min(LOOKED_AT, len(jobs))):
        batch = state.batches[job.batch_id]
        found = _read(job, log)
        _adds_up(job, found, batch, log)
        for entry in found.entries:
            happened[f"time in a ledger: {entry.phase.value}"] += 1
        submitted = next(one.event for one in log if one.event.id == batch.submission)
        assert isinstance(submitted, ev.Submitted)
        events = _few(job, log, state, submitted.spec)
        is_kept = any(one.name == job.job and one.kept for one in submitted.spec.work.jobs)
        if not is_kept and not depends_on_others(submitted.spec, job.job, events):
            few = alone(job, events, Course.of(batch))
            if few is not None:
                require(
                    _read(job, few, until=log[-1]) == found, f"the few events of {job} tell another ledger"
                )
                happened["a ledger of few events"] += 1


def _read(job: JobId, log: Sequence[Recorded], until: Recorded | None = None) -> Ledger:
    """The ledger as of the end of the log."""
    read = JobLedger(job)
    for recorded in log:
        read.fold(recorded)
    found = read.ledger((until or log[-1]).time)
    require(found is not None, f"{job} has no ledger")
    assert found is not None
    return found


def _adds_up(job: JobId, found: Ledger, batch: BatchState, log: Sequence[Recorded]) -> None:
    row = batch.rows[job.job]
    life_ms = round(1000 * found.until) - round(1000 * found.submitted_at)
    require(found.total_ms == life_ms, f"the ledger of {job} adds up to {found.total_ms} of {life_ms} ms")
    negative = [entry for entry in found.entries if entry.took_ms < 0]
    require(not negative, f"the ledger of {job} has {negative}")
    is_over = batch.status[row] in ENDED and row not in batch.unarchived
    require(found.is_over == is_over, f"the ledger of {job} is over: {found.is_over}, the job: {is_over}")
    began_seq = _began_seq(job, log, batch)
    before = max(recorded.time for recorded in log if recorded.seq <= began_seq)
    require(round(1000 * found.submitted_at) == whole_ms(before), f"{job} was submitted at {before}")


def _began_seq(job: JobId, log: Sequence[Recorded], batch: BatchState) -> int:
    """The sequence of the submission with which the job began: a later one may have kept it."""
    submissions = {one.event.id: one for one in log if isinstance(one.event, ev.Submitted)}
    seq, of = batch.seq, batch.submission
    while isinstance(event := submissions[of].event, ev.Submitted):
        seq = submissions[of].seq
        if event.replaces is None or not any(
            one.name == job.job and one.kept for one in event.spec.work.jobs
        ):
            break
        of = event.replaces
    return seq


def _few(job: JobId, log: Sequence[Recorded], state: State, spec: BatchSpec) -> list[Recorded]:
    """What is read for a ledger: see `client.ledger`."""
    batch = state.batches[job.batch_id]
    own_seq = max(one.seq for one in log if _is_own(one.event, job, batch))

    def matters(recorded: Recorded) -> bool:
        event = recorded.event
        if isinstance(event, ev.NodeEvent):
            return event.type in NODE_TYPES and (batch.end is None or recorded.seq <= own_seq)
        if event.batch_id != job.batch_id or recorded.seq < batch.seq:
            return False
        if isinstance(event, ev.BatchEvent):
            return not isinstance(event, ev.Submitted) or event.id == batch.submission
        return event.scope == job or event.type in BUILD_TYPES

    ends = chain.from_iterable(_ends(after, log, state) for after in spec.after or ())
    return [*filter(matters, log), *ends]


def _ends(after: After, log: Sequence[Recorded], state: State) -> list[Recorded]:
    """How a batch ended for which the job's waits."""
    batch = BatchId(after.namespace, after.batch)
    course = Course.of(state.find(batch))
    under = [one for one in log if not isinstance(one.event, ev.NodeEvent) and one.event.batch_id == batch]
    if course.submission == after.submission:
        few = (one for one in under if one.seq > course.seq and one.event.type in END_TYPES)
        told = ends_told(few, course)
        if told is not None:
            return told
    ends = Ends(batch)
    for recorded in under:
        ends.fold(recorded)
    return ends.accepted


def _is_own(event: ev.Event, job: JobId, batch: BatchState) -> bool:
    """Is this an event of the job, or of its batch's own scope?"""
    return event.scope == job or event.scope == batch.id
