"""Fold node events. Only `fold.apply` calls this."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

from distribute.core.folding import accounts
from distribute.core.ids import AttemptId
from distribute.core.log import events as ev
from distribute.core.spec.specs import MAX_LISTED
from distribute.core.state.state import JobKey, NodeState, State
from distribute.core.words import counted

MAX_PAUSES = 1000
"""Max. pauses that we note of a node with attempts. We forget the oldest, which then counts as run time."""

_TRIED_OUT = frozenset({"python3", "apptainer"})
"""Capabilities that every node tries out. What is listed of them does not count."""

_ButJoined = (
    ev.Leaving
    | ev.Left
    | ev.Lost
    | ev.Forgotten
    | ev.Listed
    | ev.PauseRequested
    | ev.ResumeRequested
    | ev.Paused
    | ev.Resumed
    | ev.DrainRequested
    | ev.Undrained
    | ev.Quarantined
    | ev.Superseded
)
NodeEvent = ev.Joined | _ButJoined


def apply_node_event(state: State, event: NodeEvent) -> str | None:
    """Fold an event. Returns why it does not fit, or None."""
    if event.type == "joined":
        _join(state, event)
        return None
    node = state.nodes.get(event.node)
    return _apply_to_unknown(state, event) if node is None else _apply_to_known(state, node, event)


def _apply_to_known(state: State, node: NodeState, event: _ButJoined) -> str | None:
    misfit = _too_late(node, event)
    node.last_seq = state.seq
    node.cause = event.id
    if misfit is not None:
        return misfit
    match event.type:
        case "leaving":
            node.leaving = True
            _keep_only(state, node, event.keeps)
        case "left":
            node.presence = "left"
        case "lost":
            node.presence = "lost"  # its attempts stay its own until another node can take them
            node.silent_from = max(0.0, state.time - event.silent_s)
        case "forgotten":
            return _forget(state, node)
        case "listed":
            misfit = _list(state, event)
            node.capabilities = _capabilities(state, node.name, node.own_capabilities)
            return misfit
        case "pause_requested" | "resume_requested" | "superseded":
            pass  # the node answers a request; until then nothing changes. `superseded` is for people
        case "paused":
            node.paused_until = _end_of(state, event, event.until)
            node.pause_reason, node.paused_by = event.reason, event.by
            _keep_only(state, node, event.keeps)
            _begin_pause(state, node, node.paused_until)
        case "resumed":
            node.paused_until = node.pause_reason = node.paused_by = None
            _end_pause(node, state.time)
        case "drain_requested":
            node.draining, node.drained_by = event.reason, event.author
            node.drained_until = None if event.until is None else _end_of(state, event, event.until)
        case "undrained":
            node.draining = node.drained_by = node.drained_until = None
            accounts.lift_quarantine(node)
            accounts.forget_quarantines(node)
        case "quarantined":
            node.quarantined = event.reason
            node.quarantined_until = _end_of(state, event, event.until)
            accounts.count_quarantine(node)
        case _:
            assert_never(event)
    return None


def _apply_to_unknown(state: State, event: _ButJoined) -> str | None:
    """Fold an event about a node that never joined, or was forgotten. The head may list it all the same."""
    if event.type == "listed":
        return _list(state, event)
    if event.type == "forgotten" and event.node in state.listed:
        del state.listed[event.node]
        return None
    return "there is no such node"


def _capabilities(state: State, node: str, own: frozenset[str]) -> frozenset[str]:
    """A node's own capabilities, and those for which it is listed."""
    return own | (state.listed.get(node, frozenset()) - _TRIED_OUT)


def _list(state: State, event: ev.Listed) -> str | None:
    if event.capabilities is None:
        state.listed.pop(event.node, None)
    elif event.node not in state.listed and len(state.listed) >= MAX_LISTED:
        return f"{MAX_LISTED} nodes are listed already"
    else:
        state.listed[event.node] = event.capabilities
    return None


def _too_late(node: NodeState, event: NodeEvent) -> str | None:
    """Why an event came too late: another runner has joined since, or the lost node is back; None if not.

    It may come late on a slow network, or be appended again after the log lost its end.
    """
    match event.type:
        case "leaving" | "left" | "paused" | "resumed":
            if event.incarnation not in {None, node.incarnation}:
                return f"it is of the runner {event.incarnation}, and {node.incarnation} has joined since"
        case "lost":
            if node.presence != "here":
                return f"the node is {node.presence}"
            if event.causation not in {None, node.cause}:
                return f"it follows from {event.causation}, which is not the last event of the node"
        case _:
            pass
    return None


def _join(state: State, event: ev.Joined) -> None:
    """Add a node, or one that is back. Of its earlier attempts, it has only those that it keeps."""
    before = state.nodes.get(event.node)
    node = state.nodes[event.node] = NodeState(
        name=event.node,
        last_seq=state.seq,
        cause=event.id,
        joined_seq=state.seq,
        incarnation=event.incarnation,
        boot_id=event.boot_id,
        capabilities=_capabilities(state, event.node, event.capabilities),
        own_capabilities=event.capabilities,
        cpus=event.cpus,
        memory_bytes=event.memory_bytes,
        gpus=event.gpus,
        gpu_memory_bytes=event.gpu_memory_bytes or (),
        version=event.version,
    )
    # The other attempts stay charged to the node until the scheduler releases them, or another node could
    # get their jobs twice.
    for key in _attempts_at(state, event.node) if before is None else before.attempts:
        accounts.hold(node, key, state.batches[key.batch].active[key.row])
    _keep_only(state, node, event.keeps)
    if before is None:
        return
    # Pauses, drains and quarantines outlive the runner.
    node.paused_until, node.pause_reason = before.paused_until, before.pause_reason
    node.paused_by = before.paused_by
    node.pauses = before.pauses
    node.draining, node.drained_by = before.draining, before.drained_by
    node.drained_until = before.drained_until
    node.quarantined, node.quarantined_until = before.quarantined, before.quarantined_until
    node.record, node.gpu_record = before.record, before.gpu_record
    has_new_boot = before.boot_id != event.boot_id and "" not in {before.boot_id, event.boot_id}
    node.rebooted = has_new_boot or (before.rebooted and bool(before.dropped))
    if before.incarnation == event.incarnation:
        node.builds = before.builds  # it is the same runner: it was out of touch


def _attempts_at(state: State, node: str) -> Iterable[JobKey]:
    """The attempts that were assigned to a node before it was known, or after it was forgotten."""
    for batch in state.batches.values():
        for row, attempt in batch.active.items():
            if attempt.node == node:
                yield JobKey(batch.id, row)


def _keep_only(state: State, node: NodeState, keeps: Iterable[AttemptId]) -> None:
    """Note that the node has lost all its attempts but these."""
    kept = set(keeps)
    node.dropped = {key for key in node.attempts if state.batches[key.batch].attempt_id(key.row) not in kept}


def _end_of(state: State, event: NodeEvent, until: datetime) -> float:
    """When by the log's clock what the event begins is over.

    Its length is a difference of two times of the author's clock, so a wrong clock makes no difference.
    """
    return state.time + max(0.0, (until - event.time).total_seconds())


def _begin_pause(state: State, node: NodeState, end: float) -> None:
    """Its attempts don't run until then, or until it says that they do again."""
    _end_pause(node, state.time)
    attempts = (state.batches[key.batch].active[key.row] for key in node.attempts)
    earliest = min((attempt.assigned_at for attempt in attempts), default=state.time)
    kept = [pause for pause in node.pauses if pause[1] > earliest]
    node.pauses = [*kept[1 - MAX_PAUSES :], (state.time, end)]


def _end_pause(node: NodeState, time: float) -> None:
    if node.pauses:
        begin, end = node.pauses[-1]
        node.pauses[-1] = (begin, max(begin, min(end, time)))


def _forget(state: State, node: NodeState) -> str | None:
    """Remove a node that is gone for good."""
    if node.presence == "here":
        return "the node is here"
    if node.attempts:
        return f"the node still has {counted(len(node.attempts), 'job')}"
    del state.nodes[node.name]
    state.listed.pop(node.name, None)
    return None
