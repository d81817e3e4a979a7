"""One batch, folded from its own events."""

from __future__ import annotations

from distribute.core.folding.fold_batch import advance
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import BatchState


class BatchStory:
    """A batch, folded from the events under it, from the first on. Other events change nothing."""

    def __init__(self, batch: BatchId) -> None:
        self.id = batch
        self.seq = 0
        """The sequence of the last event under the batch, accepted or not; 0: there is none."""
        self.scope_seq = 0
        """The same of the batch's own scope: without the events of its jobs and builds."""
        self.state: BatchState | None = None
        """The current state of the batch. None: there is no such batch, or it was deleted."""

    def fold(self, recorded: Recorded) -> bool:
        """Fold the next event under the batch. Returns False if the batch does not accept it.

        An event that the batch does not accept changes nothing but the sequences.
        """
        return self.misfit_of(recorded) is None

    def misfit_of(self, recorded: Recorded) -> str | None:
        """Fold the next event under the batch. Returns why the batch does not accept it, or None."""
        event = recorded.event
        if isinstance(event, ev.NodeEvent) or event.batch_id != self.id:
            return f"it is not about {self.id}"
        if recorded.seq <= self.seq:
            return "it was folded before"
        self.seq = recorded.seq
        if isinstance(event, ev.BatchEvent):
            self.scope_seq = recorded.seq
        self.state, misfit = advance(self.state, recorded)
        return misfit
