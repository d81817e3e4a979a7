"""Fold what people ask of a batch: to kill or retry jobs of it, to hold it, to release it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from distribute.core.folding.fold_job import forget_failure, note_kill
from distribute.core.folding.gates import failed_with_batch
from distribute.core.log import events as ev
from distribute.core.state.last_job import run_last_again
from distribute.core.state.state import BatchState, Holding, Kill, Status
from distribute.core.state.statuses import move_all, rows_with, set_status

_WAITING = bytes((Status.QUEUED, Status.RETRYING))


def kill(batch: BatchState, time: float, event: ev.KillRequested) -> str | None:
    """Kill waiting jobs, and mark jobs in flight, which the scheduler then has ended.

    Of two kills of a job, the first counts.
    """
    if batch.end is not None:
        return "the batch is over"
    wanted = Kill(event.author, time)
    if event.job is not None:
        return _kill_one(batch, wanted, event.job, only_waiting=event.state is not None)
    for row in {*batch.reasons, *batch.last_lines}:
        if batch.status[row] in _WAITING:
            forget_failure(batch, row)
    if event.state is None:
        batch.killed = batch.killed or wanted
        batch.discards = batch.discards or event.discard
    else:
        # Each by itself, because its assignment may be under way.
        batch.killed_rows.update((row, wanted) for row, one in enumerate(batch.status) if one in _WAITING)
    move_all(batch, Status.QUEUED, Status.KILLED)
    move_all(batch, Status.RETRYING, Status.KILLED)
    batch.moved_from.clear()
    return None


def _kill_one(batch: BatchState, kill: Kill, job: str, *, only_waiting: bool) -> str | None:
    """Kill one job."""
    row = batch.rows.get(job)
    if row is None:
        return f"there is no job {job!r}"
    if batch.status[row] in _WAITING:
        note_kill(batch, row, None)
    elif row not in batch.active or only_waiting:
        return None  # the job ended or began while the request was on its way
    if batch.killed is None:
        batch.killed_rows.setdefault(row, kill)  # also if it waited: its assignment may be under way
    return None


def retry(batch: BatchState, time: float, event: ev.RetryRequested) -> str | None:
    """Queue failed or killed jobs again, and forget their failures. Hold the batch, if the person wants that.

    Failures of the others do not count for `max_failures` any more: else the retried jobs could not begin.
    """
    if batch.killed is not None and batch.end is None:
        return "the batch is still being killed"
    if batch.ran_at is not None:
        return f"the batch ran at {batch.ran_at}, and nothing here runs it"
    # A list, because the loop changes the statuses.
    for row in list(_rows_to_retry(batch, event)):
        set_status(batch, row, Status.RETRYING if row in batch.unarchived else Status.QUEUED)
        batch.inexcusable.discard(row)
        for forgotten in (batch.killed_rows, batch.failures, batch.suspects, batch.deaths):
            forgotten.pop(row, None)
        forget_failure(batch, row)
    batch.forgiven = set(rows_with(batch, Status.FAILED)) - {batch.last_row}
    if batch.killed is not None:  # what stays killed may still have an assignment under way
        for row in rows_with(batch, Status.KILLED):
            batch.killed_rows.setdefault(row, batch.killed)
    if batch.end_reason is not None:
        _note_why_they_failed(batch, batch.end_reason)
    batch.killed, batch.discards = None, False
    batch.build_failed.clear()
    batch.build_lines.clear()
    batch.end = batch.end_reason = batch.finished_at = None
    batch.archived = False
    run_last_again(batch)
    return hold(batch, Holding(event.author, time)) if event.hold else None


def _note_why_they_failed(batch: BatchState, end_reason: str) -> None:
    """Note for the jobs that failed with their batch, and stay so, why that ended: the batch forgets it."""
    finished_at = batch.outcomes.finished_at
    for row in rows_with(batch, Status.FAILED):
        if not len(finished_at) or not finished_at[row]:
            batch.reasons.setdefault(row, failed_with_batch(batch, row, end_reason) or end_reason)


def _rows_to_retry(batch: BatchState, event: ev.RetryRequested) -> Iterable[int]:
    """The rows that failed or were killed, as far as the person wants them."""
    wanted = {Status.FAILED: not event.killed_only, Status.KILLED: not event.failed_only}
    statuses = [status for status, is_wanted in wanted.items() if is_wanted]
    if event.jobs is None:
        return chain.from_iterable(rows_with(batch, status) for status in statuses)
    named = sorted({batch.rows[job] for job in event.jobs if job in batch.rows})
    return (row for row in named if batch.status[row] in statuses)


def hold(batch: BatchState, holding: Holding) -> str | None:
    """Let no job of the batch begin. Of two holds, the first counts."""
    if batch.end is not None:
        return "the batch is over"
    if batch.ran_at is not None:
        return f"the batch ran at {batch.ran_at}, and nothing here runs it"
    batch.holding = batch.holding or holding
    return None


def release(batch: BatchState, time: float) -> str | None:
    """Let jobs of the batch begin again."""
    if batch.end is not None:
        return "the batch is over"
    if batch.holding is not None:
        batch.holding = None
        batch.able_since = max(batch.able_since, time)
    return None
