"""Pack batches of a state, and unpack them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from distribute.core.ids import BatchId
from distribute.core.slices import at_once
from distribute.core.state.batch_record import loading
from distribute.core.state.packed import SHOWN, CompactedBatch, PackedBatch, Record
from distribute.core.state.state import BatchState, NodeState, State


def is_packable(batch: BatchState) -> bool:
    """Is the batch over and archived, without jobs in flight?"""
    return batch.end is not None and batch.archived and not batch.active and not batch.unarchived


def packable(state: State, over_before: float) -> list[BatchId]:
    """The batches that can be packed and ended before `over_before`, in seconds since 1970.

    Leaves out batches that nodes' records of fast failures name, because decisions look at their jobs.
    """
    named = named_by_nodes(state.nodes.values())
    return [
        batch.id
        for batch in state.batches.values()
        if (batch.finished_at or 0.0) < over_before and is_packable(batch) and batch.id not in named
    ]


def named_by_nodes(nodes: Iterable[NodeState]) -> set[BatchId]:
    """The batches whose jobs are in these nodes' records of fast failures."""
    return {key.batch for node in nodes for record in node.records for key in record.fast_failures}


def pack(state: State, batch_id: BatchId, fixed: Record, changing: Record) -> None:
    """Pack a batch that can be packed. The records must be those of its present version."""
    state.packed[batch_id] = packed_as(state.batches.pop(batch_id), fixed, changing)


def packed_as(batch: BatchState, fixed: Record, changing: Record) -> PackedBatch:
    """The packed form of a batch that is over, with these records."""
    return PackedBatch(**_shown_of(batch), fixed=fixed, changing=changing)


def compacted_as(batch: BatchState) -> CompactedBatch:
    """What the state keeps of a compacted batch."""
    assert batch.compacted_at is not None, f"{batch.id} is not compacted"
    return CompactedBatch(**_shown_of(batch))


def _shown_of(batch: BatchState) -> dict[str, Any]:
    """The fields of a batch that is over that lists show."""
    assert batch.end is not None, f"{batch.id} is not over"
    assert batch.finished_at is not None, f"{batch.id} is over, but has no end time"
    return {name: getattr(batch, name) for name in SHOWN} | {"counts": tuple(batch.counts)}


def unpack(state: State, batch_id: BatchId) -> BatchState | None:
    """Unpack a batch. Returns it; None if no batch of this name is packed."""
    packed = state.packed.pop(batch_id, None)
    if packed is None:
        return None
    batch = state.batches[batch_id] = at_once(loading(packed.fixed, packed.changing))
    return batch
