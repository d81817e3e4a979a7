"""What to tell of attempts and builds that end, from the events of the batch."""

from __future__ import annotations

from collections.abc import Callable

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.projections.story import BatchStory
from distribute.core.state.state import KILLED, QUEUED, RETRYING
from distribute.here import BuildFailed, JobEnded


class Ends:
    """Folds the batch, because only its state says whether a job runs again after a failure."""

    def __init__(self, batch: BatchId, is_stopping: Callable[[], bool]) -> None:
        """`is_stopping` says whether the person has ended the run, so that a kill is under way."""
        self._story = BatchStory(batch)
        self._is_stopping = is_stopping

    def read(self, recorded: Recorded) -> JobEnded | BuildFailed | None:
        """What to tell of the next event of the batch. None: nothing."""
        if not self._story.fold(recorded):
            return None  # such as the end of an attempt that the scheduler took back before
        match recorded.event:
            case ev.Finished() as event:
                return self._ended(event)
            case ev.BuildFinished(succeeded=False) as event:
                return BuildFailed(event.reason or "", list(event.last_lines or ()))
            case _:
                return None

    def _ended(self, event: ev.Finished) -> JobEnded:
        batch = self._story.state
        assert batch is not None, "it has accepted the event"
        status, is_stopping = batch.status[batch.rows[event.job]], self._is_stopping()
        is_queued = status in {QUEUED, RETRYING}
        return JobEnded(
            job=event.job,
            attempt=event.attempt,
            again=is_queued and not is_stopping,
            succeeded=event.succeeded,
            killed=status == KILLED or (is_queued and is_stopping),
            exit_code=event.exit_code,
            signal=event.signal,
            reason=event.reason,
            wall_s=event.wall_s or 0.0,
            last_lines=list(event.last_lines or ()),
        )
