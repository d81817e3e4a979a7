"""A submission that replaces the batch of its name, and keeps jobs of it that succeeded.

The person's client compares the work of the jobs (`work.compare`) and marks those that are kept (`Job.kept`):
the job of the name succeeded there, and does the same work. The fold keeps a marked job if it did succeed,
and its results are there; any other job runs. So whatever was marked, no job counts as done that never was.
"""

from __future__ import annotations

from collections.abc import Iterator

from distribute.core import events as ev
from distribute.core.outcomes import allocated
from distribute.core.specs import BatchSpec
from distribute.core.state import QUEUED, SUCCEEDED, BatchState, Outcomes


def why_not(batch: BatchState, event: ev.Submitted) -> str | None:
    """Why a submission can't replace the batch that is there; None if it can.

    Nothing of the batch may be under way: results to be archived, or attempts, would belong to neither.
    """
    if event.replaces is None:
        return "this batch exists"
    if event.replaces != batch.submission:
        return "it replaces another batch of the same name"
    if event.spec.id != event.scope:
        return f"its specification is of {event.spec.id}"
    if batch.ran_at is not None or event.ran_at is not None:
        return "a batch that ran elsewhere replaces none, and none replaces it"
    if batch.end is None:
        return "the batch is not over"
    if batch.active:
        return "jobs of the batch are in flight"
    if batch.unarchived:
        return "what jobs of the batch left is not archived yet"
    return None


def with_kept(batch: BatchState, spec: BatchSpec, before: BatchState) -> BatchState:
    """A batch that was just submitted, with the jobs that it keeps of the one `before`, which it replaces."""
    batch.first_seq = before.first_seq
    last = batch.last_row
    kept = [
        (batch.rows[job.name], row)
        for job in spec.work.jobs
        if job.kept and (row := _done(before, job.name)) >= 0
    ]
    others = len(kept) - any(row == last for row, _ in kept)
    # The last job has seen what the others left: if one of them runs, or is gone, it runs again.
    has_same_others = others == len(batch.names) - 1 == len(before.names) - 1
    kept = [(row, old) for row, old in kept if row != last or has_same_others]
    if kept:
        _take_over(batch, before, kept)
    return batch


def _take_over(batch: BatchState, before: BatchState, kept: list[tuple[int, int]]) -> None:
    """Take over how jobs ended, by their rows in both. Column by column: a batch may have 100,000 jobs."""
    batch.node_names, batch.node_numbers = [*before.node_names], {**before.node_numbers}
    was, now = before.outcomes, allocated(batch)
    columns = [(getattr(was, name), getattr(now, name)) for name in Outcomes.__slots__]
    for old, new in [*columns, (before.attempts, batch.attempts), (before.job_seq, batch.job_seq)]:
        for row, from_row in kept:
            new[row] = old[from_row]
    for row, _ in kept:
        batch.status[row] = SUCCEEDED
    batch.counts[QUEUED] -= len(kept)
    batch.counts[SUCCEEDED] += len(kept)


def is_kept(batch: BatchState | None, job: str) -> bool:
    """Has the batch, which was just submitted, kept this job of one that it replaced?"""
    return batch is not None and _done(batch, job) >= 0


def kept_jobs(batch: BatchState) -> Iterator[str]:
    """The jobs that the batch has kept of one that it replaced: they left results before its submission."""
    for row, seq in enumerate(batch.outcomes.result_seq):
        if 0 < seq < batch.seq:
            yield batch.names[row]


def _done(batch: BatchState, job: str) -> int:
    """The row of a job that succeeded and whose results are there; -1 if there is none."""
    row = batch.rows.get(job, -1)
    return row if row >= 0 and batch.status[row] == SUCCEEDED and row not in batch.missing else -1
