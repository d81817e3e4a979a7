"""`apply`, the only place that changes state: live, on restart, in replay and in the simulator.

`fold_batch` and `fold_job` fold an event into its batch, `fold_node` into a node; `accounts` counts what
attempts use of nodes and users. Every append is guarded, so an event that does not fit is a peer's mistake or
a forgery: it changes nothing, and is counted and named (`misfits`). `apply` never raises, whatever the order
or the times, so that no event can stop its readers.
"""

from __future__ import annotations

from dataclasses import replace

from distribute.core.folding import accounts, waits
from distribute.core.folding.fold_batch import (
    BatchEvent,
    BuildEvent,
    advance,
    advance_job,
    misfit_of_compacted,
)
from distribute.core.folding.fold_job import JobEvent, was_stopped
from distribute.core.folding.fold_node import apply_node_event
from distribute.core.log import events as ev
from distribute.core.log.event_base import LATEST
from distribute.core.log.recorded import Recorded
from distribute.core.state.packed import CompactedBatch
from distribute.core.state.packing import compacted_as, unpack
from distribute.core.state.state import Attempt, BatchState, State

_LATEST_S = LATEST.timestamp()
_WITHIN_ATTEMPT = frozenset({ev.Claimed, ev.Started, ev.StopOrdered, ev.JobArchived})
"""Events that neither begin an attempt nor end one: accounts stay as they are."""


def apply(state: State, recorded: Recorded) -> str | None:
    """Fold one event into the state. Returns why it does not fit, or None.

    Events delivered again (not above `state.seq`) change nothing.
    """
    seq, time, event = recorded
    if seq <= state.seq:
        return None
    if not 0.0 <= time <= _LATEST_S:
        time = state.time
        recorded = Recorded(seq, time, event)
    state.seq, state.time, state.cause = seq, time, event.id
    if event.about == "job":
        misfit = _apply_job_event(state, recorded, event)
    elif event.about == "node":
        misfit = apply_node_event(state, event)
    else:
        misfit = _apply_to_batch(state, recorded, event)
    if misfit is not None:
        state.misfits += 1
        state.last_misfit = f"event {seq} ({event.type} by {event.author} of {event.scope}): {misfit}"
    return misfit


def _apply_job_event(state: State, recorded: Recorded, event: JobEvent) -> str | None:
    """Fold an event of a job. Returns why it does not fit, or None."""
    batch = state.batch_of(event) or unpack(state, event.batch_id)
    if batch is None and (compacted := state.compacted.get(event.batch_id)) is not None:
        return _apply_to_compacted(state, compacted, recorded)
    row = batch.rows.get(event.job) if batch is not None else None
    if batch is None or row is None:
        return advance(batch, recorded).misfit
    seq, time, _ = recorded
    if type(event) in _WITHIN_ATTEMPT:
        return advance_job(batch, row, seq, time, event)
    active = batch.active
    before = active.get(row)
    finished = event if type(event) is ev.Finished else None
    suspect = batch.suspects.get(row) if finished is not None else None
    misfit = advance_job(batch, row, seq, time, event)
    if misfit is not None:
        return misfit
    now = active.get(row)
    if now is not before:
        if before is not None:
            accounts.give_back(state, batch, row, before, accounts.held_s(before, time, finished))
        if now is not None:
            accounts.take(state, batch, row, now)
    if finished is not None and before is not None and not _was_killed(batch, row, before, finished):
        accounts.judge(state, batch, row, suspect, finished)
    return None


def _was_killed(batch: BatchState, row: int, attempt: Attempt, event: ev.Finished) -> bool:
    """Did an attempt fail because it was killed? That says nothing about nodes."""
    return not event.succeeded and was_stopped(batch, row, attempt)


def _apply_to_batch(state: State, recorded: Recorded, event: BatchEvent | BuildEvent) -> str | None:
    """Fold an event of a batch or of a build. Returns why it does not fit, or None."""
    batch = state.batch_of(event) or unpack(state, event.batch_id)
    if batch is None and (compacted := state.compacted.get(event.batch_id)) is not None:
        return _apply_to_compacted(state, compacted, recorded)
    before = batch
    batch, misfit = advance(batch, recorded)
    if misfit is not None:
        return misfit
    match event:
        case ev.BuildFinished():
            node = state.nodes.get(event.node)
            if batch is not None and node is not None and event.succeeded:
                node.builds.add(event.batch_id)
        case ev.Submitted():
            assert batch is not None, "a submission that fits makes a batch"
            if before is not None:
                accounts.forget_batch(state, batch.id)
                accounts.take_over(state, before, batch)
                state.waits.pop(batch.id, None)
            state.batches[batch.id] = batch
            waits.fold_submission(state, batch, recorded.time)
        case ev.Completed() | ev.RetryRequested():
            assert batch is not None, "it fits"
            waits.fold_event(state, event, batch.submissions, recorded.time)
        case ev.Compacted():
            assert batch is not None, "it fits"
            del state.batches[batch.id]
            state.compacted[batch.id] = compacted_as(batch)
            accounts.forget_batch(state, batch.id)
        case ev.Deleted():
            submissions = state.batches[event.scope].submissions
            _delete(state, recorded)
            waits.fold_event(state, event, submissions, recorded.time)
        case _:
            pass
    return None


def _apply_to_compacted(state: State, batch: CompactedBatch, recorded: Recorded) -> str | None:
    """Fold an event under a compacted batch. Returns why it does not fit, or None."""
    event = recorded.event
    misfit = misfit_of_compacted(batch, event)
    if isinstance(event, ev.Deleted) and misfit is None:
        del state.compacted[batch.id]
        waits.fold_event(state, event, batch.submissions, recorded.time)
    else:
        state.compacted[batch.id] = replace(batch, under_seq=recorded.seq)
    return misfit


def _delete(state: State, recorded: Recorded) -> None:
    """Forget a batch, and jobs assigned just before: their nodes stop them when they read this."""
    event = recorded.event
    assert isinstance(event, ev.Deleted), "only a deletion deletes"
    batch = state.batches[event.scope]
    for row, attempt in sorted(batch.active.items()):
        accounts.give_back(state, batch, row, attempt, accounts.held_s(attempt, recorded.time, None))
        del batch.active[row]
    del state.batches[batch.id]
    accounts.forget_batch(state, batch.id)
