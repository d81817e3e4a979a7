"""Explain why a job waits, in words, by the predicates that `decide` uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from distribute.core.folding.gates import Gate, held_by, why_held
from distribute.core.ids import BatchId
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.elsewhere import must_leave
from distribute.core.scheduling.giving_up import is_forsaken
from distribute.core.scheduling.matching import (
    LEAVING_REASON,
    Obstacle,
    busy,
    never,
    suitable_gpus,
)
from distribute.core.scheduling.reservations import kept_from
from distribute.core.scheduling.trials import avoids, is_probe
from distribute.core.spec.gpu_kind import gpus_in_words
from distribute.core.state.state import NO_EXIT_CODE, BatchState, JobKey, NodeState, Shape, Status
from distribute.core.words import by_and_why, counted, format_duration, format_size, killed_by


@dataclass(frozen=True, slots=True)
class Verdict:
    """What keeps a node from a waiting job. `obstacle` None: it could take the job now."""

    node: str
    obstacle: Obstacle | None
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The status of a job in one sentence and, if it waits for a node, a verdict for each node."""

    summary: str
    nodes: tuple[Verdict, ...] = ()


def explain(agenda: Agenda, batch: BatchState, row: int) -> Explanation:
    """Explain the status of the job in this row."""
    status = Status(batch.status[row])
    match status:
        case Status.ASSIGNED | Status.CLAIMED | Status.RUNNING:
            return _explain_in_flight(agenda, batch, row, status)
        case Status.RETRYING:
            return Explanation("failed, and runs again as soon as what it left is archived")
        case Status.SUCCEEDED:
            return Explanation("succeeded" + _archived(batch, row))
        case Status.FAILED:
            return Explanation(_failed(batch, row))
        case Status.KILLED:
            kill = batch.kill_of(row)
            return Explanation(killed_by(kill.by if kill is not None else None))
        case Status.QUEUED:
            return _explain_queued(agenda, batch, row)


def _failed(batch: BatchState, row: int) -> str:
    exit_codes = batch.outcomes.exit_code
    exit_code = exit_codes[row] if len(exit_codes) else NO_EXIT_CODE
    with_code = f"exit code {exit_code}" if exit_code != NO_EXIT_CODE else None
    why = batch.reasons.get(row) or with_code or batch.end_reason
    return "failed" if why is None else f"failed: {why}"


def _archived(batch: BatchState, row: int) -> str:
    if row in batch.missing:
        return f", and its results are gone: {batch.missing[row]}"
    return ", not archived yet" if row in batch.unarchived else ""


def _explain_in_flight(agenda: Agenda, batch: BatchState, row: int, status: Status) -> Explanation:
    attempt = batch.active[row]
    told = f"{status.name.lower()}: attempt {attempt.number} at {attempt.node}"
    if (kill := batch.kill_of(row)) is not None:
        told = f"being killed by {kill.by}: attempt {attempt.number} at {attempt.node}"
    elif attempt.moved_by is not None:
        told = f"being moved by {attempt.moved_by}: attempt {attempt.number} at {attempt.node}"
    elif status is Status.CLAIMED and attempt.node in batch.building:
        told = f"waits until its batch is built at {attempt.node}"
    node = agenda.state.nodes.get(attempt.node)
    if node is None or not (node.presence == "lost" or node.name in agenda.silent):
        return Explanation(told)
    if node.presence != "lost":
        return Explanation(f"{told}, which is out of touch")
    left_s = agenda.liveness.given_up_at(node, attempt, agenda.now) - agenda.now
    if batch.holding is not None:
        return Explanation(f"{told}, which is silent. No other node takes it over: {held_by(batch.holding)}")
    if is_forsaken(agenda, JobKey(batch.id, row)):
        return Explanation(f"{told}, which is silent: the first other node that can takes it over")
    return Explanation(f"{told}, which is silent: waits up to {left_s:.0f} s more for it")


def _explain_queued(agenda: Agenda, batch: BatchState, row: int) -> Explanation:
    if batch.ran_at is not None:
        return Explanation(f"its batch ran at {batch.ran_at}, and its results are not collected yet")
    gate = agenda.waiting[batch.id][0].gate if batch.id in agenda.waiting else Gate(batch)
    if (hold := gate.hold_of(row)) is not None:
        return Explanation(f"waits for its batch: {why_held(agenda.state, batch, hold)}")
    shape = batch.group_of(row).shape
    verdicts = tuple(
        Verdict(node.name, obstacle, _put(agenda, node, shape, batch, obstacle))
        for node, obstacle in ((node, obstacle_at(agenda, batch, row, node)) for node in _nodes(agenda))
    )
    able = sum(never(node, shape) is None for node in _nodes(agenda))
    if not verdicts:
        return Explanation("waits: no node has joined yet")
    if not able:
        return Explanation("waits: no node could ever run it", verdicts)
    if any(verdict.obstacle is None for verdict in verdicts):
        return Explanation("waits for its turn: jobs before it take the free nodes first", verdicts)
    nodes = counted(len(verdicts), "node")
    return Explanation(f"waits: {able} of {nodes} could run it, none can now", verdicts)


def obstacle_at(agenda: Agenda, batch: BatchState, row: int, node: NodeState) -> Obstacle | None:
    """The first thing that keeps this node from the job in this row now."""
    shape = batch.group_of(row).shape
    return (
        never(node, shape)
        or agenda.obstacle_of(node)
        or (Obstacle.QUARANTINED if node.name in agenda.pending.quarantines else None)
        or (Obstacle.BUILD_FAILED if node.name in batch.build_failed else None)
        or (Obstacle.MOVED_AWAY if must_leave(agenda.state, batch, row, node.name, agenda.log_now) else None)
        or busy(node, shape, agenda.pending.held_of(node.name))
        or _trial_at(agenda, batch, row, node)
        or kept_from(agenda, agenda.reserved, node, shape, batch.priority, batch.user)
    )


def _trial_at(agenda: Agenda, batch: BatchState, row: int, node: NodeState) -> Obstacle | None:
    if is_probe(batch, row):
        return Obstacle.ON_TRIAL if avoids(agenda.state, batch, row, node.name, agenda.log_now) else None
    held_back: frozenset[BatchId] = agenda.held_back.get(node.name, frozenset())
    return Obstacle.ON_TRIAL if batch.id in held_back else None


def _nodes(agenda: Agenda) -> Iterator[NodeState]:
    for name in sorted(agenda.state.nodes):
        yield agenda.state.nodes[name]


def _gpus(shape: Shape) -> str:
    return str(shape.gpus) if shape.gpu_kind is None else gpus_in_words(shape.gpus, shape.gpu_kind)


def _share(shape: Shape) -> str:
    """What the shape takes of a node, in words."""
    return (
        "the whole node"
        if shape.whole_node
        else f"{counted(shape.cpus, 'cpu')}, {gpus_in_words(shape.gpus, shape.gpu_kind)}"
    )


def _pause(agenda: Agenda, node: NodeState) -> str:
    """For how long the node is paused still, by whom, and why."""
    if node.paused_until is None:
        return ""
    left = format_duration(round(max(0.0, node.paused_until - agenda.log_now)))
    return f"for {left} more{by_and_why(node.paused_by, node.pause_reason)}"


def _put(agenda: Agenda, node: NodeState, shape: Shape, batch: BatchState, obstacle: Obstacle | None) -> str:
    """The obstacle in words, with the figures behind it."""
    if obstacle is None:
        return "could take it now"
    free_cpus = node.cpus - node.used_cpus
    reservation = agenda.reserved.get(node.name)
    details = {
        Obstacle.CAPABILITIES: ", ".join(sorted(shape.capabilities - node.capabilities)),
        Obstacle.CPUS: f"{node.cpus}, of {shape.cpus} needed",
        Obstacle.MEMORY: (f"{format_size(node.memory_bytes)}, of {format_size(shape.memory_bytes)} needed"),
        Obstacle.GPUS: f"{len(suitable_gpus(node, shape))}, of {_gpus(shape)} needed",
        Obstacle.LEAVING: LEAVING_REASON,
        Obstacle.GONE: "it left" if node.presence == "left" else "it was lost",
        Obstacle.PAUSED: _pause(agenda, node),
        Obstacle.DRAINING: node.draining or "",
        Obstacle.QUARANTINED: node.quarantined or "",
        Obstacle.BUSY: (
            f"{counted(len(node.attempts), 'job')}, {free_cpus} of {counted(node.cpus, 'cpu')} free, "
            f"{_share(shape)} needed"
        ),
        Obstacle.BUILD_FAILED: batch.build_failed.get(node.name, ""),
        Obstacle.RESERVED: f"{_share(reservation.shape if reservation is not None else shape)} needed",
    }
    detail = details.get(obstacle)
    return f"{obstacle.value}: {detail}" if detail else obstacle.value
