"""State <-> bytes. With a snapshot, a restart folds only the newest events of the log.

A snapshot is a digest and records (`core.batch_record`): first one of everything but the batches, then two
for each batch. The encoding is canonical: two states are equal exactly if their snapshots are. `digest`
relies on that. `snapshot_writer` writes a snapshot while its event loop goes on.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import orjson

from distribute.core.errors import IntegrityError
from distribute.core.folding.accounts import hold, shape_order
from distribute.core.ids import BatchId
from distribute.core.slices import at_once
from distribute.core.spec.limits import Waits
from distribute.core.state.batch_record import (
    Damaged,
    changing_pieces,
    digest_of,
    dump_compacted,
    dump_shape,
    fixed_pieces,
    load_compacted,
    load_packed,
    load_shape,
    loading,
    seal,
    unseal,
)
from distribute.core.state.packed import PackedBatch, Record
from distribute.core.state.packing import named_by_nodes
from distribute.core.state.state import BatchState, FailureRecord, JobKey, NodeState, State, Usage

VERSION = 15

T = TypeVar("T")

Json = dict[str, Any]

_DIGEST_LENGTH = 64
_DIGEST_BYTES = 32
_LENGTH = struct.Struct(">I")
_DAMAGED = "a snapshot is damaged: its bytes do not have its digest"

_HEAD = ("seq", "time", "cause", "misfits", "last_misfit")
_NODE_PLAIN = (
    "name", "last_seq", "cause", "joined_seq", "incarnation", "boot_id", "cpus", "memory_bytes", "gpus",
    "gpu_memory_bytes", "version", "presence", "silent_from", "pauses", "rebooted", "leaving", "paused_until",
    "pause_reason", "paused_by", "draining", "drained_by", "drained_until", "quarantined",
    "quarantined_until",
)  # fmt: skip
_NODES_AT_ONCE, _USERS_AT_ONCE, _COMPACTED_AT_ONCE = 200, 1000, 500


def dump(state: State) -> bytes:
    """The snapshot of a state."""
    return join_records([dump_core(state), *_dump_batches(state)])


def _dump_batches(state: State) -> Iterator[Record]:
    for batch_id in sorted((*state.batches, *state.packed)):
        packed = state.packed.get(batch_id)
        if packed is not None:
            yield from (packed.fixed, packed.changing)
        else:
            batch = state.batches[batch_id]
            yield from (seal(fixed_pieces(batch)), seal(at_once(changing_pieces(batch))))


def _digests(state: State) -> Iterator[bytes]:
    """The digests of a state's records."""
    yield digest_of(at_once(core_pieces(state)))
    for batch_id in sorted((*state.batches, *state.packed)):
        yield from _digests_of_batch(state, batch_id)


def _digests_of_batch(state: State, batch_id: BatchId) -> tuple[bytes, bytes]:
    packed = state.packed.get(batch_id)
    if packed is not None:
        return packed.fixed.digest, packed.changing.digest
    batch = state.batches[batch_id]
    return digest_of(fixed_pieces(batch)), digest_of(at_once(changing_pieces(batch)))


def dump_core(state: State) -> Record:
    """The record of everything but the batches."""
    return seal(at_once(core_pieces(state)))


def copy_core(state: State) -> State:
    """A copy of what a snapshot has besides the batches. Takes 12 ms for 1,000 nodes and 10,000 users."""
    return replace(
        state,
        batches={},
        packed={},
        compacted=state.compacted.copy(),
        nodes={name: _copy_node(node) for name, node in state.nodes.items()},
        listed=state.listed.copy(),
        waits={waiter: Waits(waits.left.copy(), waits.since) for waiter, waits in state.waits.items()},
        usage={
            user: Usage(usage.core_ms, usage.as_of_s, usage.cores, usage.served.copy())
            for user, usage in state.usage.items()
        },
    )


def _copy_node(node: NodeState) -> NodeState:
    copied = copy(node)
    copied.dropped, copied.builds = node.dropped.copy(), node.builds.copy()
    copied.pauses = node.pauses.copy()
    copied.record, copied.gpu_record = map(_copy_record, node.records)
    return copied


def _copy_record(record: FailureRecord) -> FailureRecord:
    return replace(record, fast_failures=record.fast_failures.copy())


def core_pieces(state: State) -> Generator[None, None, list[bytes]]:
    """Make the pieces of everything but the whole batches, in slices. The state must not change meanwhile.

    They lack what nodes hold: `load` adds that up from the attempts of all batches.
    """
    head = {"version": VERSION, **{name: getattr(state, name) for name in _HEAD}}
    head["listed"] = {name: sorted(state.listed[name]) for name in sorted(state.listed)}
    head["waits"] = [
        [*waiter, waits.since, [[*name, end] for name, end in waits.left.items()]]
        for waiter, waits in sorted(state.waits.items())
    ]
    nodes, users = sorted(state.nodes.items()), sorted(state.usage.items())
    compacted = sorted(state.compacted.items())
    return [
        orjson.dumps(head),
        (yield from _dump_list(nodes, lambda item: orjson.dumps(_dump_node(item[1])), _NODES_AT_ONCE)),
        (
            yield from _dump_list(
                users, lambda item: orjson.dumps([item[0], *_dump_usage(item[1])]), _USERS_AT_ONCE
            )
        ),
        (yield from _dump_list(compacted, lambda item: dump_compacted(item[1]), _COMPACTED_AT_ONCE)),
    ]


def _dump_list(
    values: Sequence[T], dump_one: Callable[[T], bytes], some: int
) -> Generator[None, None, bytes]:
    """Make the JSON of a list. Yields after each `some` values."""
    parts: list[bytes] = []
    for first in range(0, len(values), some):
        parts += map(dump_one, values[first : first + some])
        yield
    return b"[%b]" % b",".join(parts)


def join_records(records: list[Record]) -> bytes:
    """The snapshot of these records."""
    parts = [_digest_of(record.digest for record in records).encode()]
    for digest, data in records:
        parts += (digest, _LENGTH.pack(len(data)), data)
    return b"".join(parts)


def split_records(data: bytes) -> list[Record]:
    """The records of a snapshot.

    Raises:
        IntegrityError: the snapshot is damaged.
    """
    records: list[Record] = []
    at = _DIGEST_LENGTH
    while at < len(data):
        start = at + _DIGEST_BYTES + _LENGTH.size
        if start > len(data):
            break
        digest = data[at : at + _DIGEST_BYTES]
        at = start + _LENGTH.unpack_from(data, at + _DIGEST_BYTES)[0]
        records.append(Record(digest, data[start:at]))
    digests = [record.digest for record in records]
    if at != len(data) or data[:_DIGEST_LENGTH] != _digest_of(digests).encode():
        raise IntegrityError(_DAMAGED)
    return records


def _digest_of(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()


def load(data: bytes) -> State:
    """The state of a snapshot. Batches that can be packed stay packed.

    Raises:
        IntegrityError: the snapshot is damaged, or of another version. Fold the whole log instead.
    """
    records = split_records(data)
    try:
        head, *rest = unseal(records[0])
        found = orjson.loads(head)
        if found["version"] != VERSION:
            raise IntegrityError(f"a snapshot of version {found['version']}; this distribute reads {VERSION}")
        node_list, users, compacted = map(orjson.loads, rest)
        nodes = {node.name: node for node in map(_load_node, node_list)}
        named = named_by_nodes(nodes.values())
        batches = [_load_batch(*pair, named) for pair in zip(records[1::2], records[2::2], strict=True)]
        state = State(
            batches={batch.id: batch for batch in batches if isinstance(batch, BatchState)},
            packed={batch.id: batch for batch in batches if isinstance(batch, PackedBatch)},
            compacted={batch.id: batch for batch in map(load_compacted, compacted)},
            nodes=nodes,
            listed={name: frozenset(capabilities) for name, capabilities in found["listed"].items()},
            usage={user: _load_usage(values) for user, *values in users},
            waits=dict(map(_load_waits, found["waits"])),
            **{name: found[name] for name in _HEAD},
        )
        _hold_attempts(state)
    except Damaged as error:
        raise IntegrityError(_DAMAGED) from error
    except (KeyError, TypeError, ValueError, IndexError, StopIteration) as error:
        raise IntegrityError(f"a snapshot of another make of version {VERSION}: {error!r}") from error
    return state


def _load_waits(found: list[Any]) -> tuple[BatchId, Waits]:
    namespace, batch, since, left = found
    return BatchId(namespace, batch), Waits({BatchId(*name): end for *name, end in left}, since)


def _hold_attempts(state: State) -> None:
    """Add up what each node holds."""
    for batch in state.batches.values():
        for row, attempt in batch.active.items():
            node = state.nodes.get(attempt.node)
            if node is not None:
                hold(node, JobKey(batch.id, row), attempt)


def _load_batch(fixed: Record, changing: Record, named: Container[BatchId]) -> BatchState | PackedBatch:
    packed = load_packed(fixed, changing)
    return packed if packed is not None and packed.id not in named else at_once(loading(fixed, changing))


def digest(state: State) -> str:
    """A SHA-256 of the state, in hex. Equal states have equal digests, on every machine."""
    return _digest_of(_digests(state))


class StateDigests(NamedTuple):
    """The digests of the parts of a state, in hex: each batch by its name, and everything else.

    Two states are equal exactly if these are, and made by the same `version`.
    """

    version: int
    core: str
    batches: dict[str, str]

    @classmethod
    def of(cls, core: bytes, batches: Iterable[tuple[BatchId, Iterable[bytes]]]) -> StateDigests:
        """Those with these digests of their records."""
        return cls(VERSION, core.hex(), {str(name): _digest_of(digests) for name, digests in batches})


def digests(state: State) -> StateDigests:
    """The digests of the parts of a state."""
    ids = sorted((*state.batches, *state.packed))
    return StateDigests.of(
        digest_of(at_once(core_pieces(state))),
        ((batch_id, _digests_of_batch(state, batch_id)) for batch_id in ids),
    )


def _dump_usage(usage: Usage) -> list[Any]:
    served = sorted(usage.served.items(), key=lambda noted: shape_order(noted[0]))
    return [usage.core_ms, usage.as_of_s, usage.cores, [[*dump_shape(shape), time] for shape, time in served]]


def _load_usage(found: list[Any]) -> Usage:
    core_ms, as_of_s, cores, served = found
    return Usage(core_ms, as_of_s, cores, {load_shape(shape): time for *shape, time in served})


def _dump_keys(keys: Iterable[JobKey], order: Callable[..., list[JobKey]]) -> list[list[Any]]:
    return [[*key.batch, key.row] for key in order(keys)]


def _load_keys(found: list[list[Any]]) -> list[JobKey]:
    return [JobKey(BatchId(namespace, batch), row) for namespace, batch, row in found]


def _dump_record(record: FailureRecord) -> list[Any]:
    return [_dump_keys(record.fast_failures, list), record.cleared, record.blamed, record.quarantines]


def _load_record(found: list[Any]) -> FailureRecord:
    failures, *counts = found
    return FailureRecord(dict.fromkeys(_load_keys(failures)), *counts)


def _dump_node(node: NodeState) -> Json:
    return {
        "capabilities": sorted(node.capabilities),
        "own_capabilities": sorted(node.own_capabilities),
        "dropped": _dump_keys(node.dropped, sorted),
        "records": [_dump_record(record) for record in node.records],
        "builds": sorted(map(list, node.builds)),
        **{name: getattr(node, name) for name in _NODE_PLAIN},
    }


def _load_node(found: Json) -> NodeState:
    plain = {name: found[name] for name in _NODE_PLAIN}
    plain["gpus"], plain["gpu_memory_bytes"] = tuple(plain["gpus"]), tuple(plain["gpu_memory_bytes"])
    plain["pauses"] = [(begin, end) for begin, end in plain["pauses"]]
    record, gpu_record = map(_load_record, found["records"])
    return NodeState(
        capabilities=frozenset(found["capabilities"]),
        own_capabilities=frozenset(found["own_capabilities"]),
        dropped=set(_load_keys(found["dropped"])),
        record=record,
        gpu_record=gpu_record,
        builds={BatchId(*pair) for pair in found["builds"]},
        **plain,
    )
