"""`apply`: the only place that changes state. Live, on restart, in replay, in the simulator alike.

The table `JOB_TRANSITIONS` says which event a job takes in which status; what each does stands below
it. Since every append is guarded, an event that fits no state is a peer's mistake: it changes
nothing, and is counted and named in the state (`misfits`), so that a peer can't stop the readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from distribute.core import events as ev
from distribute.core.events import Recorded
from distribute.core.fold_batch import (
    complete,
    delete,
    request_kill,
    request_retry,
    submit,
)
from distribute.core.fold_node import finish_build, join, start_build
from distribute.core.state import (
    IN_FLIGHT,
    NO_EXIT_CODE,
    Attempt,
    BatchState,
    JobKey,
    NodeState,
    State,
    Status,
    Usage,
)

FAST_FAILURE_S = 10.0
"""A failure within this time of its start is fast: the kind a broken node produces."""

MAX_NODE_DEATHS = 2
"""A job on which this many nodes went down is not tried again."""

USAGE_HALF_LIFE_S = 24 * 3600.0

JOB_TRANSITIONS: Mapping[type[ev.JobEvent], frozenset[Status]] = {
    ev.Assigned: frozenset({Status.QUEUED, Status.KILLED, Status.FAILED}),
    ev.Claimed: frozenset({Status.ASSIGNED}),
    ev.Started: frozenset({Status.CLAIMED}),
    ev.Finished: frozenset({Status.CLAIMED, Status.RUNNING}),
    ev.Released: IN_FLIGHT | {Status.FAILED, Status.RETRYING},
    ev.JobArchived: frozenset(
        {Status.RETRYING, Status.SUCCEEDED, Status.FAILED, Status.KILLED, Status.QUEUED}
    ),
}
"""In which status a job takes which event. A job whose batch was killed or ended while its assignment was
under way is `KILLED` or `FAILED` already: it takes the assignment, so that the scheduler can release it."""


def apply(state: State, recorded: Recorded) -> None:
    """Fold one event into the state. Events delivered again (not above `state.seq`) change nothing."""
    seq, time, event = recorded
    if seq <= state.seq:
        return
    state.seq = seq
    state.time = time
    match event:
        case ev.JobEvent():
            _apply_job_event(state, seq, time, event)
        case ev.NodeEvent():
            _apply_node_event(state, seq, event)
        case _:
            _apply_batch_event(state, seq, time, event)


def _misfit(state: State, event: ev.Event, why: str) -> None:
    state.misfits += 1
    state.last_misfit = f"event {state.seq} ({event.type} by {event.author} of {event.scope}): {why}"


# --- batches ---------------------------------------------------------------------------------------


def _apply_batch_event(
    state: State,
    seq: int,
    time: float,
    event: ev.Submitted
    | ev.KillRequested
    | ev.RetryRequested
    | ev.Reprioritized
    | ev.Completed
    | ev.BatchArchived
    | ev.Deleted,
) -> None:
    batch = state.batches.get(event.scope)
    if isinstance(event, ev.Submitted):
        if batch is not None:
            _misfit(state, event, "this batch exists")
        else:
            state.batches[event.scope] = submit(event, seq, time)
        return
    if batch is None:
        _misfit(state, event, "there is no such batch")
        return
    batch.last_seq = seq
    why: str | None = None
    match event:
        case ev.KillRequested():
            why = request_kill(batch, event.job)
        case ev.RetryRequested():
            why = request_retry(batch, event.failed_only)
        case ev.Reprioritized():
            batch.priority = event.priority
        case ev.Completed():
            why = complete(batch, time, event)
        case ev.BatchArchived():
            batch.archived = True
        case ev.Deleted():
            why = delete(state, batch)
        case _:
            assert_never(event)
    if why is not None:
        _misfit(state, event, why)


# --- jobs ------------------------------------------------------------------------------------------


def _apply_job_event(
    state: State,
    seq: int,
    time: float,
    event: ev.Assigned | ev.Claimed | ev.Started | ev.Finished | ev.Released | ev.JobArchived,
) -> None:
    batch = state.batches.get(event.batch_id)
    row = batch.rows.get(event.job) if batch is not None else None
    if batch is None or row is None:
        _misfit(state, event, "there is no such job")
        return
    batch.job_seq[row] = seq
    status = Status(batch.status[row])
    if status not in JOB_TRANSITIONS[type(event)]:
        _misfit(state, event, f"the job is {status.name.lower()}")
        return
    if not isinstance(event, ev.Assigned) and event.attempt != batch.attempts[row]:
        _misfit(state, event, f"attempt {event.attempt}, where the last is {batch.attempts[row]}")
        return
    attempt = batch.active.get(row)
    if attempt is not None and attempt.node != event.node:
        _misfit(state, event, f"the job is at {attempt.node}")
        return
    match event:
        case ev.Claimed():
            set_status(batch, row, Status.CLAIMED)
        case ev.Started():
            set_status(batch, row, Status.RUNNING)
            assert attempt is not None, "a job in flight has an attempt"
            attempt.started_at = time
        case ev.Assigned():
            _assign(state, batch, row, seq, time, event)
        case ev.Finished():
            _finish(state, batch, row, time, event)
        case ev.JobArchived():
            batch.unarchived.discard(row)
            if status is Status.RETRYING:
                set_status(batch, row, Status.QUEUED)
        case ev.Released():
            _release(state, batch, row, time, event)
        case _:
            assert_never(event)


def set_status(batch: BatchState, row: int, status: Status) -> None:
    """Move one job to a status, and keep the counts."""
    batch.counts[batch.status[row]] -= 1
    batch.counts[status] += 1
    batch.status[row] = status


def _assign(state: State, batch: BatchState, row: int, seq: int, time: float, event: ev.Assigned) -> None:
    node = state.nodes.get(event.node)
    if node is None:
        _misfit(state, event, "there is no such node")
        return
    if batch.status[row] != Status.QUEUED and not (batch.kill_wanted(row) or batch.end):
        _misfit(state, event, "the job is over")
        return
    batch.attempts[row] = event.attempt
    batch.active[row] = Attempt(
        event.attempt, event.node, event.cpus, event.memory_bytes, event.gpus, seq, time
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


def _end_attempt(state: State, batch: BatchState, row: int, time: float) -> tuple[Attempt, NodeState]:
    """Give back what the attempt held, and charge its user for it."""
    attempt = batch.active.pop(row)
    node = state.nodes[attempt.node]
    node.used_cpus -= attempt.cpus
    node.used_memory_bytes -= attempt.memory_bytes
    node.used_gpus.difference_update(attempt.gpus)
    node.attempts.discard(JobKey(batch.id, row))
    usage = state.usage[batch.user]
    usage.cores -= attempt.cpus
    usage.core_s = decayed_core_s(usage, time) + attempt.cpus * max(0.0, time - attempt.assigned_at)
    usage.as_of = time
    return attempt, node


def decayed_core_s(usage: Usage, now: float) -> float:
    """Past use in core seconds, halved with every `USAGE_HALF_LIFE_S` since."""
    age_s = max(0.0, now - usage.as_of)
    return usage.core_s * float(0.5 ** (age_s / USAGE_HALF_LIFE_S))


def _finish(state: State, batch: BatchState, row: int, time: float, event: ev.Finished) -> None:
    attempt, node = _end_attempt(state, batch, row, time)
    _record_outcome(batch, row, time, event, attempt)
    batch.unarchived.add(row)
    key = JobKey(batch.id, row)
    if event.succeeded:
        batch.succeeded_on.add(node.name)
        node.fast_failures.clear()
        batch.reasons.pop(row, None)
        set_status(batch, row, Status.SUCCEEDED)
        return
    if event.wall_s < FAST_FAILURE_S:
        if key not in node.fast_failures:
            node.fast_failures.append(key)
    else:
        node.fast_failures.clear()
    if event.reason is not None:
        batch.reasons[row] = event.reason
    failures = batch.failures[row] = batch.failures.get(row, 0) + 1
    if batch.kill_wanted(row):
        set_status(batch, row, Status.KILLED)
    elif failures <= batch.group_of(row).retries:
        set_status(batch, row, Status.RETRYING)
    else:
        set_status(batch, row, Status.FAILED)


def _record_outcome(batch: BatchState, row: int, time: float, event: ev.Finished, attempt: Attempt) -> None:
    outcomes = batch.outcomes
    outcomes.allocate(len(batch.names))
    if attempt.node not in batch.node_names:
        batch.node_names.append(attempt.node)
    outcomes.node[row] = batch.node_names.index(attempt.node)
    outcomes.exit_code[row] = NO_EXIT_CODE if event.exit_code is None else event.exit_code
    outcomes.signal[row] = event.signal or 0
    outcomes.started_at[row] = attempt.started_at or 0.0
    outcomes.finished_at[row] = time
    outcomes.wall_s[row] = event.wall_s
    outcomes.cpu_s[row] = event.cpu_s
    outcomes.paused_s[row] = event.paused_s
    outcomes.max_rss_bytes[row] = event.max_rss_bytes


def _release(state: State, batch: BatchState, row: int, time: float, event: ev.Released) -> None:
    status = Status(batch.status[row])
    if status not in IN_FLIGHT:
        _take_back_failure(state, batch, row, event)
        return
    _end_attempt(state, batch, row, time)
    if batch.kill_wanted(row) or batch.end or event.reason == "killed":
        set_status(batch, row, Status.KILLED)
        return
    if status is Status.RUNNING and event.reason in {"node_lost", "node_restarted"}:
        deaths = batch.deaths[row] = batch.deaths.get(row, 0) + 1
        if deaths >= MAX_NODE_DEATHS:
            batch.reasons[row] = f"{deaths} nodes went down while it ran on them, the last {event.node}"
            set_status(batch, row, Status.FAILED)
            return
    set_status(batch, row, Status.QUEUED)


def _take_back_failure(state: State, batch: BatchState, row: int, event: ev.Released) -> None:
    """A failure that was a broken node's fault does not count: the job runs again elsewhere."""
    if event.reason != "quarantined":
        _misfit(state, event, "only a quarantine takes back a failure")
        return
    key = JobKey(batch.id, row)
    fast_failures = state.nodes[event.node].fast_failures
    if key in fast_failures:
        fast_failures.remove(key)
    batch.failures[row] = max(0, batch.failures.get(row, 0) - 1)
    batch.reasons.pop(row, None)
    set_status(batch, row, Status.RETRYING if row in batch.unarchived else Status.QUEUED)


# --- nodes -----------------------------------------------------------------------------------------


def _apply_node_event(
    state: State,
    seq: int,
    event: ev.Joined
    | ev.Left
    | ev.Lost
    | ev.PauseRequested
    | ev.Paused
    | ev.Resumed
    | ev.DrainRequested
    | ev.Undrained
    | ev.BuildStarted
    | ev.BuildFinished
    | ev.Quarantined,
) -> None:
    if isinstance(event, ev.Joined):
        join(state, seq, event)
        return
    node = state.nodes.get(event.node)
    if node is None:
        _misfit(state, event, "there is no such node")
        return
    node.last_seq = seq
    match event:
        case ev.Left():
            node.presence = "left"
        case ev.Lost():
            node.presence = "lost"
        case ev.PauseRequested():
            pass  # the node answers with `paused`; until then it stands as it was
        case ev.Paused():
            node.paused_until = event.until.timestamp()
            node.pause_reason = event.reason
        case ev.Resumed():
            node.paused_until = node.pause_reason = None
        case ev.DrainRequested():
            node.draining = event.reason
        case ev.Undrained():
            node.draining = node.quarantined = None
            node.fast_failures.clear()
        case ev.BuildStarted():
            start_build(state, node, event)
        case ev.BuildFinished():
            finish_build(state, node, event)
        case ev.Quarantined():
            node.quarantined = event.reason
        case _:
            assert_never(event)
