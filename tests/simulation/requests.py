"""What people ask of batches: which jobs run again, and which batches are held."""

from __future__ import annotations

from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import BatchState, Status

from .story import require


def run_again(event: ev.RetryRequested, before: BatchState) -> set[str]:
    """The names of the jobs that a person has run again."""
    unhappy = {Status.FAILED, Status.KILLED}
    unhappy -= {Status.KILLED} if event.failed_only else set()
    unhappy -= {Status.FAILED} if event.killed_only else set()
    return {
        name
        for name, row in before.rows.items()
        if before.status[row] in unhappy and (event.jobs is None or name in event.jobs)
    }


class Holds:
    """Which batches were held when, by the log alone."""

    def __init__(self) -> None:
        self._words: dict[str | None, list[tuple[int, bool]]] = {}
        """By the id of the submission: since which sequence it was held, or was not."""
        self.is_torn = False
        """Whether the log has lost its end, ever: then sequences tell nothing."""

    def note(self, recorded: Recorded) -> None:
        """An event came into the log."""
        event = recorded.event
        if isinstance(event, ev.RetryRequested) and not event.hold:
            return
        if isinstance(event, ev.Held | ev.RetryRequested | ev.HoldReleased | ev.Completed):
            words = self._words.setdefault(event.submission, [])
            words.append((recorded.seq, isinstance(event, ev.Held | ev.RetryRequested)))

    def check(self, event: ev.Event, known_seq: int) -> None:
        """A scheduler that has read the log up to a sequence gives no job of a held batch to a node."""
        if not isinstance(event, ev.Assigned) or self.is_torn:
            return
        words = [is_held for seq, is_held in self._words.get(event.submission, ()) if seq <= known_seq]
        require(not any(words[-1:]), f"{event.scope} is given to {event.node}, and its batch is held")
