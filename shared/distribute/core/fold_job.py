"""What job events do to a job, its node and its user. Called by `fold.apply` alone.

Each function returns why the event does not fit, or None once it is done.
"""

from __future__ import annotations

from math import exp2

from distribute.core import events as ev
from distribute.core.state import (
    IN_FLIGHT,
    NO_EXIT_CODE,
    Attempt,
    BatchState,
    JobKey,
    NodeState,
    Shape,
    State,
    Status,
    Usage,
)

FAST_FAILURE_S = 10.0
"""A failure within this time of its start is fast: the kind a broken node produces."""

MAX_NODE_DEATHS = 2
"""A job on which this many nodes went down is not tried again."""

USAGE_HALF_LIFE_S = 24 * 3600.0

MAX_SHAPES_NOTED = 1000
"""Of so many shapes it is remembered when a person's jobs were last given a node."""


def set_status(batch: BatchState, row: int, status: Status) -> None:
    """Move one job to a status, and keep the counts."""
    batch.counts[batch.status[row]] -= 1
    batch.counts[status] += 1
    batch.status[row] = status


def decayed_core_s(usage: Usage, now: float) -> float:
    """Past use in core seconds, halved with every `USAGE_HALF_LIFE_S` since."""
    return usage.core_s * exp2((usage.as_of - now) / USAGE_HALF_LIFE_S)


def assign(state: State, batch: BatchState, row: int, time: float, event: ev.Assigned) -> str | None:
    """The job is its node's, and takes what it was given of it."""
    node = state.nodes.get(event.node)
    if node is None:
        return "there is no such node"
    if batch.status[row] != Status.QUEUED and not (batch.kill_wanted(row) or batch.end):
        return "the job is over"
    if event.attempt != batch.attempts[row] + 1:
        return f"attempt {event.attempt}, where the last is {batch.attempts[row]}"
    if row in batch.unarchived:
        return "what its last attempt left is not archived yet"
    batch.attempts[row] = event.attempt
    batch.active[row] = Attempt(
        event.attempt, event.node, event.cpus, event.memory_bytes, event.gpus, state.seq, time
    )
    set_status(batch, row, Status.ASSIGNED)
    node.used_cpus += event.cpus
    node.used_memory_bytes += event.memory_bytes
    node.used_gpus.update(event.gpus)
    node.attempts.add(JobKey(batch.id, row))
    usage = state.usage.get(batch.user)
    if usage is None:
        usage = state.usage[batch.user] = Usage(as_of=time)
    usage.cores += event.cpus
    _note_served(usage, batch.group_of(row).shape, time)
    return None


def _note_served(usage: Usage, shape: Shape, time: float) -> None:
    usage.served[shape] = time
    if len(usage.served) > MAX_SHAPES_NOTED:
        del usage.served[min(usage.served, key=usage.served.__getitem__)]


def claim(batch: BatchState, row: int) -> None:
    """The node took the job."""
    set_status(batch, row, Status.CLAIMED)


def start(batch: BatchState, row: int, time: float) -> None:
    """The job's process runs."""
    set_status(batch, row, Status.RUNNING)
    batch.active[row].started_at = time


def end_attempt(state: State, batch: BatchState, row: int, time: float) -> tuple[Attempt, NodeState]:
    """Give back what the attempt held, and charge its user for it."""
    attempt = batch.active.pop(row)
    node = state.nodes[attempt.node]
    node.used_cpus -= attempt.cpus
    node.used_memory_bytes -= attempt.memory_bytes
    node.attempts.discard(JobKey(batch.id, row))
    if attempt.gpus:  # another attempt may hold the same: two schedulers may have given one away at once
        others = (state.batches[key.batch].active[key.row] for key in node.attempts)
        node.used_gpus = {gpu for other in others for gpu in other.gpus}
    usage = state.usage[batch.user]
    usage.cores -= attempt.cpus
    usage.core_s = decayed_core_s(usage, time) + attempt.cpus * max(0.0, time - attempt.assigned_at)
    usage.as_of = time
    return attempt, node


def finish(state: State, batch: BatchState, row: int, time: float, event: ev.Finished) -> None:
    """The attempt ended: well, or to be tried again, or for good."""
    attempt, node = end_attempt(state, batch, row, time)
    _record_outcome(batch, row, time, event, attempt)
    batch.unarchived.add(row)
    batch.missing.pop(row, None)
    if event.succeeded:
        batch.succeeded_on.add(node.name)
        node.fast_failures.clear()
        batch.reasons.pop(row, None)
        set_status(batch, row, Status.SUCCEEDED)
        return
    if event.wall_s < FAST_FAILURE_S:
        key = JobKey(batch.id, row)
        if key not in node.fast_failures and row not in batch.excused:
            node.fast_failures.append(key)
    else:
        node.fast_failures.clear()
    if event.reason is not None:
        batch.reasons[row] = event.reason
    failures = batch.failures[row] = batch.failures.get(row, 0) + 1
    if batch.kill_wanted(row):
        set_status(batch, row, Status.KILLED)
    elif batch.end is None and failures <= batch.group_of(row).retries:
        set_status(batch, row, Status.RETRYING)
    else:
        set_status(batch, row, Status.FAILED)


def _record_outcome(batch: BatchState, row: int, time: float, event: ev.Finished, attempt: Attempt) -> None:
    outcomes = batch.outcomes
    if not len(outcomes.node):
        outcomes.allocate(len(batch.names))
    number = batch.node_numbers.get(attempt.node)
    if number is None:
        number = batch.node_numbers[attempt.node] = len(batch.node_names)
        batch.node_names.append(attempt.node)
    outcomes.node[row] = number
    outcomes.exit_code[row] = NO_EXIT_CODE if event.exit_code is None else event.exit_code
    outcomes.signal[row] = event.signal or 0
    outcomes.started_at[row] = attempt.started_at or 0.0
    outcomes.finished_at[row] = time
    outcomes.wall_s[row] = event.wall_s
    outcomes.cpu_s[row] = event.cpu_s
    outcomes.paused_s[row] = event.paused_s
    outcomes.max_rss_bytes[row] = event.max_rss_bytes


def archive(batch: BatchState, row: int, missing: str | None) -> None:
    """What the last attempt left is safe, or gone for good; where another is to follow, it may."""
    if row in batch.unarchived and missing is not None:
        batch.missing[row] = missing
    batch.unarchived.discard(row)
    if batch.status[row] == Status.RETRYING:
        set_status(batch, row, Status.QUEUED)


def release(state: State, batch: BatchState, row: int, time: float, event: ev.Released) -> str | None:
    """The attempt was taken from its node: the job is queued again, unless it is not to run any more."""
    status = batch.status[row]
    if status not in IN_FLIGHT:
        return _take_back_failure(state, batch, row, event)
    end_attempt(state, batch, row, time)
    if batch.kill_wanted(row) or batch.end or event.reason == "killed":
        set_status(batch, row, Status.KILLED)
        return None
    if status == Status.RUNNING and event.reason in {"node_lost", "node_restarted"}:
        deaths = batch.deaths[row] = batch.deaths.get(row, 0) + 1
        if deaths >= MAX_NODE_DEATHS:
            batch.reasons[row] = f"{deaths} nodes went down while it ran on them, the last {event.node}"
            set_status(batch, row, Status.FAILED)
            return None
    set_status(batch, row, Status.QUEUED)
    return None


def _take_back_failure(state: State, batch: BatchState, row: int, event: ev.Released) -> str | None:
    """A failure that was a broken node's fault does not count: the job runs again elsewhere.

    That is granted to a job once. If it fails elsewhere, too, then that speaks against itself alone, so that
    no job goes from node to node, puts all of them in quarantine, and never ends.
    """
    if event.reason != "quarantined":
        return "only a quarantine takes back a failure"
    batch.unarchived.discard(row)  # this event fences the archiver's word on it
    status = batch.status[row]
    if status not in {Status.RETRYING, Status.FAILED} or batch.kill_wanted(row) or batch.end:
        return None  # a person, or the end of the batch, came first
    node = state.nodes.get(event.node)
    if node is not None and JobKey(batch.id, row) in node.fast_failures:
        node.fast_failures.remove(JobKey(batch.id, row))
    if row not in batch.excused:
        batch.excused.add(row)
        batch.failures[row] = max(0, batch.failures.get(row, 0) - 1)
    batch.reasons.pop(row, None)
    set_status(batch, row, Status.QUEUED)
    return None
