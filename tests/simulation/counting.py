"""What happens in the worlds, counted: a test demands that each kind does."""

from __future__ import annotations

from collections import Counter

from distribute.core.log import events as ev
from distribute.core.state.state import State, Status


def count_given_back(happened: Counter[str], state: State, event: ev.Leaving) -> None:
    """Count a node that leaves and says so before what it gives back has ended there."""
    node = state.nodes.get(event.node)
    if node is not None and node.incarnation == event.incarnation and not event.keeps:
        happened["a leaving node gives its jobs back at once"] += bool(node.attempts)


def count_kills(happened: Counter[str], state: State, event: ev.Event) -> None:
    """Count builds that are killed, and what killed and vacated jobs leave."""
    if isinstance(event, ev.BuildFinished):
        happened["a build is killed"] += event.killed
    elif isinstance(event, ev.Yielded):
        happened["what a vacated job left is kept"] += event.outputs is not None
    elif isinstance(event, ev.Finished) and event.outputs is not None:
        batch = state.batches.get(event.batch_id)
        status = batch.status[batch.rows[event.job]] if batch and event.job in batch.rows else None
        happened["what a killed job left is kept"] += status == Status.KILLED
