"""The attempts of one job, one after another."""

from __future__ import annotations

from dataclasses import dataclass

from distribute.core import events as ev
from distribute.core.ids import JobId
from distribute.core.projections.story import BatchStory
from distribute.core.recorded import Recorded


@dataclass(slots=True)
class AttemptRecord:
    """One attempt. Times are the log's, in seconds since 1970; `ended_at` None: it is not over.

    An attempt is over when it finished, when its node gave it back, or when it was taken from its node.
    """

    number: int
    node: str
    assigned_at: float
    started_at: float | None = None
    ended_at: float | None = None
    finished: ev.Finished | None = None
    taken_back: str | None = None
    """Why its node gave it back, or the scheduler took it from its node, if one of them did."""


class JobAttempts:
    """A job's attempts by number, by what its batch accepted."""

    def __init__(self, job: JobId) -> None:
        self.job = job
        self.story = BatchStory(job.batch_id)
        self.attempts: dict[int, AttemptRecord] = {}

    def fold(self, recorded: Recorded) -> None:
        """Fold the next event under the job's batch."""
        if not self.story.fold(recorded):
            return
        event = recorded.event
        if isinstance(event, ev.Submitted | ev.Deleted):
            self.attempts.clear()
        elif isinstance(event, ev.JobEvent) and event.scope == self.job:
            self._fold_own(recorded.time, event)

    def _fold_own(self, time: float, event: ev.JobEvent) -> None:
        if isinstance(event, ev.Assigned):
            self.attempts[event.attempt] = AttemptRecord(event.attempt, event.node, time)
            return
        attempt = self.attempts.get(event.attempt)
        if attempt is None or attempt.ended_at is not None:
            return
        match event:
            case ev.Started():
                attempt.started_at = time
            case ev.Finished():
                attempt.ended_at = time
                attempt.finished = event
            case ev.Released() | ev.Yielded():
                attempt.ended_at = time
                attempt.taken_back = event.reason
            case _:
                pass
