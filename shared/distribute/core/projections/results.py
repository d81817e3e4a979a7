"""What of a batch can be pulled."""

from __future__ import annotations

from distribute.core import events as ev
from distribute.core.events import Recorded
from distribute.core.ids import BatchId
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory


class BatchResults:
    """The outputs in the archive of a batch's jobs, and of its builds, by what the batch accepted.

    A job's outputs are those of its last attempt that the archiver has seen to. What a deleted batch of the
    same name left does not count.
    """

    def __init__(self, batch: BatchId) -> None:
        self.story = BatchStory(batch)
        self.jobs: dict[str, ev.Finished] = {}
        """By job: the attempt whose outputs are in the archive."""
        self.missing: dict[str, str] = {}
        """By job: what of its outputs is gone, and will never be in the archive."""
        self.builds: dict[str, ev.BuildFinished] = {}
        """By node: the last build there that ended."""
        self.building: dict[str, float] = {}
        """By node: since when a build runs there, in seconds since 1970, by the log's clock."""
        self._unarchived: dict[str, ev.Finished] = {}

    @property
    def course(self) -> Course:
        """How far the batch has come."""
        return Course.of(self.story.state)

    def fold(self, recorded: Recorded) -> None:
        """Fold the next event under the batch."""
        if not self.story.fold(recorded):
            return
        event = recorded.event
        match event:
            case ev.Submitted() | ev.Deleted():
                for of_another in (self.jobs, self.missing, self.builds, self.building, self._unarchived):
                    of_another.clear()
            case ev.Finished():
                self._unarchived[event.job] = event
            case ev.JobArchived():
                self._archive(event)
            case ev.BuildStarted():
                self.building[event.node] = recorded.time
            case ev.BuildFinished():
                self.building.pop(event.node, None)
                self.builds[event.node] = event
            case _:
                pass

    def _archive(self, event: ev.JobArchived) -> None:
        finished = self._unarchived.get(event.job)
        if finished is None or finished.attempt != event.attempt:
            return  # the archiver's word came again, or late
        del self._unarchived[event.job]
        self.jobs.pop(event.job, None)
        self.missing.pop(event.job, None)
        if event.missing is None:
            self.jobs[event.job] = finished
        else:
            self.missing[event.job] = event.missing
