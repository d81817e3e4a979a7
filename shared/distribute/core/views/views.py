"""Views of the state as JSON for people and scripts: `status` and `nodes`. The keys are a contract.

Times become RFC 3339 in UTC, durations are seconds, sizes bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import Any, Literal

from distribute.core.ids import BatchId
from distribute.core.log.beats import Beat
from distribute.core.projections.course import Course
from distribute.core.projections.results import missing_results, result_seqs
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.matching import (
    LEAVING_REASON,
    Obstacle,
    is_draining,
    is_paused,
    is_quarantined,
    never,
    suitable_gpus,
)
from distribute.core.slices import at_once
from distribute.core.spec.specs import Resources
from distribute.core.state.batch_record import loading
from distribute.core.state.packed import ClosedBatch
from distribute.core.state.state import BatchState, JobKey, NodeState, Shape, State
from distribute.core.telling.listing import (
    Listing,
    batch_document,
    batch_state,
    job_state,
    rfc3339,
    running_builds,
)
from distribute.core.views.expected import NOTHING_MORE, detected, expected_node
from distribute.core.words import format_size

Json = dict[str, Any]

NodeCondition = Literal[
    "expected", "lost", "left", "paused", "out_of_touch", "draining", "quarantined", "busy", "idle"
]
"""The states of a node, as `docs/states.md` explains them."""

BATCHES_AT_ONCE = 500

MOST_JOBS = 1000
"""Max. jobs that the view of one node lists."""


def batches_view(state: State, **which: Any) -> Json:
    """`{"batches": [B]}`, in order of submission: all, or those that `batches_in_slices` selects."""
    return {"batches": [document for some in batches_in_slices(state, **which) for document in some]}


def batches_in_slices(
    state: State,
    *,
    user: str | None = None,
    states: Collection[str] | None = None,
    last: int | None = None,
) -> Iterator[list[Json]]:
    """The batches of `batches_view`, some at a time. Each is shown as it is when its slice is made.

    Those of `user`, in one of `states`, and of these the `last` that were submitted. A batch that is being
    built is in the state `building`, too. Batches that are deleted meanwhile may be included.
    """
    every: list[BatchState | ClosedBatch] = [
        *state.batches.values(),
        *state.packed.values(),
        *state.compacted.values(),
    ]
    batches = [
        batch
        for batch in every
        if (user is None or batch.user == user) and (states is None or _is_in(batch, states))
    ]
    batches.sort(key=lambda batch: batch.seq)
    if last is not None:
        batches = batches[max(0, len(batches) - last) :]
    for first in range(0, len(batches), BATCHES_AT_ONCE):
        yield [batch_document(batch, state.time, state) for batch in batches[first : first + BATCHES_AT_ONCE]]


def _is_in(batch: BatchState | ClosedBatch, states: Collection[str]) -> bool:
    return batch_state(batch) in states or ("building" in states and bool(running_builds(batch)))


def ignored_view(state: State, garbage_count: int, garbage_last: str) -> Json:
    """Ignored in the log: events that do not fit (`misfits`), and messages that are no events (`garbage`)."""
    return {
        "misfits": {"count": state.misfits, "last": state.last_misfit or None},
        "garbage": {"count": garbage_count, "last": garbage_last or None},
    }


class Compacted(Exception):
    """The state has only the outline of this batch."""


def whole_batch(state: State, batch_id: BatchId) -> Generator[None, None, BatchState]:
    """Get a batch, in slices. If it is packed, returns an unpacked copy, and it stays packed.

    Raises:
        KeyError: there is no such batch.
        Compacted: its events are in an archive, and say what it was.
    """
    batch = state.batches.get(batch_id)
    if batch is not None:
        return batch
    if batch_id in state.compacted:
        raise Compacted(batch_id)
    packed = state.packed[batch_id]
    return (yield from loading(packed.fixed, packed.changing))


def batch_view(state: State, batch_id: BatchId, *, now: float | None = None, **which: Any) -> Json:
    """B and its `job_list`, as `listing.Listing` chooses the jobs by `which`.

    Raises as `whole_batch`.
    """
    batch = at_once(whole_batch(state, batch_id))
    listing = Listing(batch, state, state.time if now is None else now, **which)
    for _ in listing.choose():
        pass
    return listing.head | {"job_list": [job for some in listing.slices() for job in some]} | listing.tail


def nodes_view(agenda: Agenda, beats: Mapping[str, Beat]) -> Json:
    """`{"nodes": [...]}`, by name, with the figures of each node's last beat."""
    nodes, listed = agenda.state.nodes, agenda.state.listed
    builds = _builds(agenda.state)
    return {
        "nodes": [
            _node(agenda, nodes[name], beats.get(name), builds.get(name, []))
            if name in nodes
            else expected_node(name, listed[name])
            for name in sorted(nodes.keys() | listed.keys())
        ]
    }


def node_view(agenda: Agenda, name: str, beat: Beat | None) -> Json:
    """Everything about one node: as in `nodes_view`, what its last beat says, and what runs on it.

    `jobs` are at most `MOST_JOBS`; `more_jobs` counts the others. Raises `KeyError` for an unknown node.
    """
    if name not in agenda.state.nodes:
        return expected_node(name, agenda.state.listed[name]) | NOTHING_MORE
    node = agenda.state.nodes[name]
    keys = sorted(node.attempts)
    return _node(agenda, node, beat, _builds(agenda.state).get(name, [])) | {
        "memory_free_bytes": max(0, node.memory_bytes - node.used_memory_bytes),
        "gpus_used": sorted(node.used_gpus),
        "cpu_percent": beat.cpu_percent if beat else None,
        "owner_source": (beat.owner_source or None) if beat else None,
        "freezes_by": (beat.freezes_by or None) if beat else None,
        "build_copies": (beat.build_copies or None) if beat else None,
        "lacks": dict(sorted(beat.lacks.items())) if beat else {},
        "memory_available_bytes": beat.memory_available_bytes if beat else None,
        "disk_free_bytes": beat.disk_free_bytes if beat else None,
        "disk_needed_bytes": beat.disk_needed_bytes if beat else None,
        "gpu_percent": list(beat.gpu_percent) if beat else None,
        "built": len(node.builds),
        "jobs": [_job_at(agenda, node, key) for key in keys[:MOST_JOBS]],
        "more_jobs": len(keys[MOST_JOBS:]),
    }


def _job_at(agenda: Agenda, node: NodeState, key: JobKey) -> Json:
    """A job that a node has, and what it has been given."""
    batch = agenda.state.batches[key.batch]
    attempt = batch.active[key.row]
    paused = (node.name,) if is_paused(node, agenda.log_now) else ()
    return {
        **batch.job_id(key.row)._asdict(),
        "user": batch.user,
        "state": job_state(batch, key.row, paused),
        "attempt": attempt.number,
        "assigned_at": rfc3339(attempt.assigned_at),
        "started_at": rfc3339(attempt.started_at),
        "cpus": attempt.cpus,
        "memory_bytes": attempt.memory_bytes,
        "gpus": list(attempt.gpus),
    }


def _builds(state: State) -> dict[str, list[Json]]:
    """The builds that run, by node."""
    found: dict[str, list[Json]] = {}
    for batch in state.batches.values():
        for node, since in running_builds(batch).items():
            found.setdefault(node, []).append({**batch.id._asdict(), "since": rfc3339(since)})
    return found


def standing_view(state: State, batch_id: BatchId, job: str | None = None) -> Generator[None, None, Json]:
    """How a batch stands as of the event at `seq`, in slices, for a reader who would else fold its events.

    `under_seq` is the last sequence under it, for a guard; `batch` is B. Of the job named: its last
    `attempt`, and where and when an attempt last finished. Times are exact, in seconds since 1970, for a
    reader to find the event by.
    """
    batch = state.find(batch_id)
    answer: Json = {
        "seq": state.seq,
        "course": Course.of(batch)._asdict(),
        "under_seq": batch.under_seq if batch is not None else 0,
        "batch": batch_document(batch, state.time, state) if batch is not None else None,
        "job": None,
    }
    if batch is not None and job is not None:
        whole = batch if isinstance(batch, BatchState) else (yield from whole_batch(state, batch_id))
        answer["job"] = _outcome(whole, job)
    return answer


def _outcome(batch: BatchState, job: str) -> Json | None:
    row = batch.rows.get(job)
    if row is None:
        return None
    outcomes = batch.outcomes
    finished_at = outcomes.finished_at[row] if len(outcomes.finished_at) else 0.0
    return {
        "attempt": batch.attempts[row],
        "node": batch.node_names[outcomes.node[row]] if finished_at else None,
        "finished_at": finished_at,
    }


def results_view(state: State, batch_id: BatchId) -> Generator[None, None, Json]:
    """Which results of a batch can be pulled as of the event at `seq`, in slices.

    `seqs` are the sequences of the `finished` events that list them, in order; `missing` says by job what is
    gone for ever. For a reader who would else fold all events of the batch.
    """
    batch = state.find(batch_id)
    answer: Json = {"seq": state.seq, "course": Course.of(batch)._asdict(), "seqs": [], "missing": {}}
    if batch is not None:
        whole = batch if isinstance(batch, BatchState) else (yield from whole_batch(state, batch_id))
        answer |= {"seqs": result_seqs(whole), "missing": missing_results(whole)}
        yield
    return answer


def match_view(state: State, capabilities: frozenset[str], shapes: Sequence[Resources | None]) -> Json:
    """How many of the nodes that are here could ever run jobs of these shapes, and their capabilities.

    `problem` explains why some shape fits no node at all, not even one that left, was lost, or is expected.
    If it is too large, `too_large` has what it asks for, and the most that any capable node has of each. If
    some shape fits no node that is here, `away` names the others that it fits; none, if no node is known.
    """
    return match_shapes(state, [Shape.of(capabilities, resources) for resources in shapes])


def match_shapes(state: State, wanted: Sequence[Shape]) -> Json:
    """As `match_view`, of shapes as the state has them."""
    known = list(state.nodes.values())
    expected = {name: can for name, can in state.listed.items() if name not in state.nodes}
    nodes = [node for node in known if node.presence == "here"]
    offered = Counter(capability for node in nodes for capability in node.capabilities)
    fit = [sum(never(node, shape) is None for node in nodes) for shape in wanted]
    problem, too_large, away = None, None, list[str]()
    for shape in (shape for shape, count in zip(wanted, fit, strict=True) if not count):
        able = [node.name for node in known if never(node, shape) is None]
        unknown = detected(shape.capabilities) if expected else frozenset[str]()
        able += [name for name, can in expected.items() if shape.capabilities <= can | unknown]
        if (known or expected) and not able:
            problem, too_large = _why_none(known, shape, frozenset().union(*expected.values()), unknown)
            break
        away = away or able
    return {
        "nodes": len(nodes),
        "fit": fit,
        "capabilities": dict(sorted(offered.items())),
        "problem": problem,
        "too_large": too_large,
        "away": sorted(away),
    }


def _why_none(
    nodes: Sequence[NodeState], shape: Shape, expected: frozenset[str], unknown: frozenset[str]
) -> tuple[str, Json | None]:
    """Why no node could run a shape; if it is too large, also what it asks for and what there is.

    `expected` are the capabilities of nodes that have not joined yet; these may have the `unknown`, too.
    """
    offered = expected.union(*(node.capabilities for node in nodes))
    missing = sorted(shape.capabilities - offered - unknown)
    if missing:
        names = ", ".join(missing)
        return f"no node has the capability {names}; there are: {', '.join(sorted(offered)) or 'none'}", None
    able = [node for node in nodes if shape.capabilities <= node.capabilities]
    if not able:
        return f"no single node has all of: {', '.join(sorted(shape.capabilities))}", None
    asked: Json = {"cpus": shape.cpus, "memory_bytes": shape.memory_bytes, "gpus": shape.gpus}
    most = {
        "cpus": max(node.cpus for node in able),
        "memory_bytes": max(node.memory_bytes for node in able),
        "gpus": max(len(suitable_gpus(node, shape)) for node in able),
    }
    if shape.gpu_kind is not None:
        asked["gpu_kind"] = shape.gpu_kind._asdict()
    return "no node is large enough", {"asked": asked, "most": most}


def _node(agenda: Agenda, node: NodeState, beat: Beat | None, builds: list[Json]) -> Json:
    now = agenda.log_now
    return {
        "node": node.name,
        "state": _node_state(agenda, node),
        "capabilities": sorted(node.capabilities),
        "listed": sorted(listed) if (listed := agenda.state.listed.get(node.name)) is not None else None,
        "cpus": node.cpus,
        "cpus_free": max(0, node.cpus - node.used_cpus),
        "memory_bytes": node.memory_bytes,
        "gpus": list(node.gpus),
        "gpu_memory_bytes": list(node.gpu_memory_bytes),
        "running": len(node.attempts),
        "building": builds,
        "load": beat.load if beat else None,
        "owner_idle_s": beat.owner_idle_s if beat else None,
        "version": node.version,
        "paused_until": rfc3339(node.paused_until) if is_paused(node, now) else None,
        "paused_by": node.paused_by if is_paused(node, now) else None,
        "drained_until": rfc3339(node.drained_until) if is_draining(node, now) else None,
        "drained_by": node.drained_by if is_draining(node, now) else None,
        "quarantined_until": rfc3339(node.quarantined_until) if is_quarantined(node, now) else None,
        "reason": _node_reason(node, now, beat),
        "heard_at": rfc3339(agenda.liveness.heard_at(node.name)),
    }


def _node_reason(node: NodeState, now: float, beat: Beat | None) -> str | None:
    if is_quarantined(node, now):
        return node.quarantined
    if is_draining(node, now):
        return node.draining or None
    if is_paused(node, now):
        return node.pause_reason or None
    if beat is not None and beat.disk_free_bytes < beat.disk_needed_bytes:
        free, needed = format_size(beat.disk_free_bytes), format_size(beat.disk_needed_bytes)
        return f"its disk has {free} free, and no job begins there with less than {needed}"
    return LEAVING_REASON if node.leaving and node.presence == "here" else None


def _node_state(agenda: Agenda, node: NodeState) -> NodeCondition:
    match agenda.obstacle_of(node):
        case Obstacle.GONE:
            return "lost" if node.presence == "lost" else "left"
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
