"""Find out whether a node or its jobs are to blame for fast failures.

A node on which several jobs in a row failed fast is *suspect*. A few of these jobs, the *probes*, are excused
and run again on other nodes; meanwhile the node takes no other jobs of their batches. If probes succeed
elsewhere, the node is to blame: it goes into quarantine, and its other failures are excused. If they fail
there as well, the jobs are to blame, and the node is cleared. Only the outcome of the same jobs counts as
proof. GPU work and other work have a record each, because a job without a GPU proves nothing about GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from distribute.core.folding.accounts import PROBES
from distribute.core.folding.fold_job import why_given_up
from distribute.core.log.events import Finished
from distribute.core.scheduling.elsewhere import can_run_elsewhere
from distribute.core.scheduling.pending import Pending
from distribute.core.state.state import ENDED, BatchState, FailureRecord, JobKey, NodeState, State, Status

SUSPECT_AFTER = 5
"""The number of fast failures in a row that makes a node suspect."""

PROOFS = 2
"""A node is proven broken if `PROOFS` of the failed jobs succeed elsewhere, and more than fail there."""

TRIAL_S = 600.0
"""Max. duration of a trial. It must end, because other nodes may be busy for days."""

QUARANTINE_S = 600.0
LONGEST_QUARANTINE_S = 24 * 3600.0
"""The length of the first quarantine, which doubles each time, and the greatest length."""


def is_suspect(node: NodeState, record: FailureRecord) -> bool:
    """Did several jobs in a row fail fast here, and is the cause still open?

    Failures before the end of a quarantine do not count: only new ones make the node suspect again.
    """
    return node.quarantined is None and len(record.fast_failures) + record.blamed >= SUSPECT_AFTER


def has_failed_fast(node: NodeState, key: JobKey) -> bool:
    """Is the job in one of the node's records of fast failures?"""
    return key in node.record.fast_failures or key in node.gpu_record.fast_failures


def asks_for_decision(node: NodeState) -> bool:
    """Is the node suspect, or is it in quarantine and has failures to excuse?"""
    if node.quarantined is not None:
        return bool(node.record.fast_failures or node.gpu_record.fast_failures)
    return is_suspect(node, node.record) or is_suspect(node, node.gpu_record)


def is_proven_broken(node: NodeState, record: FailureRecord) -> bool:
    """Did the same jobs succeed elsewhere?"""
    return is_suspect(node, record) and record.blamed >= PROOFS and record.blamed > record.cleared


def quarantine_s(record: FailureRecord) -> float:
    """The length of the next quarantine that the jobs of this record prove necessary."""
    return min(QUARANTINE_S * 2.0 ** min(record.quarantines, 30), LONGEST_QUARANTINE_S)


def suspect_of(state: State, event: Finished) -> str | None:
    """The node where the job of this `finished` had failed fast before."""
    batch = state.batch_of(event)
    row = batch.rows.get(event.job) if batch is not None else None
    return batch.suspects.get(row) if batch is not None and row is not None else None


def is_excusable(state: State, node: NodeState, key: JobKey) -> bool:
    """Can this failure be excused? A person's kill, the batch's end or the job's record may forbid it."""
    batch = state.batches.get(key.batch)
    return (
        batch is not None
        and batch.end is None
        and batch.status[key.row] in {Status.FAILED, Status.RETRYING}
        and batch.suspects.get(key.row) == node.name
        and key.row not in batch.inexcusable
        and not batch.kill_wanted(key.row)
        and why_given_up(batch.deaths.get(key.row, [])) is None
    )


def is_probe(batch: BatchState, row: int) -> bool:
    """Was the job excused, and has it not ended elsewhere yet?"""
    return row in batch.suspects and row in batch.inexcusable and batch.status[row] not in ENDED


def avoids(state: State, batch: BatchState, row: int, name: str, now: float) -> bool:
    """Is the job a probe of this node that another node can soon run? Then this node must not run it.

    The node from which a person moved the job does not count. That one keeps away from the job because this
    one can run it: the job would wait for ever.
    """
    key = JobKey(batch.id, row)
    is_suspected = batch.suspects.get(row) == name and any(
        key in each.fast_failures for each in state.nodes[name].records
    )
    barred = {name, batch.moved_from.get(row)}
    return is_suspected and is_probe(batch, row) and can_run_elsewhere(state, batch, row, barred, now)


def probes(
    state: State, node: NodeState, record: FailureRecord, elsewhere: Callable[[JobKey], bool]
) -> Iterator[JobKey]:
    """The probes of a node: those that run already, and those that will be excused.

    `elsewhere` tells whether another node could run a job.
    """
    able = (
        key
        for key in record.fast_failures
        if _is_open(state, node, key) or (is_excusable(state, node, key) and elsewhere(key))
    )
    return islice(able, max(1, PROBES - record.cleared - record.blamed))


def is_on_trial(
    state: State,
    node: NodeState,
    record: FailureRecord,
    pending: Pending,
    elsewhere: Callable[[JobKey], bool],
) -> bool:
    """Has the node probes, or will it? Then for up to `TRIAL_S` it takes no other jobs of their batches.

    A probe that no other node can run any more does not count.
    """
    return is_suspect(node, record) and any(
        (_is_open(state, node, key) and (key.row in state.batches[key.batch].active or elsewhere(key)))
        or pending.excuses(state.batches[key.batch].job_id(key.row))
        for key in record.fast_failures
    )


def _is_open(state: State, node: NodeState, key: JobKey) -> bool:
    batch = state.batches.get(key.batch)
    return batch is not None and batch.suspects.get(key.row) == node.name and is_probe(batch, key.row)
