"""Fold job events into their batch. Only `fold_batch.advance` calls this.

Each function returns why the event does not fit, or None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from distribute.core.folding.outcomes import allocated, note_claim, note_start, record_outcome, written_at
from distribute.core.log import events as ev
from distribute.core.state.last_job import are_others_over, requeue_last
from distribute.core.state.packed import CompactedBatch
from distribute.core.state.state import (
    ASSIGNED,
    CLAIMED,
    FAILED,
    KILLED,
    MAX_FAILURES_QUOTED,
    QUEUED,
    RETRYING,
    RUNNING,
    SUCCEEDED,
    Attempt,
    BatchState,
    Kill,
    Status,
    Unarchived,
)
from distribute.core.state.statuses import set_status
from distribute.core.state.transitions import JOB_TRANSITIONS
from distribute.core.words import killed_by

FAST_FAILURE_S = 10.0
"""A failure within this time after the start is fast: broken nodes cause such failures."""

MAX_DEATHS_AT_ONE_NODE = 3
MAX_NODES_DOWN = 2
"""A job is not tried again once so many different nodes went down while it ran, or one node so often."""

JobEvent = (
    ev.Assigned
    | ev.Claimed
    | ev.Started
    | ev.StopOrdered
    | ev.Finished
    | ev.Yielded
    | ev.Collected
    | ev.Released
    | ev.Excused
    | ev.JobArchived
)


def note_failure(batch: BatchState, row: int, reason: str | None, lines: Sequence[str] | None) -> None:
    """Note why a job failed, and what it printed last."""
    if reason is not None:
        batch.reasons[row] = reason
    if row in batch.last_lines or len(batch.last_lines) < MAX_FAILURES_QUOTED:
        batch.last_lines[row] = lines[-1] if lines else ""


def forget_failure(batch: BatchState, row: int) -> None:
    """Forget why a job failed, because it runs again or has succeeded."""
    batch.reasons.pop(row, None)
    batch.last_lines.pop(row, None)


def note_kill(batch: BatchState, row: int, reason: str | None) -> None:
    """Note that a job is killed, and what else there is to say of that."""
    forget_failure(batch, row)
    batch.moved_from.pop(row, None)
    if reason is not None:
        batch.reasons[row] = reason
    set_status(batch, row, KILLED)


def apply(batch: BatchState, row: int, seq: int, time: float, event: JobEvent) -> str | None:
    """Fold an event of the job in this row into its batch; why it does not fit, or None."""
    batch.job_seq[row] = seq
    status = batch.status[row]
    if status not in JOB_TRANSITIONS[type(event)]:
        return f"the job is {Status(status).name.lower()}"
    if event.type == "assigned" or event.type == "collected":
        return _begin(batch, row, seq, time, event)
    if event.attempt != batch.attempts[row]:
        # The archiver may have been at work when a person deleted the batch: this is no misfit.
        may_be_late = event.type == "job_archived"
        return None if may_be_late else f"attempt {event.attempt}, where the last is {batch.attempts[row]}"
    attempt = batch.active.get(row)
    if attempt is not None and attempt.node != event.node:
        return f"the job is at {attempt.node}"
    if (misfit := _not_continuing(batch, row, attempt, event)) is not None:
        return misfit
    match event.type:  # the most frequent first
        case "claimed":
            set_status(batch, row, CLAIMED)
            note_claim(batch.active[row], time, event)
        case "started":
            set_status(batch, row, RUNNING)
            note_start(batch.active[row], time, event)
        case "stop_ordered":
            batch.active[row].stop_at = batch.active[row].stop_at or time
        case "finished":
            _finish(batch, row, seq, time, event)
        case "job_archived":
            _archive(batch, row, event.missing)
        case "yielded":
            _give_back(batch, row, seq, event)
        case "released":
            _release(batch, row, event)
        case "excused":
            _excuse(batch, row)
        case _:
            assert_never(event)
    return None


def _not_continuing(batch: BatchState, row: int, attempt: Attempt | None, event: JobEvent) -> str | None:
    """Why the event does not continue its attempt; None if it does.

    The number does not identify an attempt. If the log loses its end, or a batch is deleted and submitted
    again, a number is used a second time, and events about the first attempt may still come. So an event of
    the node or the archiver names the last event of its attempt as its cause, and one of the scheduler, which
    decides by the whole state, the submission. Old events that lack these are judged by the number.
    """
    match event.type:
        case "claimed" | "started" | "finished" | "yielded":
            last = attempt.cause if attempt is not None else None
        case "job_archived":
            unarchived = batch.unarchived.get(row)
            last = unarchived.id if unarchived is not None else None
        case "stop_ordered" | "released" if attempt is not None and attempt.submission is not None:
            is_right = event.submission in {None, attempt.submission}
            return None if is_right else "it is about another attempt, of a batch of the same name"
        case _:
            return of_another_batch(batch, event)
    causation = event.causation
    if causation is None or causation == last:
        return None
    return f"it follows from {causation}, which is not the last event of this attempt"


def of_another_batch(
    batch: BatchState | CompactedBatch,
    event: ev.SubmissionEvent
    | ev.Assigned
    | ev.StopOrdered
    | ev.Released
    | ev.Excused
    | ev.Collected
    | ev.BuildStarted
    | ev.BuildCollected,
) -> str | None:
    """Why the event is not about this batch, although it has its name; None if it is.

    What belongs to a deleted batch may come late, or be appended again after a log lost its end, when another
    batch has the name. `assigned` and `build_started` begin what all others about attempts and builds follow
    from (`_not_continuing`). Old versions did not name the submission.
    """
    if event.submission is None or event.submission == batch.submission:
        return None
    return "it is about another batch of the same name"


def is_unwanted(batch: BatchState, row: int) -> bool:
    """Must the job not run any more, because it is killed or its batch is over?"""
    return batch.kill_wanted(row) or batch.end is not None


def _begin(
    batch: BatchState, row: int, seq: int, time: float, event: ev.Assigned | ev.Collected
) -> str | None:
    """Begin an attempt here, or note one that has ended elsewhere."""
    if (misfit := of_another_batch(batch, event)) is not None:
        return misfit
    if event.type == "assigned":
        return _assign(batch, row, seq, time, event)
    return _collect(batch, row, seq, time, event)


def _assign(batch: BatchState, row: int, seq: int, time: float, event: ev.Assigned) -> str | None:
    """Assign the job to its node."""
    if batch.ran_at is not None:
        return f"the batch ran at {batch.ran_at}, and nothing here runs it"
    if batch.status[row] != QUEUED and not is_unwanted(batch, row):
        return "the job is over"
    if event.attempt != batch.attempts[row] + 1:
        return f"attempt {event.attempt}, where the last is {batch.attempts[row]}"
    if row in batch.unarchived:
        return "what its last attempt left is not archived yet"
    most = batch.loosest_max_running
    if most is not None and len(batch.active) >= most:
        return f"{most} of the batch's jobs are with nodes, and it may be no more"
    if row == batch.last_row:
        if not are_others_over(batch) and not is_unwanted(batch, row):
            return "other jobs of the batch are not over, and it runs after them"
        batch.last_is_outdated = False
    batch.attempts[row] = event.attempt
    batch.active[row] = Attempt(
        event.attempt, event.node, event.cpus, event.memory_bytes, event.gpus, seq, time, event.id
    )
    batch.moved_from.pop(row, None)
    set_status(batch, row, ASSIGNED)
    return None


def _collect(batch: BatchState, row: int, seq: int, time: float, event: ev.Collected) -> str | None:
    """End a job that ran elsewhere, as the person says whose batch it is."""
    if batch.ran_at is None:
        return "the batch runs here, and only its nodes say how its jobs end"
    if event.author != batch.user:
        return f"it is {batch.user}'s batch"
    if event.attempt != batch.attempts[row] + 1:
        return f"attempt {event.attempt}, where the last is {batch.attempts[row]}"
    batch.attempts[row] = event.attempt
    record_outcome(batch, row, time, event, 0.0, None)
    if event.outputs is not None:
        _await_archiving(batch, row, seq, event)
    else:
        batch.outcomes.result_seq[row] = seq
    if event.state == "killed":
        batch.killed_rows[row] = Kill(event.author, batch.outcomes.finished_at[row])
        note_kill(batch, row, event.reason)
    elif event.state == "failed":
        note_failure(batch, row, event.reason, event.last_lines)
        set_status(batch, row, FAILED)
    else:
        set_status(batch, row, SUCCEEDED)
    return None


def _finish(batch: BatchState, row: int, seq: int, time: float, event: ev.Finished) -> None:
    """End an attempt: the job succeeded, failed, or will be tried again."""
    attempt = batch.active.pop(row)
    reported_at = written_at(time, event, attempt.lag_s, attempt.assigned_at)
    record_outcome(batch, row, reported_at, event, attempt.assigned_at, attempt.started_at)
    if event.outputs is not None:
        _await_archiving(batch, row, seq, event)
    elif event.started_at is not None or not was_stopped(batch, row, attempt):
        batch.outcomes.result_seq[row] = seq
        batch.missing.pop(row, None)
    # Otherwise it was killed before it began: what an earlier attempt left is still there.
    if row == batch.last_row and batch.last_is_outdated and not is_unwanted(batch, row):
        _run_again(batch, row, attempt)
        return
    if event.succeeded:
        batch.suspects.pop(row, None)
        forget_failure(batch, row)
        set_status(batch, row, SUCCEEDED)
        return
    if batch.kill_wanted(row):
        note_kill(batch, row, event.reason)
        return
    note_failure(batch, row, event.reason, event.last_lines)
    if was_stopped(batch, row, attempt):
        failures = 0  # by a move, or by a kill that a person took back with a retry
    else:
        _suspect(batch, row, attempt.node, is_fast=event.wall_s < FAST_FAILURE_S)
        failures = batch.failures[row] = batch.failures.get(row, 0) + 1
    if batch.end is not None or failures > batch.group_of(row).retries:
        set_status(batch, row, FAILED)
    else:
        _run_again(batch, row, attempt)


def _run_again(batch: BatchState, row: int, attempt: Attempt) -> None:
    """Queue a job after an attempt, once what that left is archived. One that is moved leaves its node."""
    if row == batch.last_row and batch.last_is_outdated:
        requeue_last(batch, row)
    else:
        set_status(batch, row, RETRYING if row in batch.unarchived else QUEUED)
    if attempt.moved_by is not None:
        batch.moved_from[row] = attempt.node


def _await_archiving(batch: BatchState, row: int, seq: int, event: ev.AttemptEnd) -> None:
    """Note that what an attempt left is to be archived."""
    allocated(batch)
    batch.unarchived[row] = Unarchived(seq, event.id)
    # An assignment that was under way when the batch ended may have come to this.
    batch.archived = False
    batch.missing.pop(row, None)


def _give_back(batch: BatchState, row: int, seq: int, event: ev.Yielded) -> None:
    """End an attempt that its node gave back. The job runs again once what it left is archived."""
    attempt = batch.active.pop(row)
    if event.outputs is not None:
        _await_archiving(batch, row, seq, event)
    if is_unwanted(batch, row):
        _end_unwanted(batch, row, None)
    else:
        _run_again(batch, row, attempt)


def _end_unwanted(batch: BatchState, row: int, reason: str | None) -> None:
    """End a job that must not run any more, and was taken from its node or given back.

    It is KILLED if a person killed it. Else its batch ended while its assignment was under way. Then it is
    FAILED, as it was before that came: so a retry of what failed has it run again.
    """
    if batch.kill_wanted(row):
        note_kill(batch, row, reason)
        return
    if reason is not None:
        batch.reasons[row] = reason
    set_status(batch, row, FAILED)


def was_stopped(batch: BatchState, row: int, attempt: Attempt) -> bool:
    """Was the attempt ended on purpose, if it did not succeed? Then its failure proves nothing."""
    return batch.kill_wanted(row) or attempt.stop_at is not None


def _suspect(batch: BatchState, row: int, node: str, *, is_fast: bool) -> None:
    """Note a fast failure. The node may be to blame, until the job fails on another node as well."""
    suspect = batch.suspects.get(row)
    if suspect not in {None, node}:
        del batch.suspects[row]
        batch.inexcusable.add(row)
    elif not is_fast:
        batch.suspects.pop(row, None)
    elif row not in batch.inexcusable:
        batch.suspects[row] = node


def _release(batch: BatchState, row: int, event: ev.Released) -> None:
    """Take an attempt from its node. The job is queued again, unless it must not run any more."""
    was_running = batch.status[row] == RUNNING
    attempt = batch.active.pop(row)
    if is_unwanted(batch, row):
        is_gone = attempt.stop_at is not None and event.reason in _GONE
        _end_unwanted(batch, row, _why_nothing_is_left(batch.kill_of(row), event) if is_gone else None)
        return
    is_outdated = row == batch.last_row and batch.last_is_outdated
    if was_running and not is_outdated and event.reason in {"node_lost", "node_restarted", "node_rebooted"}:
        deaths = batch.deaths.setdefault(row, [])
        deaths.append(event.node)
        if why := why_given_up(deaths):
            note_failure(batch, row, why, None)
            set_status(batch, row, FAILED)
            return
    _run_again(batch, row, attempt)


_GONE: Mapping[str, str] = {
    "node_lost": "was lost",
    "node_left": "left",
    "node_restarted": "started again",
    "node_rebooted": "was rebooted",
    "not_there": "lost the job",
}
"""What happened to the node of a killed job, by the reason of its `released`."""


def _why_nothing_is_left(kill: Kill | None, event: ev.Released) -> str:
    by = killed_by(kill.by if kill is not None else None)
    return f"{by}; {event.node} {_GONE[event.reason]} before it could report what the job left"


def why_given_up(deaths: list[str]) -> str | None:
    """Why a job is not tried again after these nodes went down while it ran on them; None if it is."""
    nodes = sorted(set(deaths))
    if len(nodes) >= MAX_NODES_DOWN:
        names = ", ".join(nodes)
        return f"{len(nodes)} nodes went down while it ran on them ({names}), so it is not tried again"
    if len(deaths) >= MAX_DEATHS_AT_ONE_NODE:
        times = len(deaths)
        return f"its node went down {times} times while it ran (last: {nodes[0]}), so it is not tried again"
    return None


def _excuse(batch: BatchState, row: int) -> None:
    """Take the job's failure back, because the node may be to blame, and let the job run again elsewhere.

    Each job can be excused once. If it fails elsewhere, too, only the job is to blame. Otherwise a job could
    go from node to node and put all of them in quarantine.
    """
    has_failed = batch.status[row] in {RETRYING, FAILED}
    if not has_failed or is_unwanted(batch, row) or row in batch.inexcusable:
        return  # a person, or the end of the batch, came first
    batch.unarchived.pop(row, None)  # nothing waits for the results of the failed attempt
    batch.inexcusable.add(row)
    batch.failures[row] = max(0, batch.failures.get(row, 0) - 1)
    forget_failure(batch, row)
    set_status(batch, row, QUEUED)


def _archive(batch: BatchState, row: int, missing: str | None) -> None:
    """Note that the last attempt is archived, or its results are lost. A job that is RETRYING is queued."""
    finished = batch.unarchived.pop(row, None)
    if finished is not None:
        batch.outcomes.result_seq[row] = finished.seq if missing is None else 0
        if missing is not None:
            batch.missing[row] = missing
    if batch.status[row] == RETRYING:
        set_status(batch, row, QUEUED)
