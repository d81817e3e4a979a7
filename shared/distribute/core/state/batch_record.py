"""Batch <-> bytes, for snapshots.

A batch has two records. The first has what never changes (names, order), so it is written once. The
second has what events change. A record is a compressed list of pieces: JSON, and columns as little-endian
bytes. Its digest is that of the uncompressed pieces, because two versions of zlib may compress differently.
Equal batches have equal digests.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from array import array
from collections.abc import Generator, Iterable, Mapping
from typing import Any

from distribute.core.ids import BatchId
from distribute.core.slices import at_once
from distribute.core.spec.gpu_kind import GpuKind
from distribute.core.spec.limits import After, Limits
from distribute.core.state.packed import SHOWN, CompactedBatch, PackedBatch, Record
from distribute.core.state.state import (
    Attempt,
    BatchState,
    Building,
    Edit,
    Group,
    Holding,
    Kill,
    Outcomes,
    Shape,
    Unarchived,
    rows_of,
)

Json = dict[str, Any]

_LEVEL = 1
"""The compression level. Higher levels take three times as long and save a tenth."""

_LENGTH = struct.Struct("<I")
_NAMES_END = "\0"
"""Separates names. No name contains it."""

_FIXED = (
    "seq", "first_seq", "submission", "user", "kind", "matrix_user", "notify", "submitted_at", "needs_build",
    "ran_at", "continues",
)  # fmt: skip
_SHOWN = tuple(name for name in _FIXED if name in SHOWN)
"""Those of them that lists show of a packed batch."""
_PLAIN = (
    "last_seq", "under_seq", "assigned_seq", "last_is_outdated", "able_since", "cause", "priority", "counts",
    "node_names", "killed", "holding", "discards", "end", "end_reason", "finished_at", "archived",
    "limits", "loosest_max_running", "edited",
)  # fmt: skip
_BY_NODE = ("building", "build_failed", "build_lines", "build_kept")
_SETS = ("inexcusable", "forgiven", "built_on", "taken_over")
_MAPS = (
    "unarchived",
    "failures",
    "suspects",
    "deaths",
    "reasons",
    "last_lines",
    "missing",
    "killed_rows",
    "moved_from",
)
_COLUMNS = ("job_seq", "attempts")
_TYPECODES = {"job_seq": "Q", "attempts": "I", "file_order": "I"}
_SIZES = {name: array(_TYPECODES[name]).itemsize for name in _COLUMNS}
_CHANGING = ("plain", "by_node", "status", *_COLUMNS, *Outcomes.__slots__, "active", *_SETS, *_MAPS)
"""The pieces of the second record, in order."""

_INFLATED_AT_ONCE = 1 << 20
"""Bytes of a record that are decompressed and hashed in one slice: 6 ms."""


def seal(pieces: Iterable[bytes]) -> Record:
    """Make a record. Most of the time this does not hold the interpreter's lock, so a thread can do it."""
    body = _joined(pieces)
    return Record(hashlib.sha256(body).digest(), zlib.compress(body, _LEVEL))


def digest_of(pieces: Iterable[bytes]) -> bytes:
    """The digest of the record that `seal` would make. Takes a third of the time of `seal`."""
    return hashlib.sha256(_joined(pieces)).digest()


def _joined(pieces: Iterable[bytes]) -> bytes:
    return b"".join(part for piece in pieces for part in (_LENGTH.pack(len(piece)), piece))


class Damaged(ValueError):
    """A record's pieces do not have its digest."""


def unsealing(record: Record) -> Generator[None, None, list[bytes]]:
    """Read the pieces of a record, in slices. Raises `Damaged`."""
    inflating, hashing = zlib.decompressobj(), hashlib.sha256()
    body, left = bytearray(), record.data
    try:
        while not inflating.eof:
            some = inflating.decompress(left, _INFLATED_AT_ONCE)
            left = inflating.unconsumed_tail
            if not some and not left:
                raise Damaged("a record is cut short")
            hashing.update(some)
            body += some
            yield
    except zlib.error as error:
        raise Damaged(str(error)) from None
    if hashing.digest() != record.digest:
        raise Damaged("a record does not have its digest")
    pieces, at = [], 0
    while at < len(body):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(body, at)[0]
        pieces.append(bytes(body[start:at]))
    return pieces


def unseal(record: Record) -> list[bytes]:
    """The pieces of a record. Raises `Damaged`."""
    return at_once(unsealing(record))


def fixed_pieces(batch: BatchState) -> list[bytes]:
    """The pieces of the first record: what never changes in a batch."""
    fixed = {name: getattr(batch, name) for name in _FIXED}
    return [
        as_json({"id": batch.id, "ordered": batch.file_order is not None, **fixed}),
        _NAMES_END.join(batch.names).encode(),
        as_piece(batch.file_order if batch.file_order is not None else array("I")),
    ]


def changing_pieces(batch: BatchState) -> Generator[None, None, list[bytes]]:
    """Make the pieces of the second record, in slices. The batch must not change meanwhile."""
    groups = [[dump_shape(group.shape), *group[1:]] for group in batch.groups]
    pieces: list[bytes] = [
        as_json({"groups": groups, **{name: getattr(batch, name) for name in _PLAIN}}),
        as_json({name: dict(sorted(getattr(batch, name).items())) for name in _BY_NODE}),
        as_piece(batch.status),
        *(as_piece(getattr(batch, name)) for name in _COLUMNS),
        *(as_piece(getattr(batch.outcomes, name)) for name in Outcomes.__slots__),
        as_json([_dump_attempt(row, attempt) for row, attempt in sorted(batch.active.items())]),
    ]
    yield
    for name in _SETS:
        pieces.append(as_json(sorted(getattr(batch, name))))
        yield
    for name in _MAPS:
        pieces.append(as_json(sorted(getattr(batch, name).items())))
        yield
    return pieces


def loading(fixed: Record, changing: Record) -> Generator[None, None, BatchState]:
    """Read the batch of two records, in slices.

    Raises:
        Damaged: a record does not have its digest.
        ValueError, KeyError, TypeError: the records are of another version.
    """
    head, names_text, order = yield from unsealing(fixed)
    found = json.loads(head)
    names = names_text.decode().split(_NAMES_END)
    yield
    rows = rows_of(names)
    yield
    pieces = _named((yield from unsealing(changing)))
    yield
    plain = json.loads(pieces["plain"])
    fields: Json = {name: found[name] for name in _FIXED} | {name: plain[name] for name in _PLAIN}
    fields |= {name: dict(values) for name, values in json.loads(pieces["by_node"]).items()}
    fields |= {name: _column(_TYPECODES[name], pieces[name]) for name in _COLUMNS}
    yield
    fields["active"] = dict(map(_load_attempt, json.loads(pieces["active"])))
    for name in _SETS:
        fields[name] = set(json.loads(pieces[name]))
        yield
    for name in _MAPS:
        fields[name] = dict(json.loads(pieces[name]))
        yield
    fields["building"] = {node: Building(*values) for node, values in fields["building"].items()}
    fields["unarchived"] = {row: Unarchived(*values) for row, values in fields["unarchived"].items()}
    fields["limits"] = _load_limits(fields["limits"])
    fields["edited"] = fields["edited"] and Edit(*fields["edited"])
    fields["killed"] = _load_kill(fields["killed"])
    fields["notify"], fields["continues"] = tuple(fields["notify"]), tuple(fields["continues"])
    fields["holding"] = None if fields["holding"] is None else Holding(*fields["holding"])
    fields["killed_rows"] = _load_kills(fields["killed_rows"])
    batch = BatchState(
        id=BatchId(*found["id"]),
        groups=tuple(Group(load_shape(shape), *rest) for shape, *rest in plain["groups"]),
        file_order=_column("I", order) if found["ordered"] else None,
        names=names,
        rows=rows,
        status=bytearray(pieces["status"]),
        outcomes=_load_outcomes(pieces),
        node_numbers={name: number for number, name in enumerate(plain["node_names"])},
        **fields,
    )
    if {len(batch.rows), len(batch.status), len(batch.job_seq), len(batch.attempts)} != {len(names)}:
        raise ValueError(f"the columns of {batch.id} are not of one length")
    return batch


def load_packed(fixed: Record, changing: Record) -> PackedBatch | None:
    """The packed batch of two records; None if it can't be packed. Raises as `loading` does."""
    head, names, _ = unseal(fixed)
    pieces = _named(unseal(changing))
    found, plain, by_node = json.loads(head), json.loads(pieces["plain"]), json.loads(pieces["by_node"])
    jobs = names.count(_NAMES_END.encode()) + 1
    sizes = {len(pieces["status"]), *(len(pieces[name]) // _SIZES[name] for name in _COLUMNS)}
    if sizes != {jobs}:
        raise ValueError(f"the columns of {found['id']} are not of one length")
    if plain["end"] is None or not plain["archived"] or {pieces["active"], pieces["unarchived"]} != {b"[]"}:
        return None
    return PackedBatch(
        id=BatchId(*found["id"]),
        build_failed=by_node["build_failed"],
        build_lines=by_node["build_lines"],
        build_kept=by_node["build_kept"],
        counts=tuple(plain["counts"]),
        killed=_load_kill(plain["killed"]),
        limits=_load_limits(plain["limits"]),
        fixed=fixed,
        changing=changing,
        **{name: found[name] for name in _SHOWN if name != "continues"},
        continues=tuple(found["continues"]),
        **{name: plain[name] for name in ("under_seq", "priority", "end", "end_reason", "finished_at")},
    )


def dump_compacted(batch: CompactedBatch) -> bytes:
    """A compacted batch as JSON."""
    shown = {name: getattr(batch, name) for name in SHOWN}
    return as_json(shown | {name: dict(sorted(shown[name].items())) for name in _BY_NODE if name in shown})


def load_compacted(found: Json) -> CompactedBatch:
    """The inverse of `dump_compacted`, of parsed JSON."""
    return CompactedBatch(
        **found
        | {
            "id": BatchId(*found["id"]),
            "counts": tuple(found["counts"]),
            "continues": tuple(found["continues"]),
            "killed": _load_kill(found["killed"]),
            "limits": _load_limits(found["limits"]),
        }
    )


def _named(pieces: list[bytes]) -> dict[str, bytes]:
    """The pieces of the second record, by name."""
    return dict(zip(_CHANGING, pieces, strict=True))


def as_json(value: object) -> bytes:
    """A value as a piece of JSON. Equal values have equal bytes."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def as_piece(column: array[Any] | bytearray) -> bytes:
    """A column as a piece: a copy of its bytes, little-endian."""
    if isinstance(column, array) and sys.byteorder == "big":
        column = array(column.typecode, column)
        column.byteswap()
    return bytes(column)


def _column(typecode: str, piece: bytes) -> array[Any]:
    values = array(typecode, piece)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _load_outcomes(pieces: Mapping[str, bytes]) -> Outcomes:
    outcomes = Outcomes()
    for name in Outcomes.__slots__:
        setattr(outcomes, name, _column(getattr(outcomes, name).typecode, pieces[name]))
    return outcomes


def _load_limits(found: list[Any]) -> Limits:
    most_running, most_failures, begin, after, has_last_job = found
    afters = tuple(After(BatchId(*name), *rest) for name, *rest in after)
    return Limits(most_running, most_failures, begin, afters, has_last_job)


def _load_kill(found: list[Any] | None) -> Kill | None:
    return None if found is None else Kill(*found)


def _load_kills(found: dict[int, list[Any]]) -> dict[int, Kill]:
    """One kill may be of 100,000 jobs, which share it."""
    kills: dict[tuple[Any, ...], Kill] = {}
    return {row: kills.setdefault(tuple(values), Kill(*values)) for row, values in found.items()}


def _dump_attempt(row: int, attempt: Attempt) -> list[Any]:
    return [row, *(getattr(attempt, name) for name in Attempt.__slots__)]


def _load_attempt(found: list[Any]) -> tuple[int, Attempt]:
    row, *values = found
    attempt = Attempt(*values)
    attempt.gpus = tuple(attempt.gpus)
    return row, attempt


def dump_shape(shape: Shape) -> list[Any]:
    """A shape as values for JSON."""
    kind = shape.gpu_kind
    return [sorted(shape.capabilities), *shape[1:-1], None if kind is None else list(kind)]


def load_shape(found: list[Any]) -> Shape:
    """The inverse of `dump_shape`."""
    capabilities, cpus, memory_bytes, gpus, kind = found
    return Shape(frozenset(capabilities), cpus, memory_bytes, gpus, kind and GpuKind(*kind))
