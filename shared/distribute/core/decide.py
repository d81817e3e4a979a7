"""The whole scheduling policy, pure and deterministic: same agenda, same time, same answer.

In order: nodes given up for lost; jobs taken back (from lost or restarted nodes, of killed batches,
where the build failed); broken nodes put in quarantine; batches seen to their end; and then jobs
given to nodes (`placing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from distribute.core import events as ev
from distribute.core.agenda import QUARANTINE_AFTER, Agenda
from distribute.core.decisions import Decisions
from distribute.core.events import Append, Guard
from distribute.core.fold_job import MAX_NODE_DEATHS
from distribute.core.ids import NodeId
from distribute.core.matching import never
from distribute.core.placing import place_jobs
from distribute.core.state import BatchEnd, BatchState, JobKey, NodeState, Status

QUARANTINE_BATCHES = 3
"""A suspect that failed jobs of this many batches is broken, whether or not they succeeded elsewhere."""

BUILD_FAILED = "the build failed on every node that could run it"


def decide(
    agenda: Agenda, now: float, expired: Mapping[str, float], new_id: Callable[[], str]
) -> list[Append]:
    """What the scheduler appends next.

    Args:
        agenda: the state, and what was decided before and has not come back from the log yet.
        now: seconds since 1970.
        expired: nodes silent for longer than their lease, and for how many seconds.
        new_id: makes the id of an event.
    """
    decisions = Decisions(agenda, now, new_id)
    _give_up_nodes(decisions, expired)
    _quarantine(decisions)
    _release(decisions)
    _end_batches(decisions)
    place_jobs(decisions)
    return decisions.made


def _give_up_nodes(decisions: Decisions, expired: Mapping[str, float]) -> None:
    for name, silent_s in sorted(expired.items()):
        node = decisions.agenda.state.nodes.get(name)
        if node is not None and node.presence == "here" and NodeId(name) not in decisions.agenda.pending:
            decisions.add(
                ev.Lost(**decisions.stamp(), node=name, silent_s=round(silent_s, 1)), Guard(node.last_seq)
            )


# --- taking jobs back ------------------------------------------------------------------------------


def _release(decisions: Decisions) -> None:
    agenda = decisions.agenda
    for key in agenda.take_releases():
        batch = agenda.state.batches.get(key.batch)
        if batch is None or batch.job_id(key.row) in agenda.pending:
            continue
        found = _attempt_to_release(agenda, batch, key)
        if found is None:
            continue
        node, reason = found
        decisions.add(
            ev.Released(
                **decisions.stamp(),
                namespace=batch.id.namespace,
                batch=batch.id.batch,
                job=batch.names[key.row],
                attempt=batch.attempts[key.row],
                node=node,
                reason=reason,
            ),
            Guard(batch.job_seq[key.row], batch.seq),
        )


def _attempt_to_release(
    agenda: Agenda, batch: BatchState, key: JobKey
) -> tuple[str, ev.ReleaseReason] | None:
    """The node that must give the job back, and why; None where it may keep it."""
    attempt = batch.active.get(key.row)
    if attempt is None:
        return _failure_to_take_back(agenda, batch, key)
    node = agenda.state.nodes[attempt.node]
    reason: ev.ReleaseReason | None = None
    if batch.kill_wanted(key.row) or batch.end is not None:
        reason = "killed"
    elif node.presence == "lost":
        reason = "node_lost"
    elif node.presence == "left" or (node.keeps is not None and key not in node.keeps):
        reason = "node_left"
    elif attempt.seq < node.joined_seq:
        reason = "node_restarted"
    elif node.name in batch.build_failed:
        reason = "build_failed"
    return None if reason is None else (node.name, reason)


def _failure_to_take_back(
    agenda: Agenda, batch: BatchState, key: JobKey
) -> tuple[str, ev.ReleaseReason] | None:
    """A failure on a node that turned out to be broken: not the job's own."""
    if batch.end is not None or batch.kill_wanted(key.row):
        return None
    if batch.status[key.row] not in {Status.FAILED, Status.RETRYING}:
        return None
    if key.row in batch.excused or key.row not in batch.failures:
        return None
    if batch.deaths.get(key.row, 0) >= MAX_NODE_DEATHS:
        return None
    node = agenda.state.nodes[batch.node_names[batch.outcomes.node[key.row]]]
    if node.quarantined is None or key not in node.fast_failures:
        return None
    return node.name, "quarantined"


def _quarantine(decisions: Decisions) -> None:
    agenda = decisions.agenda
    for name in agenda.take_suspects():
        node = agenda.state.nodes.get(name)
        if node is None or node.quarantined is not None or NodeId(name) in agenda.pending:
            continue
        reason = _why_broken(agenda, node)
        if reason is not None:
            decisions.add(ev.Quarantined(**decisions.stamp(), node=name, reason=reason), Guard(node.last_seq))


def _why_broken(agenda: Agenda, node: NodeState) -> str | None:
    """Many fast failures in a row are the node's fault where no other node fails the same batches.

    So some other node must be there, and in use: either it succeeds with one of the batches, or the failures
    are of so many batches that these can't be to blame.
    """
    if len(node.fast_failures) < QUARANTINE_AFTER or node.presence != "here":
        return None
    state = agenda.state
    others = [
        other
        for other in state.nodes.values()
        if other is not node and other.presence == "here" and other.quarantined is None
    ]
    failing_elsewhere = {key.batch for other in others for key in other.fast_failures}
    failures = [key for key in node.fast_failures if key.batch not in failing_elsewhere]
    if len(failures) < QUARANTINE_AFTER or not others:
        return None
    told = f"failed {len(failures)} jobs within seconds, one after another"
    batch_ids = sorted({key.batch for key in failures})
    for batch_id in batch_ids:
        if any(other.name in state.batches[batch_id].succeeded_on for other in others):
            return f"{told}, of {batch_id}, whose jobs succeed elsewhere"
    if len(batch_ids) >= QUARANTINE_BATCHES:
        return f"{told}, of {len(batch_ids)} batches"
    return None


# --- the end of a batch ----------------------------------------------------------------------------


def _end_batches(decisions: Decisions) -> None:
    agenda = decisions.agenda
    for batch_id in agenda.take_checks():
        batch = agenda.state.batches.get(batch_id)
        if batch is None or batch_id in agenda.pending or batch_id in agenda.pending_jobs:
            continue
        if _in_doubt(agenda, batch):
            agenda.check_again(batch_id)
            continue
        names = {"namespace": batch_id.namespace, "batch": batch_id.batch}
        if batch.end is None:
            end = _end_of(agenda, batch)
            if end is not None:
                state, reason = end
                decisions.add(
                    ev.Completed(**decisions.stamp(), **names, state=state, reason=reason),
                    Guard(batch.under_seq),
                )
        elif not batch.archived and not batch.unarchived and not batch.active:
            decisions.add(ev.BatchArchived(**decisions.stamp(), **names), Guard(batch.under_seq))


def _end_of(agenda: Agenda, batch: BatchState) -> tuple[BatchEnd, str | None] | None:
    """How the batch ended, and why jobs that still wait can't run; None while it goes on."""
    if batch.active:
        return None
    if batch.counts[Status.RETRYING]:
        return None
    if batch.counts[Status.QUEUED]:
        return ("failed", BUILD_FAILED) if _build_failed_everywhere(agenda, batch) else None
    if batch.kill_all:
        return "killed", None
    return ("failed" if batch.counts[Status.FAILED] or batch.counts[Status.KILLED] else "completed"), None


def _in_doubt(agenda: Agenda, batch: BatchState) -> bool:
    """Is a node about to be put in quarantine, so that failures of the batch there will not count?"""
    return any(
        key.batch == batch.id
        for name in agenda.pending_quarantines
        for key in agenda.state.nodes[name].fast_failures
    )


def _build_failed_everywhere(agenda: Agenda, batch: BatchState) -> bool:
    """Did the build fail on all nodes there are for the jobs that wait?"""
    if not batch.build_failed:
        return False
    for waiting in agenda.waiting[batch.id]:
        if waiting.first() is None:
            continue
        capable = [
            node.name
            for node in agenda.state.nodes.values()
            if node.presence == "here" and never(node, waiting.group.shape) is None
        ]
        if not capable or any(name not in batch.build_failed for name in capable):
            return False
    return True
