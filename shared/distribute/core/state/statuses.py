"""The statuses of a batch's jobs, and how many jobs have each."""

from __future__ import annotations

from collections.abc import Iterator

from distribute.core.state.columns import NO_ROW
from distribute.core.state.state import BatchState, Status


def set_status(batch: BatchState, row: int, status: Status) -> None:
    """Move one job to a status, and keep the counts."""
    counts, statuses = batch.counts, batch.status
    counts[statuses[row]] -= 1
    counts[status] += 1
    statuses[row] = status
    if batch.forgiven:
        batch.forgiven.discard(row)


def move_all(batch: BatchState, origin: Status, target: Status) -> None:
    """Move all jobs of one status to another. Takes a millisecond for 100,000 jobs."""
    batch.status = batch.status.replace(bytes((origin,)), bytes((target,)))
    batch.counts[target] += batch.counts[origin]
    batch.counts[origin] = 0


def rows_with(batch: BatchState, status: Status) -> Iterator[int]:
    """The rows with this status, in order."""
    row = batch.status.find(status)
    while row != NO_ROW:
        yield row
        row = batch.status.find(status, row + 1)


def others_with(batch: BatchState, status: Status) -> int:
    """How many jobs have this status, without the last job (`BatchState.last_row`)."""
    last = batch.last_row
    return batch.counts[status] - (last is not None and batch.status[last] == status)
