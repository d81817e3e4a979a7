"""What is still to come before a world may end."""

from __future__ import annotations

from collections.abc import Iterator

from distribute.core.scheduling.matching import never
from distribute.core.state.last_job import has_given_up, is_last_to_run
from distribute.core.state.state import BatchState, Group, State, Status


def unfinished(state: State) -> Iterator[str]:
    """What is still to come, of batches that can end at all."""
    for batch in state.batches.values():
        if _can_never_end(state, batch):
            continue
        if batch.end is None:
            counts = {status.name: batch.counts[status] for status in Status if batch.counts[status]}
            yield f"{batch.id} is not over: {counts}"
        elif not batch.archived:
            yield f"{batch.id} is over, and not archived: {sorted(batch.unarchived)}"


def _can_never_end(state: State, batch: BatchState) -> bool:
    """Has it jobs that no node can run, or does it wait for such a batch?"""
    nodes = state.nodes.values()
    if any(all(never(node, group.shape) for node in nodes) for group in _to_run(batch)):
        return True
    waits = state.waits.get(batch.id)
    others = [state.batches.get(name) for name in waits.left] if waits is not None else []
    return any(other is not None and other.end is None and _can_never_end(state, other) for other in others)


def _to_run(batch: BatchState) -> tuple[Group, ...]:
    """The groups whose jobs run before the batch is over. Has it given up, only its last job does."""
    if not has_given_up(batch):
        return batch.groups
    last = batch.last_row
    return (batch.group_of(last),) if last is not None and is_last_to_run(batch) else ()
