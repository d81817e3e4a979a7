"""`apply`: the only place that changes state. Live, on restart, in replay, in the simulator alike.

The table `JOB_TRANSITIONS` says which event a job takes in which status; what each does stands in
`fold_job`, `fold_batch` and `fold_node`. Since every append is guarded, an event that fits no state is a
peer's mistake: it changes nothing, and is counted and named in the state (`misfits`), so that a peer
can't stop the readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from distribute.core import events as ev
from distribute.core import fold_batch, fold_job, fold_node
from distribute.core.events import Recorded
from distribute.core.state import State, Status

JOB_TRANSITIONS: Mapping[type[ev.JobEvent], frozenset[Status]] = {
    ev.Assigned: frozenset({Status.QUEUED, Status.KILLED, Status.FAILED}),
    ev.Claimed: frozenset({Status.ASSIGNED}),
    ev.Started: frozenset({Status.CLAIMED}),
    ev.Finished: frozenset({Status.CLAIMED, Status.RUNNING}),
    ev.Released: frozenset(Status) - {Status.SUCCEEDED},
    ev.JobArchived: frozenset(
        {Status.RETRYING, Status.SUCCEEDED, Status.FAILED, Status.KILLED, Status.QUEUED}
    ),
}
"""In which status a job takes which event. A job whose batch was killed or ended while its assignment was
under way is `KILLED` or `FAILED` already: it takes the assignment, so that the scheduler can release it. Of a
job that is not in flight, a release takes back a failure, if a person has not seen to the job meanwhile."""


def apply(state: State, recorded: Recorded) -> None:
    """Fold one event into the state. Events delivered again (not above `state.seq`) change nothing."""
    seq, time, event = recorded
    if seq <= state.seq:
        return
    state.seq = seq
    state.time = time
    match event:
        case ev.JobEvent():
            why = _apply_job_event(state, time, event)
        case ev.NodeEvent():
            why = _apply_node_event(state, event)
        case _:
            why = _apply_batch_event(state, time, event)
    if why is not None:
        state.misfits += 1
        state.last_misfit = f"event {seq} ({event.type} by {event.author} of {event.scope}): {why}"


def _apply_batch_event(
    state: State,
    time: float,
    event: ev.Submitted
    | ev.KillRequested
    | ev.RetryRequested
    | ev.Reprioritized
    | ev.Completed
    | ev.BatchArchived
    | ev.Deleted,
) -> str | None:
    """Fold it; why it does not fit, or None."""
    batch = state.batches.get(event.scope)
    if batch is None:
        if event.type != "submitted":
            return "there is no such batch"
        if event.spec.id != event.scope:
            return f"its specification is of {event.spec.id}"
        state.batches[event.scope] = fold_batch.submit(event, state.seq, time)
        return None
    batch.last_seq = batch.under_seq = state.seq
    match event.type:
        case "submitted":
            return "this batch exists"
        case "kill_requested":
            return fold_batch.request_kill(batch, event.job)
        case "retry_requested":
            return fold_batch.request_retry(batch, event.failed_only)
        case "reprioritized":
            batch.priority = event.priority
            return None
        case "completed":
            return fold_batch.complete(batch, time, event)
        case "batch_archived":
            return fold_batch.archive(batch)
        case "deleted":
            return fold_batch.delete(state, batch, time)
        case _:
            assert_never(event)


def _apply_job_event(
    state: State,
    time: float,
    event: ev.Assigned | ev.Claimed | ev.Started | ev.Finished | ev.Released | ev.JobArchived,
) -> str | None:
    """Fold it; why it does not fit, or None."""
    batch = state.batches.get(event.batch_id)
    if batch is not None:
        batch.under_seq = state.seq
    row = batch.rows.get(event.job) if batch is not None else None
    # The archiver may have been at it when a person deleted the batch: no mistake of anybody's.
    may_be_late = event.type == "job_archived"
    if batch is None or row is None:
        return None if may_be_late else "there is no such job"
    batch.job_seq[row] = state.seq
    status = batch.status[row]
    if status not in JOB_TRANSITIONS[type(event)]:
        return f"the job is {Status(status).name.lower()}"
    if event.type == "assigned":
        return fold_job.assign(state, batch, row, time, event)
    if event.attempt != batch.attempts[row]:
        return None if may_be_late else f"attempt {event.attempt}, where the last is {batch.attempts[row]}"
    attempt = batch.active.get(row)
    if attempt is not None and attempt.node != event.node:
        return f"the job is at {attempt.node}"
    match event.type:
        case "claimed":
            fold_job.claim(batch, row)
        case "started":
            fold_job.start(batch, row, time)
        case "finished":
            fold_job.finish(state, batch, row, time, event)
        case "job_archived":
            fold_job.archive(batch, row, event.missing)
        case "released":
            return fold_job.release(state, batch, row, time, event)
        case _:
            assert_never(event)
    return None


def _apply_node_event(
    state: State,
    event: ev.Joined
    | ev.Leaving
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
) -> str | None:
    """Fold it; why it does not fit, or None."""
    if event.type == "joined":
        fold_node.join(state, event)
        return None
    node = state.nodes.get(event.node)
    if node is None:
        return "there is no such node"
    node.last_seq = state.seq
    match event.type:
        case "leaving":
            fold_node.leave(state, node, event)
        case "left":
            node.presence = "left"
        case "lost":
            node.presence = "lost"
        case "pause_requested":
            pass  # the node answers with `paused`; until then it stands as it was
        case "paused":
            node.paused_until = event.until.timestamp()
            node.pause_reason = event.reason
        case "resumed":
            node.paused_until = node.pause_reason = None
        case "drain_requested":
            node.draining = event.reason
        case "undrained":
            node.draining = node.quarantined = None
            node.fast_failures.clear()
        case "build_started":
            fold_node.start_build(state, node, event)
        case "build_finished":
            fold_node.finish_build(state, node, event)
        case "quarantined":
            node.quarantined = event.reason
        case _:
            assert_never(event)
    return None
