"""One batch, folded from its own events."""

from __future__ import annotations

from distribute.core import events as ev
from distribute.core.events import Recorded
from distribute.core.fold import apply
from distribute.core.ids import BatchId
from distribute.core.state import BatchState, NodeState, State


class BatchStory:
    """A batch as the events under it tell it, from the first on. Other batches' events change nothing."""

    def __init__(self, batch: BatchId) -> None:
        self.id = batch
        self.seq = 0
        """The sequence of the last event under the batch, accepted or not; 0: there is none."""
        self.scope_seq = 0
        """The same of the batch's own scope: without the events of its jobs and builds."""
        self._state = State()

    @property
    def state(self) -> BatchState | None:
        """The batch as it stands. None: there is no such batch, or it was deleted."""
        return self._state.batches.get(self.id)

    def fold(self, recorded: Recorded) -> bool:
        """Fold the next event under the batch. Returns False if the batch does not accept it.

        What the batch does not accept changes nothing but the sequences.
        """
        event = recorded.event
        if _batch_of(event) != self.id or recorded.seq <= self.seq:
            return False
        self.seq = recorded.seq
        if isinstance(event, ev.BatchEvent):
            self.scope_seq = recorded.seq
        if isinstance(event, ev.JobEvent | ev.BuildStarted | ev.BuildFinished):
            self._have_node(event.node)
        misfits = self._state.misfits
        apply(self._state, recorded)
        return self._state.misfits == misfits

    def _have_node(self, name: str) -> None:
        if name not in self._state.nodes:
            self._state.nodes[name] = NodeState(name, 0, 0, "", frozenset(), 1, 0, (), "")


def _batch_of(event: ev.Event) -> BatchId | None:
    if isinstance(event, ev.JobEvent | ev.BuildStarted | ev.BuildFinished):
        return BatchId(event.namespace, event.batch)
    return event.scope if isinstance(event, ev.BatchEvent) else None
