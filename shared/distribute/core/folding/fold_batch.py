"""Fold the events under one batch: its own, and those of its jobs and builds.

What a batch accepts depends only on these events, never on nodes or other batches. So a reader of one batch
(`projections`) comes to the same result as the scheduler, which folds all events.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple, assert_never

from distribute.core.folding import edits, fold_job, fold_requests, moves, replacing
from distribute.core.folding.fold_job import of_another_batch
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.spec.limits import Limits
from distribute.core.state.grouping import columns
from distribute.core.state.last_job import are_others_over, run_last_again
from distribute.core.state.packed import CompactedBatch
from distribute.core.state.state import (
    MAX_BUILDS_QUOTED,
    BatchState,
    Building,
    Holding,
    Status,
    rows_of,
)
from distribute.core.state.statuses import move_all

MAX_BUILDS_NOTED = 10_000
"""Max. builds that a batch keeps a note of. Labs have a few hundred nodes, but anyone can invent names."""


class Advanced(NamedTuple):
    """The batch after an event; None: it does not exist (any more). `misfit`: why the event does not fit."""

    batch: BatchState | None
    misfit: str | None


def advance(batch: BatchState | None, recorded: Recorded) -> Advanced:
    """Fold an event under a batch into it, in place. Never raises."""
    seq, time, event = recorded
    if batch is None:
        if not isinstance(event, ev.Submitted):
            # The archiver or a build may have been at work when a person deleted the batch: this is no
            # misfit.
            may_be_late = isinstance(event, ev.JobArchived | ev.BuildEvent | ev.Notified)
            return Advanced(None, None if may_be_late else "there is no such batch")
        if event.spec.id != event.scope:
            return Advanced(None, f"its specification is of {event.spec.id}")
        return Advanced(_submit(event, seq, time), None)
    before, batch.under_seq = batch.under_seq, seq
    if batch.compacted_at is not None:
        misfit = misfit_of_compacted(batch, event)
        return Advanced(None if misfit is None and event.type == "deleted" else batch, misfit)
    match event:
        case ev.JobEvent():
            row = batch.rows.get(event.job)
            if row is None:
                if isinstance(event, ev.Assigned):
                    batch.assigned_seq = seq  # the broker's guard counts it, whatever the fold makes of it
                return Advanced(batch, None if isinstance(event, ev.JobArchived) else "there is no such job")
            return Advanced(batch, advance_job(batch, row, seq, time, event))
        case ev.BuildStarted() | ev.BuildFinished() | ev.BuildCollected():
            return Advanced(batch, _apply_build(batch, time, event))
        case ev.Submitted():
            batch.last_seq = seq
            misfit = replacing.why_not(batch, event)
            if misfit is not None:
                return Advanced(batch, misfit)
            return Advanced(replacing.with_kept(_submit(event, seq, time), event, batch), None)
        case ev.BatchEvent():
            batch.last_seq = seq
            misfit = _apply(batch, before, time, event)
            if misfit is None and event.type != "notified":
                batch.cause = event.id
            return Advanced(None if misfit is None and event.type == "deleted" else batch, misfit)
        case _:
            raise TypeError(f"{event.type} is not about a batch")


def advance_job(batch: BatchState, row: int, seq: int, time: float, event: fold_job.JobEvent) -> str | None:
    """Fold an event of the job in this row. Returns why it did not fit, or None."""
    batch.under_seq = seq
    if type(event) is ev.Assigned:
        batch.assigned_seq = seq
    limits = batch.limits
    if limits.max_running is None and not limits.has_last_job:  # as of most: no other job waits for this one
        return fold_job.apply(batch, row, seq, time, event)
    most = limits.max_running
    was_full = most is not None and len(batch.active) >= most
    may_begin = limits.has_last_job and are_others_over(batch)
    misfit = fold_job.apply(batch, row, seq, time, event)
    if was_full and most is not None and len(batch.active) < most:
        batch.able_since = time
    if limits.has_last_job and row != batch.last_row:
        if may_begin:
            run_last_again(batch)
        elif are_others_over(batch):
            batch.able_since = time
    return misfit


BuildEvent = ev.BuildStarted | ev.BuildFinished | ev.BuildCollected

_RequestOrEnd = (
    ev.KillRequested
    | ev.RetryRequested
    | ev.Reprioritized
    | ev.Held
    | ev.HoldReleased
    | ev.Edited
    | ev.MoveRequested
    | ev.Completed
    | ev.BatchArchived
    | ev.Compacted
    | ev.Deleted
    | ev.Notified
)

BatchEvent = ev.Submitted | _RequestOrEnd


def _apply(batch: BatchState, before: int, time: float, event: _RequestOrEnd) -> str | None:
    """Fold an event of the batch's own scope. Returns why it does not fit, or None.

    `before` is the sequence of the event under the batch before it.
    """
    if (misfit := of_another_batch(batch, event)) is not None:
        return misfit
    match event.type:
        case "kill_requested":
            return fold_requests.kill(batch, time, event)
        case "retry_requested":
            return fold_requests.retry(batch, time, event)
        case "reprioritized":
            batch.priority = event.priority
            return None
        case "held":
            return fold_requests.hold(batch, Holding(event.author, time, event.reason))
        case "hold_released":
            return fold_requests.release(batch, time)
        case "edited":
            return edits.edit(batch, time, event)
        case "move_requested":
            return moves.request_move(batch, event)
        case "completed":
            return _complete(batch, time, event)
        case "batch_archived":
            return _archive(batch)
        case "compacted":
            return _compact(batch, before, time, event)
        case "deleted" | "notified":
            return "the batch is not over" if event.type == "deleted" and batch.end is None else None
        case _:
            assert_never(event)


def _submit(event: ev.Submitted, seq: int, time: float) -> BatchState:
    """The state of a new batch, with every job queued."""
    spec = event.spec
    groups, names, file_order = columns(spec)
    total = len(names)
    counts = [0] * len(Status)
    counts[Status.QUEUED] = total
    limits = Limits.of(spec)
    return BatchState(
        id=spec.id,
        seq=seq,
        first_seq=seq,
        submission=event.id,
        last_seq=seq,
        under_seq=seq,
        cause=event.id,
        user=event.user,
        kind=spec.work.kind,
        priority=spec.priority,
        matrix_user=spec.matrix_user,
        notify=spec.notify or (),
        submitted_at=time,
        limits=limits,
        loosest_max_running=limits.max_running,
        able_since=max(time, limits.not_before or 0.0),
        needs_build=spec.needs_build and event.ran_at is None,
        ran_at=event.ran_at.system if event.ran_at is not None else None,
        groups=groups,
        names=names,
        file_order=file_order,
        rows=rows_of(names),
        status=bytearray(total),
        job_seq=array("Q", bytes(8 * total)),
        attempts=array("I", bytes(4 * total)),
        counts=counts,
    )


def _complete(batch: BatchState, time: float, event: ev.Completed) -> str | None:
    """End the batch. With a reason, the waiting jobs can never run, and fail.

    Its guard counts everything under the batch, so only a forged one is refused here.
    """
    if batch.end is not None:
        return "the batch is over"
    if batch.active:
        return "jobs of the batch are in flight"
    if batch.counts[Status.RETRYING] or (batch.counts[Status.QUEUED] and event.reason is None):
        return "jobs of the batch wait"
    if event.state == "completed" and batch.counts[Status.SUCCEEDED] != len(batch.names):
        return "not every job of the batch succeeded"
    move_all(batch, Status.QUEUED, Status.FAILED)
    batch.moved_from.clear()
    batch.end = event.state
    batch.end_reason = event.reason
    batch.finished_at = time
    batch.holding = None  # it holds nothing any more: if jobs are retried, they begin
    return None


def _archive(batch: BatchState) -> str | None:
    """Note that all results of the batch are archived."""
    if batch.end is None:
        return "the batch is not over"
    if batch.active or batch.unarchived:
        return "what jobs of the batch leave is not archived yet"
    batch.archived = True
    return None


def _compact(batch: BatchState, last_seq: int, time: float, event: ev.Compacted) -> str | None:
    """Close the batch for good. `last_seq` is that of the event under it that was folded before.

    A reader who meets the event without some of those before it reads while they are being removed.
    """
    if not batch.archived or batch.active or batch.unarchived:
        return "the batch is not over and archived"
    if event.last_seq != last_seq:
        return f"its archive ends with event {event.last_seq}, and the last event of the batch is {last_seq}"
    batch.compacted_at = time
    return None


def misfit_of_compacted(batch: BatchState | CompactedBatch, event: ev.Event) -> str | None:
    """Why an event does not fit a compacted batch; None: it does."""
    if event.type != "notified" and event.type != "deleted":
        return "the events of the batch were moved into an archive"
    return of_another_batch(batch, event)


def _apply_build(batch: BatchState, time: float, event: BuildEvent) -> str | None:
    """Fold an event of a build; why it does not fit, or None."""
    if not isinstance(event, ev.BuildFinished) and (misfit := of_another_batch(batch, event)) is not None:
        return misfit
    if isinstance(event, ev.BuildCollected):
        return _collect_build(batch, event)
    if batch.ran_at is not None:
        return f"the batch ran at {batch.ran_at}, and nothing here builds it"
    of_builds = (batch.building, batch.built_on, batch.build_failed)
    is_known = any(event.node in nodes for nodes in of_builds)
    if not is_known and sum(map(len, of_builds)) >= MAX_BUILDS_NOTED:
        return f"{MAX_BUILDS_NOTED} builds of the batch are noted already"
    if isinstance(event, ev.BuildStarted):
        batch.building[event.node] = Building(time, event.id)
        return None
    return _finish_build(batch, event)


def _finish_build(batch: BatchState, event: ev.BuildFinished) -> str | None:
    """The node can run the batch's jobs from now on, or can't. Why the event does not fit, or None.

    Like the events of an attempt, it must follow from the one before (see `fold_job`).
    """
    building = batch.building.get(event.node)
    if event.causation is not None and (building is None or building.id != event.causation):
        return f"it follows from {event.causation}, which is no build that runs at {event.node}"
    batch.building.pop(event.node, None)
    batch.build_kept.pop(event.node, None)
    if event.kept_from is not None and event.succeeded and len(batch.build_kept) < MAX_BUILDS_QUOTED:
        batch.build_kept[event.node] = event.kept_from
    if event.succeeded:
        batch.built_on.add(event.node)
        batch.build_failed.pop(event.node, None)
        batch.build_lines.pop(event.node, None)
    elif not event.killed:
        _note_failed_build(batch, event)
    return None


def _collect_build(batch: BatchState, event: ev.BuildCollected) -> str | None:
    """Note how a build ended elsewhere, as the person says whose batch it is. No node here has it built."""
    if batch.ran_at is None:
        return "the batch runs here, and only its nodes say how its builds end"
    if event.author != batch.user:
        return f"it is {batch.user}'s batch"
    if event.succeeded:
        batch.build_failed.pop(event.node, None)
        batch.build_lines.pop(event.node, None)
    elif event.node not in batch.build_failed and len(batch.build_failed) >= MAX_BUILDS_NOTED:
        return f"{MAX_BUILDS_NOTED} builds of the batch are noted already"
    else:
        _note_failed_build(batch, event)
    return None


def _note_failed_build(batch: BatchState, event: ev.BuildEnd) -> None:
    batch.build_failed[event.node] = event.reason or "the build failed"
    if event.node in batch.build_lines or len(batch.build_lines) < MAX_BUILDS_QUOTED:
        batch.build_lines[event.node] = list(event.last_lines or ())
