"""Write snapshots of a state that goes on changing, while the event loop runs its other tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from distribute.core.ids import BatchId
from distribute.core.state.batch_record import changing_pieces, fixed_pieces, seal
from distribute.core.state.packed import Record
from distribute.core.state.state import BatchState, State
from distribute.slices import in_slices
from distribute.snapshot import StateDigests, copy_core, core_pieces


class _Written(NamedTuple):
    """The records of a batch, and the sequences that tell which version of the batch they describe."""

    seq: int
    under_seq: int
    fixed: Record
    changing: Record


class SnapshotRecords(NamedTuple):
    """The records of a state as of the event at `seq`: of everything but the batches, and of each batch."""

    seq: int
    core: Record
    batches: dict[BatchId, tuple[Record, Record]]

    def all(self) -> list[Record]:
        """All records, in the order of a snapshot."""
        return [self.core, *(record for pair in self.batches.values() for record in pair)]

    def digests(self) -> StateDigests:
        """The digests of the parts of the state."""
        batches = ((name, [record.digest for record in pair]) for name, pair in self.batches.items())
        return StateDigests.of(self.core.digest, batches)


class SnapshotWriter:
    """Writes the snapshots of one state.

    It keeps the records of a batch, and makes them again only if the batch has changed. It makes them one
    after another while the event loop goes on. Yet a snapshot shows one moment: before its caller folds an
    event, it awaits `before_change`, which first writes the batches of that event.
    """

    def __init__(self) -> None:
        self._written: dict[BatchId, _Written] = {}
        self._unwritten: dict[BatchId, BatchState] = {}
        """The batches whose records the current snapshot still needs."""
        self._one_at_a_time = asyncio.Lock()
        self._one_snapshot_at_a_time = asyncio.Lock()

    async def records(self, state: State) -> SnapshotRecords:
        """The records of the state at one moment. Joined, they are the same bytes as `dump`."""
        async with self._one_snapshot_at_a_time:
            return await self._records(state)

    async def _records(self, state: State) -> SnapshotRecords:
        core = copy_core(state)
        ids, packed = sorted((*state.batches, *state.packed)), state.packed.copy()
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
        written = {batch_id: packed.get(batch_id) or self._written[batch_id] for batch_id in ids}
        return SnapshotRecords(
            core.seq,
            await asyncio.to_thread(seal, await in_slices(core_pieces(core))),
            {batch_id: (found.fixed, found.changing) for batch_id, found in written.items()},
        )

    @property
    def is_writing(self) -> bool:
        """Is a snapshot being written? Then await `before_change` before a batch changes."""
        return bool(self._unwritten)

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

    def records_of(self, batch: BatchState) -> tuple[Record, Record] | None:
        """The records of a batch in the last snapshot; None if the batch has changed since."""
        written = self._written.get(batch.id)
        return (written.fixed, written.changing) if written is not None and self._has(batch) else None

    def _has(self, batch: BatchState) -> bool:
        """Do we have the records of the batch as it is now?"""
        written = self._written.get(batch.id)
        return written is not None and written[:2] == (batch.seq, batch.under_seq)

    async def _write_batch(self, batch: BatchState) -> _Written:
        before, seq, under_seq = self._written.get(batch.id), batch.seq, batch.under_seq
        fixed = before.fixed if before is not None and before.seq == seq else None
        return _Written(seq, under_seq, *await write_batch(batch, fixed))


async def write_batch(batch: BatchState, fixed: Record | None = None) -> tuple[Record, Record]:
    """Make the two records of a batch, which must not change meanwhile. `fixed`: the first, if we have it."""
    if fixed is None:
        fixed = await asyncio.to_thread(seal, fixed_pieces(batch))
    pieces = await in_slices(changing_pieces(batch))
    return fixed, await asyncio.to_thread(seal, pieces)
