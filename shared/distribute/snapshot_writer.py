"""Writing snapshots of a state that goes on changing, without keeping the event loop from other tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from distribute.core.batch_record import Record, changing_pieces, fixed_pieces, seal
from distribute.core.ids import BatchId
from distribute.core.state import BatchState, State
from distribute.slices import in_slices
from distribute.snapshot import dump_core, join_records


class _Written(NamedTuple):
    """The records of a batch, and of which version of it they are."""

    seq: int
    under_seq: int
    fixed: Record
    changing: Record


class SnapshotWriter:
    """Writes the snapshots of one state.

    The records of a batch are kept, and made again only if the batch has changed. They are made one after
    another while the event loop goes on, and yet all are of one moment: whoever folds an event awaits
    `before_change` first, which sees that the batches of that event are written.
    """

    def __init__(self) -> None:
        self._written: dict[BatchId, _Written] = {}
        self._unwritten: dict[BatchId, BatchState] = {}
        """What the snapshot that is being written still needs."""
        self._one_at_a_time = asyncio.Lock()

    async def write(self, state: State) -> bytes:
        """The snapshot of the state as it is when this begins: the bytes that `dump` gives. One at a time."""
        core = dump_core(state)
        ids = sorted(state.batches)
        for batch_id in self._written.keys() - state.batches.keys():
            del self._written[batch_id]
        self._unwritten = {
            batch_id: batch for batch_id, batch in state.batches.items() if not self._has(batch)
        }
        try:
            while self._unwritten:
                await self.before_change([next(iter(self._unwritten))])
        finally:
            self._unwritten = {}
        records = [core]
        for batch_id in ids:
            written = self._written[batch_id]
            records += (written.fixed, written.changing)
        return join_records(records)

    async def before_change(self, batch_ids: Iterable[BatchId]) -> None:
        """Return when these batches may change. Costs nothing if no snapshot is being written."""
        if not self._unwritten:
            return
        for batch_id in batch_ids:
            async with self._one_at_a_time:
                batch = self._unwritten.get(batch_id)
                if batch is not None:
                    self._written[batch_id] = await self._write_batch(batch)
                    self._unwritten.pop(batch_id, None)

    def _has(self, batch: BatchState) -> bool:
        """Is what we have written of the batch still true?"""
        written = self._written.get(batch.id)
        return written is not None and written[:2] == (batch.seq, batch.under_seq)

    async def _write_batch(self, batch: BatchState) -> _Written:
        before = self._written.get(batch.id)
        if before is not None and before.seq == batch.seq:
            fixed = before.fixed
        else:
            fixed = await asyncio.to_thread(seal, fixed_pieces(batch))
        pieces = await in_slices(changing_pieces(batch))
        return _Written(batch.seq, batch.under_seq, fixed, await asyncio.to_thread(seal, pieces))
