"""A submission that replaces the batch of its name, and keeps jobs of it that succeeded, or that run.

The person's client compares the work of the jobs (`work.compare`) and marks those that are kept (`Job.kept`):
the job of the name does the same work there. The fold keeps a marked job if it did succeed, and its results
are there, or if it runs: then its attempt goes on. Any other job is queued. So whatever was marked, no job
counts as done that never was, and none runs twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from distribute.core.folding.outcomes import allocated
from distribute.core.log import events as ev
from distribute.core.spec.limits import Limits
from distribute.core.state.state import QUEUED, RUNNING, SUCCEEDED, BatchState, Outcomes

MAX_CONTINUED = 100
"""Max. submissions before its own that a batch has a note of. We forget the oldest."""

_OF_EARLIER_ATTEMPTS = ("failures", "suspects", "reasons", "last_lines", "missing")


def why_not(batch: BatchState, event: ev.Submitted) -> str | None:
    """Why a submission can't replace the batch that is there; None if it can.

    Nothing of the batch may be under way that does not go on: results to be archived, or attempts, would
    belong to neither. A batch that is not over has to be held, so that no other job of it begins meanwhile.
    """
    if event.replaces is None:
        return "this batch exists"
    if event.replaces != batch.submission:
        return "it replaces another batch of the same name"
    if event.spec.id != event.scope:
        return f"its specification is of {event.spec.id}"
    if batch.ran_at is not None or event.ran_at is not None:
        return "a batch that ran elsewhere replaces none, and none replaces it"
    if batch.end is None and batch.holding is None:
        return "the batch is neither over nor held"
    if batch.active and not batch.active.keys() <= set(_staying(batch, event).values()):
        return "jobs of the batch are in flight"
    if batch.unarchived:
        return "what jobs of the batch left is not archived yet"
    return None


def goes_on(batch: BatchState, row: int) -> bool:
    """May the attempt at the job in this row go on if the batch is replaced?

    Its node has to run it, and nobody may have ended it. One that is moved does not go on there either.
    """
    attempt = batch.active.get(row)
    return (
        attempt is not None
        and batch.status[row] == RUNNING
        and batch.end is None
        and not batch.kill_wanted(row)
        and attempt.stop_at is None
        and attempt.moved_by is None
        and not (row == batch.last_row and batch.last_is_outdated)
    )


def with_kept(batch: BatchState, event: ev.Submitted, before: BatchState) -> BatchState:
    """A batch that was just submitted, with the jobs that it keeps of the one `before`, which it replaces."""
    batch.first_seq = before.first_seq
    if before.end is None:
        batch.continues = (*before.continues, before.submission)[-MAX_CONTINUED:]
    staying = [(batch.rows[name], row) for name, row in _staying(before, event).items()]
    if staying:
        _take_over(batch, before, staying)
    return batch


def _staying(before: BatchState, event: ev.Submitted) -> dict[str, int]:
    """The jobs that stay of the batch `before`, by name, with their rows there.

    Those of another person's batch that run do not: they count for the person who submitted them.
    """
    spec, is_hers = event.spec, event.user == before.user
    marked = ((job.name, before.rows.get(job.name, -1)) for job in spec.work.jobs if job.kept)
    found = {
        name: row
        for name, row in marked
        if row >= 0 and (_is_done(before, row) or (is_hers and goes_on(before, row)))
    }
    last = spec.work.jobs[-1].name if Limits.of(spec).has_last_job else None
    if last in found:
        # The last job has seen what the others left: if one of them runs, or is gone, it runs again.
        over = sum(row not in before.active for name, row in found.items() if name != last)
        if not over == len(spec.work.jobs) - 1 == len(before.names) - 1:
            del found[last]
    return found


def _take_over(batch: BatchState, before: BatchState, staying: list[tuple[int, int]]) -> None:
    """Take over how jobs ended, by their rows in both. Column by column: a batch may have 100,000 jobs."""
    batch.node_names, batch.node_numbers = [*before.node_names], {**before.node_numbers}
    columns = [(before.attempts, batch.attempts), (before.job_seq, batch.job_seq)]
    if len(before.outcomes.node):
        was, now = before.outcomes, allocated(batch)
        columns += [(getattr(was, name), getattr(now, name)) for name in Outcomes.__slots__]
    for old, new in columns:
        for row, from_row in staying:
            new[row] = old[from_row]
    running = [(row, from_row) for row, from_row in staying if from_row in before.active]
    for row, from_row in staying:
        batch.status[row] = before.status[from_row]
    batch.counts[QUEUED] -= len(staying)
    batch.counts[SUCCEEDED] += len(staying) - len(running)
    batch.counts[RUNNING] += len(running)
    _take_over_running(batch, before, running)


def _take_over_running(batch: BatchState, before: BatchState, running: list[tuple[int, int]]) -> None:
    """Take over the attempts that go on, and what is known of earlier ones at their jobs."""
    for name in _OF_EARLIER_ATTEMPTS:
        was = getattr(before, name)
        getattr(batch, name).update((row, was[old]) for row, old in running if old in was)
    for row, old in running:
        attempt = before.active[old]
        batch.active[row] = replace(attempt, submission=attempt.submission or before.submission)
        batch.taken_over.add(row)
        if old in before.deaths:
            batch.deaths[row] = [*before.deaths[old]]
        if old in before.inexcusable:
            batch.inexcusable.add(row)


def beside(batch: BatchState) -> tuple[str, ...] | None:
    """The earlier submissions of a batch of which attempts go on; None: there are none."""
    if not batch.taken_over:
        return None
    found = {attempt.submission for row in batch.taken_over if (attempt := batch.active.get(row)) is not None}
    return tuple(sorted(one for one in found if one is not None)) or None


def is_kept(batch: BatchState | None, job: str) -> bool:
    """Has the batch, which was just submitted, kept this job of one that it replaced?"""
    row = batch.rows.get(job, -1) if batch is not None else -1
    return batch is not None and row >= 0 and (row in batch.taken_over or _is_done(batch, row))


def kept_jobs(batch: BatchState) -> Iterator[str]:
    """The jobs that the batch has kept of one that it replaced.

    They left results before its submission, or ran then: what they leave may be older than that, too.
    """
    for row, seq in enumerate(batch.outcomes.result_seq):
        if 0 < seq < batch.seq and row not in batch.taken_over:
            yield batch.names[row]
    yield from (batch.names[row] for row in sorted(batch.taken_over))


def _is_done(batch: BatchState, row: int) -> bool:
    """Has the job succeeded, and are its results there?"""
    return batch.status[row] == SUCCEEDED and row not in batch.missing
