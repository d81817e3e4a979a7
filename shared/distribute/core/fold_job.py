"""Fold job events into their batch. Only `fold_batch.advance` calls this.

Each function returns why the event does not fit, or None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from distribute.core import events as ev
from distribute.core.state import (
    ASSIGNED,
    CLAIMED,
    FAILED,
    KILLED,
    MAX_FAILURES_QUOTED,
    NO_EXIT_CODE,
    QUEUED,
    RETRYING,
    RUNNING,
    SUCCEEDED,
    Attempt,
    BatchState,
    Kill,
    Outcomes,
    Status,
    Unarchived,
)
from distribute.core.transitions import JOB_TRANSITIONS
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
    | ev.Released
    | ev.Excused
    | ev.JobArchived
)


def set_status(batch: BatchState, row: int, status: Status) -> None:
    """Move one job to a status, and keep the counts."""
    batch.counts[batch.status[row]] -= 1
    batch.counts[status] += 1
    batch.status[row] = status


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
    if reason is not None:
        batch.reasons[row] = reason
    set_status(batch, row, KILLED)


def apply(batch: BatchState, row: int, seq: int, time: float, event: JobEvent) -> str | None:
    """Fold an event of the job in this row into its batch; why it does not fit, or None."""
    batch.job_seq[row] = seq
    status = batch.status[row]
    if status not in JOB_TRANSITIONS[type(event)]:
        return f"the job is {Status(status).name.lower()}"
    if event.type == "assigned":
        return _assign(batch, row, seq, time, event)
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
            batch.active[row].cause = event.id
        case "started":
            set_status(batch, row, RUNNING)
            batch.active[row].started_at, batch.active[row].cause = time, event.id
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
        case _:
            return of_another_batch(batch, event)
    if event.causation is None or event.causation == last:
        return None
    return f"it follows from {event.causation}, which is not the last event of this attempt"


def of_another_batch(
    batch: BatchState,
    event: ev.SubmissionEvent | ev.Assigned | ev.StopOrdered | ev.Released | ev.Excused | ev.BuildStarted,
) -> str | None:
    """Why the event is not about this batch, although it has its name; None if it is.

    What belongs to a deleted batch may come late, or be appended again after a log lost its end, when another
    batch has the name. `assigned` and `build_started` begin what all others about attempts and builds follow
    from (`_not_continuing`). Old versions did not name the submission.
    """
    if event.submission in {None, batch.submission}:
        return None
    return "it is about another batch of the same name"


def is_unwanted(batch: BatchState, row: int) -> bool:
    """Must the job not run any more, because it is killed or its batch is over?"""
    return batch.kill_wanted(row) or batch.end is not None


def _assign(batch: BatchState, row: int, seq: int, time: float, event: ev.Assigned) -> str | None:
    """Assign the job to its node."""
    if (misfit := of_another_batch(batch, event)) is not None:
        return misfit
    if batch.status[row] != QUEUED and not is_unwanted(batch, row):
        return "the job is over"
    if event.attempt != batch.attempts[row] + 1:
        return f"attempt {event.attempt}, where the last is {batch.attempts[row]}"
    if row in batch.unarchived:
        return "what its last attempt left is not archived yet"
    batch.attempts[row] = event.attempt
    batch.active[row] = Attempt(
        event.attempt, event.node, event.cpus, event.memory_bytes, event.gpus, seq, time, event.id
    )
    set_status(batch, row, ASSIGNED)
    return None


def _finish(batch: BatchState, row: int, seq: int, time: float, event: ev.Finished) -> None:
    """End an attempt: the job succeeded, failed, or will be tried again."""
    attempt = batch.active.pop(row)
    _record_outcome(batch, row, time, event, attempt)
    if event.outputs is not None:
        _await_archiving(batch, row, seq, event)
    elif event.started_at is not None or not was_stopped(batch, row, attempt):
        batch.outcomes.result_seq[row] = seq
        batch.missing.pop(row, None)
    # Otherwise it was killed before it began: what an earlier attempt left is still there.
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
        failures = 0  # by a kill that a person took back with a retry
    else:
        _suspect(batch, row, attempt.node, is_fast=event.wall_s < FAST_FAILURE_S)
        failures = batch.failures[row] = batch.failures.get(row, 0) + 1
    if batch.end is not None or failures > batch.group_of(row).retries:
        set_status(batch, row, FAILED)
    else:
        set_status(batch, row, RETRYING if row in batch.unarchived else QUEUED)


def _await_archiving(batch: BatchState, row: int, seq: int, event: ev.AttemptEnd) -> None:
    """Note that what an attempt left is to be archived."""
    _allocated(batch)
    batch.unarchived[row] = Unarchived(seq, event.id)
    # An assignment that was under way when the batch ended may have come to this.
    batch.archived = False
    batch.missing.pop(row, None)


def _give_back(batch: BatchState, row: int, seq: int, event: ev.Yielded) -> None:
    """End an attempt that its node gave back. The job runs again once what it left is archived."""
    del batch.active[row]
    if event.outputs is not None:
        _await_archiving(batch, row, seq, event)
    if is_unwanted(batch, row):
        set_status(batch, row, KILLED)
    else:
        set_status(batch, row, RETRYING if row in batch.unarchived else QUEUED)


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


def _allocated(batch: BatchState) -> Outcomes:
    """The outcomes of a batch, with room for all of its jobs."""
    if not len(batch.outcomes.node):
        batch.outcomes.allocate(len(batch.names))
    return batch.outcomes


def _record_outcome(batch: BatchState, row: int, time: float, event: ev.Finished, attempt: Attempt) -> None:
    outcomes = _allocated(batch)
    number = batch.node_numbers.get(attempt.node)
    if number is None:
        number = batch.node_numbers[attempt.node] = len(batch.node_names)
        batch.node_names.append(attempt.node)
    outcomes.node[row] = number
    outcomes.exit_code[row] = NO_EXIT_CODE if event.exit_code is None else event.exit_code
    outcomes.signal[row] = event.signal or 0
    outcomes.started_at[row] = process_start(time, event, attempt.assigned_at, attempt.started_at) or 0.0
    outcomes.finished_at[row] = process_end(time, event, attempt.assigned_at)
    outcomes.wall_s[row] = event.wall_s
    outcomes.cpu_s[row] = event.cpu_s
    outcomes.paused_s[row] = event.paused_s
    outcomes.max_rss_bytes[row] = event.max_rss_bytes


def process_start(
    time: float, event: ev.Finished, assigned_at: float, started_at: float | None
) -> float | None:
    """When the process started of an attempt that finished at `time`, by the log's clock; None: it never did.

    `started_at` is the time of the event that says so. The node's clock may be wrong, but not by much between
    two of its own readings.
    """
    if event.started_at is None:
        return started_at
    before_s = (event.time - event.started_at).total_seconds()
    return min(time, max(assigned_at, time - max(0.0, before_s)))


def process_end(time: float, event: ev.Finished, assigned_at: float = 0.0) -> float:
    """When the process ended of an attempt that finished at `time`, by the log's clock."""
    if event.ended_at is None:
        return time
    before_s = (event.time - event.ended_at).total_seconds()
    return min(time, max(assigned_at, time - max(0.0, before_s)))


def _release(batch: BatchState, row: int, event: ev.Released) -> None:
    """Take an attempt from its node. The job is queued again, unless it must not run any more."""
    was_running = batch.status[row] == RUNNING
    attempt = batch.active.pop(row)
    if is_unwanted(batch, row):
        is_gone = attempt.stop_at is not None and event.reason in _GONE
        note_kill(batch, row, _why_nothing_is_left(batch.kill_of(row), event) if is_gone else None)
        return
    if was_running and event.reason in {"node_lost", "node_restarted", "node_rebooted"}:
        deaths = batch.deaths.setdefault(row, [])
        deaths.append(event.node)
        if why := why_given_up(deaths):
            note_failure(batch, row, why, None)
            set_status(batch, row, FAILED)
            return
    set_status(batch, row, QUEUED)


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
