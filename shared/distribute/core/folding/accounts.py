"""Accounts beside the batches: which resources attempts use, for whom, and which nodes are to blame.

Only `fold.apply` calls this, after an event has changed its batch.
"""

from __future__ import annotations

from typing import Any

from distribute.core.folding.fold_job import FAST_FAILURE_S
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.spec.shape import is_gpu_work
from distribute.core.state.state import (
    Attempt,
    BatchState,
    FailureRecord,
    JobKey,
    NodeState,
    Shape,
    State,
    Usage,
)
from distribute.core.state.usage import OVERDUE_S, charge, decayed

MAX_SHAPES_NOTED = 1000
"""Max. shapes per user for which we remember the last assignment time. We forget the oldest."""

PROBES = 3
"""So many of a suspect node's failed jobs run elsewhere, to find out what is to blame (see `trials`)."""

MAX_FAST_FAILURES = 100
"""Max. fast failures in a row in a node's record: a decision looks at each. We forget the oldest."""


def take(state: State, batch: BatchState, row: int, attempt: Attempt) -> None:
    """Charge an attempt's resources to its node and its user."""
    node = state.nodes.get(attempt.node)
    if node is not None:
        key = JobKey(batch.id, row)
        hold(node, key, attempt)
        if node.leaving:  # the assignment was on its way when the node wrote `leaving`
            node.dropped.add(key)
    usage = state.usage.get(batch.user)
    if usage is None:
        _forget_idle_users(state)
        usage = state.usage[batch.user] = Usage(as_of_s=int(attempt.assigned_at))
    usage.cores += attempt.cpus
    _note_served(usage, batch.group_of(row).shape, attempt.assigned_at)


def hold(node: NodeState, key: JobKey, attempt: Attempt) -> None:
    """Charge an attempt's resources to its node."""
    node.attempts.add(key)
    node.used_cpus += attempt.cpus
    node.used_memory_bytes += attempt.memory_bytes
    if attempt.gpus:
        node.used_gpus.update(attempt.gpus)


def give_back(state: State, batch: BatchState, row: int, attempt: Attempt, held_s: float) -> None:
    """Free the resources of an attempt that is over, and charge its user for `held_s` seconds."""
    node = state.nodes.get(attempt.node)
    key: Any = (batch.id, row)  # a plain tuple finds it, and costs a tenth of a `JobKey`
    if node is not None and key in node.attempts:
        node.attempts.remove(key)
        if node.dropped:
            node.dropped.discard(key)
        node.used_cpus -= attempt.cpus
        node.used_memory_bytes -= attempt.memory_bytes
        if attempt.gpus:  # another attempt may hold the same GPU: two schedulers may have assigned it at once
            others = (state.batches[other.batch].active[other.row] for other in node.attempts)
            node.used_gpus = {gpu for other in others for gpu in other.gpus}
    usage = state.usage[batch.user]
    usage.cores -= attempt.cpus
    charge(usage, attempt.cpus, held_s, state.time)


def take_over(state: State, before: BatchState, batch: BatchState) -> None:
    """Have the nodes' attempts at jobs that a batch took over named by their rows in it."""
    for name in {attempt.node for attempt in before.active.values()}:
        node = state.nodes.get(name)
        for keys in (node.attempts, node.dropped) if node is not None else ():
            old = {key for key in keys if key.batch == before.id}
            keys -= old
            keys |= {JobKey(batch.id, batch.rows[before.names[key.row]]) for key in old}


def held_s(attempt: Attempt, time: float, finished: ev.Finished | None) -> float:
    """The seconds for which an attempt held its resources.

    The log's clock may have jumped meanwhile, so the node's own count is the upper bound, if there is one.
    """
    passed_s = max(0.0, time - attempt.assigned_at)
    if finished is None:
        return passed_s
    before_s = max(0.0, attempt.since - attempt.assigned_at)
    return min(passed_s, before_s + finished.wall_s + finished.paused_s)


def _forget_idle_users(state: State) -> None:
    """Make room for a new user: at each doubling of their number, forget users for whom nothing counts.

    Anyone can submit under any name, so users must be bounded. Looking only at doublings is cheap.
    """
    known = len(state.usage)
    if known & (known - 1) == 0:  # a power of two
        left = {
            user: usage for user, usage in state.usage.items() if not _counts_for_nothing(usage, state.time)
        }
        if len(left) < known:
            state.usage = left  # a new object, by which `shares` notices the change


def _counts_for_nothing(usage: Usage, now: float) -> bool:
    """Does the user hold nothing, has past use decayed to 0, and was the last assignment long ago?"""
    return (
        usage.cores == 0
        and decayed(usage.core_ms, int(now) - usage.as_of_s) == 0
        and now - max(usage.served.values(), default=0.0) > OVERDUE_S
    )


def _note_served(usage: Usage, shape: Shape, time: float) -> None:
    usage.served[shape] = time
    if len(usage.served) > MAX_SHAPES_NOTED:
        del usage.served[min(usage.served, key=lambda noted: (usage.served[noted], shape_order(noted)))]


def shape_order(shape: Shape) -> tuple[list[str], int, int, int, tuple[int | str, ...]]:
    """A sort key for shapes. No two shapes have the same."""
    kind = shape.gpu_kind or ()
    return sorted(shape.capabilities), shape.cpus, shape.memory_bytes, shape.gpus, kind


# --- fast failures -----------------------------------------------------------------------------------


def judge(state: State, batch: BatchState, row: int, suspect: str | None, event: ev.Finished) -> None:
    """Update the nodes' records of fast failures. `suspect`: the node where the job failed fast before."""
    shape = batch.group_of(row).shape
    suspected = state.nodes.get(suspect) if suspect is not None and suspect != event.node else None
    if suspected is not None:
        record = record_of(suspected, shape)
        _clear_or_blame(suspected, record, JobKey(batch.id, row), succeeded=event.succeeded)
    node = state.nodes.get(event.node)
    if node is None:
        return
    record = record_of(node, shape)
    if event.succeeded:
        record.quarantines = 0
        forget_failures(record)
    elif event.wall_s >= FAST_FAILURE_S:
        forget_failures(record)
    elif batch.suspects.get(row) == node.name:
        if node.quarantined is not None and state.time >= node.quarantined_until:
            lift_quarantine(node)  # it ended by itself, and the record begins anew
        record.fast_failures[JobKey(batch.id, row)] = None
        if len(record.fast_failures) > MAX_FAST_FAILURES:
            del record.fast_failures[next(iter(record.fast_failures))]


def record_of(node: NodeState, shape: Shape) -> FailureRecord:
    """The node's record for jobs of this shape: GPU work or other work."""
    return node.gpu_record if is_gpu_work(shape) else node.record


def _clear_or_blame(node: NodeState, record: FailureRecord, key: JobKey, *, succeeded: bool) -> None:
    """Count a job that failed fast at this node and then ended at another one."""
    if key not in record.fast_failures:
        return
    del record.fast_failures[key]
    if succeeded:
        record.blamed += 1
    else:
        record.cleared += 1
    if node.quarantined is None and is_cleared(record):
        forget_failures(record)


def is_cleared(record: FailureRecord) -> bool:
    """Did enough of the failed jobs fail elsewhere, too?"""
    return record.cleared >= PROBES and record.cleared > record.blamed


def forget_failures(record: FailureRecord) -> None:
    """Clear the node's record of fast failures."""
    record.fast_failures.clear()
    record.blamed = record.cleared = 0


def lift_quarantine(node: NodeState) -> None:
    """End the node's quarantine."""
    node.quarantined = None
    node.quarantined_until = 0.0
    for record in node.records:
        forget_failures(record)


def count_quarantine(node: NodeState) -> None:
    """Count a quarantine of the node in the records that blame it."""
    against = [record for record in node.records if record.blamed > record.cleared]
    for record in against or node.records:
        record.quarantines += 1


def forget_quarantines(node: NodeState) -> None:
    """Reset the count of quarantines, so that the next one has the first length."""
    for record in node.records:
        record.quarantines = 0


def forget_batch(state: State, batch_id: BatchId) -> None:
    """Remove a deleted batch from all nodes."""
    for node in state.nodes.values():
        node.builds.discard(batch_id)
        for record in node.records:
            for key in [key for key in record.fast_failures if key.batch == batch_id]:
                del record.fast_failures[key]
