"""Waiting jobs that keep away from a node, although others of their batch may go there."""

from __future__ import annotations

from collections.abc import Iterator

from distribute.core.scheduling.queues import Waiting
from distribute.core.scheduling.trials import is_probe
from distribute.core.state.state import BatchState

NOWHERE = (None, None)


def less_choosy(waiting: Waiting, first: int) -> Iterator[int]:
    """Jobs that may go where the first one may not, while that waits: one for each way to keep away."""
    batch = waiting.batch
    seen = {_avoided(batch, first)}
    if seen == {NOWHERE}:
        return
    for row in waiting.rows():
        if (avoided := _avoided(batch, row)) not in seen:
            seen.add(avoided)
            yield row
            if avoided == NOWHERE:
                return


def _avoided(batch: BatchState, row: int) -> tuple[str | None, str | None]:
    """The nodes from which the job keeps away, if others can run it: as a probe, and as one that is moved."""
    return batch.suspects[row] if is_probe(batch, row) else None, batch.moved_from.get(row)
