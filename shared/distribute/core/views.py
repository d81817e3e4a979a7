"""The state as people and scripts read it: the JSON of `status`, `nodes` and `why`. Its keys are a contract.

Times become RFC 3339 in UTC, durations are seconds, sizes bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from distribute.core.agenda import Agenda
from distribute.core.beats import Beat
from distribute.core.explain import explain
from distribute.core.ids import BatchId
from distribute.core.matching import LEAVING_REASON, Obstacle, is_draining, is_paused, is_quarantined, never
from distribute.core.specs import Resources
from distribute.core.state import NO_EXIT_CODE, BatchState, NodeState, Shape, State, Status

Json = dict[str, Any]

_JOB_STATES = {
    Status.QUEUED: "queued",
    Status.RETRYING: "queued",
    Status.ASSIGNED: "assigned",
    Status.CLAIMED: "assigned",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.KILLED: "killed",
}


_URGENCY: dict[int, int] = {Status.FAILED: 0, Status.RUNNING: 1, Status.CLAIMED: 1, Status.ASSIGNED: 1}
"""What is looked for first where there is not room for all."""


def rfc3339(time: float | None) -> str | None:
    """Seconds since 1970 as text, to the millisecond; None and 0 (never) as None."""
    if not time:
        return None
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def batches_view(state: State) -> Json:
    """`{"batches": [B]}`, in order of submission."""
    return {
        "batches": [batch_document(batch) for batch in sorted(state.batches.values(), key=lambda b: b.seq)]
    }


def batch_view(
    state: State,
    batch_id: BatchId,
    *,
    job: str | None = None,
    states: Collection[str] | None = None,
    most: int | None = None,
    now: float | None = None,
) -> Json:
    """B and its `job_list`, in the order of the user's file: all jobs, or those of some states, or one.

    Of more than `most` come first those that failed, then those in flight, then the rest; `more_jobs` says
    how many are not listed, where some are not. `now` is in seconds since 1970; by default, the last
    event's time. Raises `KeyError` for an unknown batch.
    """
    batch = state.batches[batch_id]
    now = state.time if now is None else now
    rows: Sequence[int] = batch.file_order if batch.file_order is not None else range(len(batch.names))
    if job is not None:
        rows = [batch.rows[job]] if job in batch.rows else []
    if states is not None:
        rows = [row for row in rows if _job_state(state, batch, row, now) in states]
    found = len(rows)
    if most is not None and found > most:
        rows = sorted(rows, key=lambda row: _URGENCY.get(batch.status[row], 2))[:most]
    view = {**batch_document(batch), "job_list": [_job(state, batch, row, now) for row in rows]}
    return view | {"more_jobs": found - len(rows)} if found > len(rows) else view


def nodes_view(agenda: Agenda, beats: Mapping[str, Beat]) -> Json:
    """`{"nodes": [...]}`, by name, with the figures of each node's last beat."""
    nodes = agenda.state.nodes
    return {"nodes": [_node(agenda, nodes[name], beats.get(name)) for name in sorted(nodes)]}


def why_view(agenda: Agenda, batch_id: BatchId, job: str) -> Json:
    """What a job waits for, node by node. Raises `KeyError` for an unknown batch or job."""
    batch = agenda.state.batches[batch_id]
    row = batch.rows[job]
    explanation = explain(agenda, batch, row)
    return {
        "namespace": batch_id.namespace,
        "batch": batch_id.batch,
        "job": job,
        "state": _JOB_STATES[Status(batch.status[row])],
        "summary": explanation.summary,
        "nodes": [
            {
                "node": verdict.node,
                "obstacle": verdict.obstacle.name.lower() if verdict.obstacle else None,
                "text": verdict.text,
            }
            for verdict in explanation.nodes
        ],
    }


def match_view(state: State, capabilities: frozenset[str], shapes: Sequence[Resources | None]) -> Json:
    """How many of the nodes could ever run jobs of these shapes, and which capabilities there are.

    `problem` says why some shape fits no node at all. If it is too large, `too_large` says what it asks for
    and the most that any capable node has of each.
    """
    nodes = [node for node in state.nodes.values() if node.presence == "here"]
    wanted = [Shape.of(capabilities, resources) for resources in shapes]
    offered = Counter(capability for node in nodes for capability in node.capabilities)
    fit = [sum(never(node, shape) is None for node in nodes) for shape in wanted]
    misfit = next((shape for shape, count in zip(wanted, fit, strict=True) if not count), None)
    problem, too_large = (None, None) if misfit is None else _why_none(nodes, misfit)
    return {
        "nodes": len(nodes),
        "fit": fit,
        "capabilities": dict(sorted(offered.items())),
        "problem": problem,
        "too_large": too_large,
    }


def _why_none(nodes: Sequence[NodeState], shape: Shape) -> tuple[str, Json | None]:
    """Why no node could run a shape; if it is too large, also what it asks for and what there is."""
    if not nodes:
        return "no node has joined yet", None
    offered = frozenset[str]().union(*(node.capabilities for node in nodes))
    missing = sorted(shape.capabilities - offered)
    if missing:
        names = ", ".join(missing)
        return f"no node has the capability {names}; there are: {', '.join(sorted(offered)) or 'none'}", None
    able = [node for node in nodes if shape.capabilities <= node.capabilities]
    if not able:
        return f"no single node has all of: {', '.join(sorted(shape.capabilities))}", None
    asked = {"cpus": shape.cpus, "memory_bytes": shape.memory_bytes, "gpus": shape.gpus}
    most = {
        "cpus": max(node.cpus for node in able),
        "memory_bytes": max(node.memory_bytes for node in able),
        "gpus": max(len(node.gpus) for node in able),
    }
    return "no node is large enough", {"asked": asked, "most": most}


def batch_document(batch: BatchState) -> Json:
    """B: a batch without its jobs."""
    jobs = {"total": len(batch.names)} | {
        state: sum(batch.counts[status] for status, name in _JOB_STATES.items() if name == state)
        for state in dict.fromkeys(_JOB_STATES.values())
    }
    ran = batch.active or len(batch.outcomes.node) or jobs["queued"] < jobs["total"]
    return {
        "namespace": batch.id.namespace,
        "batch": batch.id.batch,
        "user": batch.user,
        "kind": batch.kind,
        "state": batch.end or ("running" if ran else "queued"),
        "priority": batch.priority,
        "submitted_at": rfc3339(batch.submitted_at),
        "finished_at": rfc3339(batch.finished_at),
        "reason": batch.end_reason,
        "jobs": jobs,
        "archived": batch.archived,
        "build_failed": dict(batch.build_failed),
    }


def _job_state(state: State, batch: BatchState, row: int, now: float) -> str:
    status = Status(batch.status[row])
    attempt = batch.active.get(row)
    node = state.nodes.get(attempt.node) if attempt is not None else None
    if status is Status.RUNNING and node is not None and is_paused(node, now):
        return "paused"
    if status is Status.CLAIMED and attempt is not None and attempt.node in batch.building:
        return "building"
    return "retrying" if status is Status.RETRYING else _JOB_STATES[status]


def _job(state: State, batch: BatchState, row: int, now: float) -> Json:
    status = Status(batch.status[row])
    attempt = batch.active.get(row)
    view: Json = {
        "job": batch.names[row],
        "state": _job_state(state, batch, row, now),
        "attempt": batch.attempts[row],
        "node": attempt.node if attempt else None,
        "exit_code": None,
        "signal": None,
        "reason": batch.reasons.get(row),
        "submitted_at": rfc3339(batch.submitted_at),
        "started_at": rfc3339(attempt.started_at) if attempt else None,
        "finished_at": None,
        "wall_s": None,
        "cpu_s": None,
        "paused_s": None,
        "max_rss_bytes": None,
        "archived": False,
    }
    if attempt is not None:
        return view
    outcomes = batch.outcomes
    if not len(outcomes.node) or not outcomes.finished_at[row]:
        if status is Status.FAILED and view["reason"] is None:
            view["reason"] = batch.end_reason
        return view
    exit_code = outcomes.exit_code[row]
    view |= {
        "node": batch.node_names[outcomes.node[row]],
        "exit_code": None if exit_code == NO_EXIT_CODE else exit_code,
        "signal": outcomes.signal[row] or None,
        "started_at": rfc3339(outcomes.started_at[row]),
        "finished_at": rfc3339(outcomes.finished_at[row]),
        "wall_s": outcomes.wall_s[row],
        "cpu_s": outcomes.cpu_s[row],
        "paused_s": outcomes.paused_s[row],
        "max_rss_bytes": outcomes.max_rss_bytes[row],
        "reason": _reason(batch, row),
        "archived": row not in batch.unarchived and row not in batch.missing,
    }
    return view


def _reason(batch: BatchState, row: int) -> str | None:
    """Why it failed, and that its results are gone: what there is of both."""
    missing = batch.missing.get(row)
    gone = None if missing is None else f"its results are gone: {missing}"
    return "; ".join(text for text in (batch.reasons.get(row), gone) if text is not None) or None


def _node(agenda: Agenda, node: NodeState, beat: Beat | None) -> Json:
    now = agenda.now
    return {
        "node": node.name,
        "state": _node_state(agenda, node),
        "capabilities": sorted(node.capabilities),
        "cpus": node.cpus,
        "cpus_free": max(0, node.cpus - node.used_cpus),
        "memory_bytes": node.memory_bytes,
        "gpus": list(node.gpus),
        "running": len(node.attempts),
        "load": beat.load if beat else None,
        "owner_idle_s": beat.owner_idle_s if beat else None,
        "version": node.version,
        "paused_until": rfc3339(node.paused_until) if is_paused(node, now) else None,
        "quarantined_until": rfc3339(node.quarantined_until) if is_quarantined(node, now) else None,
        "reason": _node_reason(node, now),
        "heard_at": rfc3339(agenda.liveness.heard_at(node.name)),
    }


def _node_reason(node: NodeState, now: float) -> str | None:
    if is_quarantined(node, now):
        return node.quarantined
    if is_draining(node, now):
        return node.draining
    if is_paused(node, now):
        return node.pause_reason
    return LEAVING_REASON if node.leaving and node.presence == "here" else None


def _node_state(agenda: Agenda, node: NodeState) -> str:
    match agenda.obstacle_of(node):
        case Obstacle.GONE:
            return node.presence
        case Obstacle.OUT_OF_TOUCH:
            return "out_of_touch"
        case Obstacle.PAUSED:
            return "paused"
        case Obstacle.QUARANTINED:
            return "quarantined"
        case Obstacle.DRAINING | Obstacle.LEAVING:
            return "draining"
        case _:
            return "busy" if node.attempts else "idle"
