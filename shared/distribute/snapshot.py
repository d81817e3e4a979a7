"""The state as bytes, and back: so that a restart folds the tail of the log and not all of it.

A snapshot is the SHA-256 of its second part and that part, JSON; columns are the base64 of their
little-endian bytes. Its encoding is canonical: two states are equal exactly if their snapshots are, which
is what `digest` and `replay --verify` rest on.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from array import array
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from distribute.core.errors import IntegrityError
from distribute.core.ids import BatchId
from distribute.core.state import (
    Attempt,
    BatchState,
    Group,
    JobKey,
    NodeState,
    Outcomes,
    Shape,
    State,
    Usage,
)

VERSION = 3

Json = dict[str, Any]


_DIGEST_LENGTH = 64


def dump(state: State) -> bytes:
    """The snapshot of a state."""
    body = _dump_state(state)
    return hashlib.sha256(body).hexdigest().encode() + body


def _dump_state(state: State) -> bytes:
    return orjson.dumps(
        {
            "version": VERSION,
            "seq": state.seq,
            "time": state.time,
            "cause": state.cause,
            "batches": [_dump_batch(batch) for _, batch in sorted(state.batches.items())],
            "nodes": [_dump_node(node) for _, node in sorted(state.nodes.items())],
            "usage": {user: _dump_usage(usage) for user, usage in sorted(state.usage.items())},
            "misfits": state.misfits,
            "last_misfit": state.last_misfit,
        }
    )


def load(data: bytes) -> State:
    """The state of a snapshot.

    Raises:
        IntegrityError: it is damaged, or of another version. The log has everything: fold it anew.
    """
    stored, body = data[:_DIGEST_LENGTH], data[_DIGEST_LENGTH:]
    if stored != hashlib.sha256(body).hexdigest().encode():
        raise IntegrityError("a snapshot is damaged: its bytes do not have its digest")
    try:
        found = orjson.loads(body)
        if found["version"] != VERSION:
            raise IntegrityError(f"a snapshot of version {found['version']}; this distribute reads {VERSION}")
        return State(
            seq=found["seq"],
            time=found["time"],
            cause=found["cause"],
            batches={batch.id: batch for batch in map(_load_batch, found["batches"])},
            nodes={node.name: node for node in map(_load_node, found["nodes"])},
            usage={user: _load_usage(values) for user, values in found["usage"].items()},
            misfits=found["misfits"],
            last_misfit=found["last_misfit"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"a snapshot of another make of version {VERSION}: {error!r}") from error


def digest(state: State) -> str:
    """SHA-256 of the snapshot, in hex."""
    return dump(state)[:_DIGEST_LENGTH].decode()


def _column(values: array[Any] | bytearray) -> str:
    if isinstance(values, array) and sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return base64.b64encode(values).decode()


def _load_column(typecode: str, text: str) -> array[Any]:
    values = array(typecode, base64.b64decode(text))
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _pairs(mapping: dict[int, Any]) -> list[list[Any]]:
    return [[key, value] for key, value in sorted(mapping.items())]


# Fields that are plain JSON values already, and those that need a word on how they are stored.
_BATCH_PLAIN = (
    "seq", "last_seq", "under_seq", "cause", "user", "kind", "priority", "matrix_user", "submitted_at",
    "needs_build", "names", "counts", "node_names", "kill_all", "end", "end_reason", "finished_at",
    "archived",
)  # fmt: skip
_BATCH_SETS = ("inexcusable", "kill_rows", "built_on")
_BATCH_MAPS = ("unarchived", "failures", "suspects", "deaths", "reasons", "missing")
_BATCH_BY_NODE = ("building", "build_failed")
_NODE_PLAIN = (
    "name", "last_seq", "cause", "joined_seq", "incarnation", "boot_id", "cpus", "memory_bytes", "gpus",
    "version", "presence", "leaving", "paused_until", "pause_reason", "draining", "drained_until",
    "quarantined", "quarantined_until", "quarantines", "used_cpus", "used_memory_bytes", "suspected_at",
    "cleared", "blamed",
)  # fmt: skip


def _dump_batch(batch: BatchState) -> Json:
    return {
        "id": list(batch.id),
        "groups": [[_dump_shape(group.shape), *group[1:]] for group in batch.groups],
        "file_order": None if batch.file_order is None else _column(batch.file_order),
        "status": _column(batch.status),
        "job_seq": _column(batch.job_seq),
        "attempts": _column(batch.attempts),
        "active": [
            [
                row,
                a.number,
                a.node,
                a.cpus,
                a.memory_bytes,
                a.gpus,
                a.seq,
                a.assigned_at,
                a.cause,
                a.started_at,
            ]
            for row, a in sorted(batch.active.items())
        ],
        "outcomes": {name: _column(getattr(batch.outcomes, name)) for name in Outcomes.__slots__},
        **{name: dict(sorted(getattr(batch, name).items())) for name in _BATCH_BY_NODE},
        **{name: getattr(batch, name) for name in _BATCH_PLAIN},
        **{name: sorted(getattr(batch, name)) for name in _BATCH_SETS},
        **{name: _pairs(getattr(batch, name)) for name in _BATCH_MAPS},
    }


def _load_batch(found: Json) -> BatchState:
    outcomes = Outcomes()
    for name, text in found["outcomes"].items():
        setattr(outcomes, name, _load_column(getattr(outcomes, name).typecode, text))
    order = found["file_order"]
    restored: Json = {
        **{name: found[name] for name in _BATCH_PLAIN},
        **{name: set(found[name]) for name in _BATCH_SETS},
        **{name: dict(found[name]) for name in _BATCH_MAPS},
        **{name: found[name] for name in _BATCH_BY_NODE},
    }
    return BatchState(
        id=BatchId(*found["id"]),
        groups=tuple(Group(_load_shape(shape), *rest) for shape, *rest in found["groups"]),
        file_order=None if order is None else _load_column("I", order),
        rows={name: row for row, name in enumerate(found["names"])},
        node_numbers={name: number for number, name in enumerate(found["node_names"])},
        status=bytearray(base64.b64decode(found["status"])),
        job_seq=_load_column("Q", found["job_seq"]),
        attempts=_load_column("I", found["attempts"]),
        active={
            row: Attempt(number, node, cpus, memory, tuple(gpus), *rest)
            for row, number, node, cpus, memory, gpus, *rest in found["active"]
        },
        outcomes=outcomes,
        **restored,
    )


def _dump_usage(usage: Usage) -> list[Any]:
    served = [[*_dump_shape(shape), time] for shape, time in usage.served.items()]
    return [usage.core_ms, usage.as_of_s, usage.cores, sorted(served)]


def _load_usage(found: list[Any]) -> Usage:
    core_ms, as_of_s, cores, served = found
    return Usage(core_ms, as_of_s, cores, {_load_shape(shape): time for *shape, time in served})


def _dump_shape(shape: Shape) -> list[Any]:
    return [sorted(shape.capabilities), *shape[1:]]


def _load_shape(found: list[Any]) -> Shape:
    return Shape(frozenset(found[0]), *found[1:])


def _dump_keys(keys: Iterable[JobKey], order: Callable[..., list[JobKey]]) -> list[list[Any]]:
    return [[*key.batch, key.row] for key in order(keys)]


def _load_keys(found: list[list[Any]]) -> list[JobKey]:
    return [JobKey(BatchId(namespace, batch), row) for namespace, batch, row in found]


def _dump_node(node: NodeState) -> Json:
    return {
        "capabilities": sorted(node.capabilities),
        "used_gpus": sorted(node.used_gpus),
        "attempts": _dump_keys(node.attempts, sorted),
        "dropped": _dump_keys(node.dropped, sorted),
        "fast_failures": _dump_keys(node.fast_failures, list),
        "builds": sorted(map(list, node.builds)),
        **{name: getattr(node, name) for name in _NODE_PLAIN},
    }


def _load_node(found: Json) -> NodeState:
    plain = {name: found[name] for name in _NODE_PLAIN}
    plain["gpus"] = tuple(plain["gpus"])
    return NodeState(
        capabilities=frozenset(found["capabilities"]),
        used_gpus=set(found["used_gpus"]),
        attempts=set(_load_keys(found["attempts"])),
        dropped=set(_load_keys(found["dropped"])),
        fast_failures=dict.fromkeys(_load_keys(found["fast_failures"])),
        builds={BatchId(*pair) for pair in found["builds"]},
        **plain,
    )
