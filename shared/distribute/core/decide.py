"""The whole scheduling policy, pure and deterministic: same agenda, same time, same answer.

In order: nodes given up for lost; jobs taken back (from lost or restarted nodes, of killed batches,
where the build failed); broken nodes put in quarantine; batches seen to their end; and then jobs
given to nodes: by priority, then to whom has least of the lab, then by submission. The first job that
could run on a node that is now too busy reserves one, so that small jobs can't starve a large one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypedDict

from distribute.core import events as ev
from distribute.core.agenda import Agenda, Lane
from distribute.core.events import Append, Guard
from distribute.core.ids import BatchId, NodeId
from distribute.core.matching import grant, never, shortfall
from distribute.core.state import BatchEnd, BatchState, JobKey, NodeState, Shape, Status

QUARANTINE_AFTER = 5
"""This many fast failures, one after another, make a node suspect."""

QUARANTINE_BATCHES = 3
"""A suspect that failed jobs of this many batches is broken, whether or not they succeeded elsewhere."""

BUILD_FAILED = "the build failed on every node that could run it"


class Stamp(TypedDict):
    """The fields of an event that say who wrote it and when."""

    id: str
    time: datetime
    author: str


class Decisions:
    """What was decided so far in one call, each planned in the agenda at once."""

    def __init__(self, agenda: Agenda, now: float, new_id: Callable[[], str]) -> None:
        self.agenda = agenda
        self.now = now
        self.made: list[Append] = []
        self._new_id = new_id
        self._time = datetime.fromtimestamp(now, UTC)

    def stamp(self) -> Stamp:
        return {"id": self._new_id(), "time": self._time, "author": ev.SCHEDULER}

    def add(self, event: ev.Event, guard: Guard) -> None:
        self.agenda.plan(event)
        self.made.append(Append(event, guard))


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
    while agenda.has_room() and _assign_next(decisions):
        pass
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
    elif node.presence == "left":
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
    if batch.end is not None or batch.status[key.row] not in {Status.FAILED, Status.RETRYING}:
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
    """Many fast failures in a row are the node's fault where the same batch succeeds elsewhere."""
    failures = node.fast_failures
    if len(failures) < QUARANTINE_AFTER or node.presence != "here":
        return None
    batch_ids = {key.batch for key in failures}
    sound = sorted(id_ for id_ in batch_ids if agenda.state.batches[id_].succeeded_on - {node.name})
    told = f"failed {len(failures)} jobs within seconds, one after another"
    if sound:
        return f"{told}, of {sound[0]}, whose jobs succeed elsewhere"
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
        names = {"namespace": batch_id.namespace, "batch": batch_id.batch}
        if batch.end is None:
            end = _end_of(agenda, batch)
            if end is not None:
                state, reason = end
                decisions.add(
                    ev.Completed(**decisions.stamp(), **names, state=state, reason=reason),
                    Guard(batch.last_seq),
                )
        elif not batch.archived and not batch.unarchived and not batch.active:
            decisions.add(ev.BatchArchived(**decisions.stamp(), **names), Guard(batch.last_seq))


def _end_of(agenda: Agenda, batch: BatchState) -> tuple[BatchEnd, str | None] | None:
    """How the batch ended, and why jobs that still wait can't run; None while it goes on."""
    if batch.active:
        return None
    if batch.counts[Status.QUEUED] or batch.counts[Status.RETRYING]:
        return ("failed", BUILD_FAILED) if _build_failed_everywhere(agenda, batch) else None
    if batch.kill_all:
        return "killed", None
    return ("failed" if batch.counts[Status.FAILED] or batch.counts[Status.KILLED] else "completed"), None


def _build_failed_everywhere(agenda: Agenda, batch: BatchState) -> bool:
    if not batch.build_failed:
        return False
    capable = [
        node.name
        for node in agenda.state.nodes.values()
        if node.presence == "here" and any(never(node, group.shape) is None for group in batch.groups)
    ]
    return bool(capable) and all(name in batch.build_failed for name in capable)


# --- giving jobs to nodes --------------------------------------------------------------------------


def _assign_next(decisions: Decisions) -> bool:
    """Give the first job that can run now to the best node for it; False where there is none."""
    agenda = decisions.agenda
    reserved: tuple[Shape, str] | None = None
    for queue in agenda.ranked(decisions.now):
        for shape, lane in sorted(queue.items(), key=lambda item: item[1][0]):
            index = agenda.shapes[shape]
            choice = _choose(agenda, shape, lane, index.fits, reserved) if index.fits else None
            if choice is not None:
                _assign(decisions, *choice)
                return True
            if reserved is None and index.capable:
                reserved = shape, _reserve(agenda, shape, index.capable)
    return False


def _reserve(agenda: Agenda, shape: Shape, capable: set[str]) -> str:
    """The node that will fit the shape soonest, as far as can be told: the one that lacks least."""
    nodes = agenda.state.nodes
    return min(capable, key=lambda name: (*shortfall(nodes[name], shape, agenda.held_of(name)), name))


def _choose(
    agenda: Agenda, shape: Shape, lane: Lane, fits: set[str], reserved: tuple[Shape, str] | None
) -> tuple[BatchId, int, str] | None:
    """The batch of the lane, its group, and the node for its next job.

    A node that has built a batch takes that batch; else the first batch takes the best node.
    """
    usable = [name for name in fits if _may_use(agenda, shape, name, reserved)]
    if not usable:
        return None
    nodes = agenda.state.nodes

    def order(name: str) -> tuple[bool, int, str]:
        node = nodes[name]
        spare_cpus = node.cpus - node.used_cpus - agenda.held_of(name).cpus
        return (not shape.gpus and bool(node.gpus), spare_cpus, name)

    for _, batch_id, group in lane:
        batch = agenda.state.batches[batch_id]
        allowed = [name for name in usable if name not in batch.build_failed]
        if not allowed:
            continue
        built = [name for name in allowed if name in batch.built_on]
        name = min(built or allowed, key=order)
        if not built and batch.needs_build:
            for _, other_id, other_group in lane:
                if other_id in nodes[name].builds:
                    return other_id, other_group, name
        return batch_id, group, name
    return None


def _may_use(agenda: Agenda, shape: Shape, name: str, reserved: tuple[Shape, str] | None) -> bool:
    """A reserved node is kept for its job, and a GPU for GPU work that waits and could use it."""
    if reserved is not None and reserved[1] == name and reserved[0] != shape:
        return False
    return not keeps_for_gpu_work(agenda, shape, agenda.state.nodes[name])


def keeps_for_gpu_work(agenda: Agenda, shape: Shape, node: NodeState) -> bool:
    """Does GPU work wait that this node could run, and that a job without GPUs would be in the way of?"""
    if shape.gpus or not node.gpus:
        return False
    return any(other.gpus and node.name in index.capable for other, index in agenda.shapes.items())


def _assign(decisions: Decisions, batch_id: BatchId, group_number: int, name: str) -> None:
    agenda = decisions.agenda
    waiting = agenda.waiting[batch_id][group_number]
    row = waiting.first()
    assert row is not None, "a batch stands in a lane only while a job of it waits"
    batch = waiting.batch
    cpus, memory_bytes, gpus = grant(agenda.state.nodes[name], waiting.group.shape, agenda.held_of(name))
    decisions.add(
        ev.Assigned(
            **decisions.stamp(),
            namespace=batch_id.namespace,
            batch=batch_id.batch,
            job=batch.names[row],
            attempt=batch.attempts[row] + 1,
            node=name,
            cpus=cpus,
            memory_bytes=memory_bytes,
            gpus=gpus,
        ),
        Guard(batch.job_seq[row], batch.seq),
    )
