"""The results of a batch that can be pulled."""

from __future__ import annotations

from collections.abc import Mapping

from distribute.core import events as ev
from distribute.core.ids import BatchId
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory
from distribute.core.recorded import Recorded


class BatchResults:
    """The outputs of a batch's jobs, and of its builds, that can be pulled, by what the batch accepted.

    A job's outputs are those of its last archived attempt. Results of a deleted batch of the same name do not
    count.
    """

    def __init__(self, batch: BatchId) -> None:
        self.story = BatchStory(batch)
        self.jobs: dict[str, ev.Finished] = {}
        """By job: the attempt whose outputs are in the archive, or that left nothing."""
        self.missing: dict[str, str] = {}
        """By job: what of its outputs is gone, and will never be in the archive."""
        self.builds: dict[str, ev.BuildFinished] = {}
        """By node: the last build there that ended."""
        self._unarchived: dict[str, ev.Finished] = {}

    @property
    def course(self) -> Course:
        """How far the batch has come."""
        return Course.of(self.story.state)

    @property
    def building(self) -> Mapping[str, float]:
        """By node: since when a build runs there, in seconds since 1970, by the log's clock."""
        builds = {} if self.story.state is None else self.story.state.building
        return {node: build.since for node, build in builds.items()}

    def fold(self, recorded: Recorded) -> None:
        """Fold the next event under the batch."""
        if not self.story.fold(recorded):
            return
        event = recorded.event
        match event:
            case ev.Submitted() | ev.Deleted():
                for of_another in (self.jobs, self.missing, self.builds, self._unarchived):
                    of_another.clear()
            case ev.Finished(outputs=None):
                self._unarchived.pop(event.job, None)
                self._settle(event, None)
            case ev.Finished():
                self._unarchived[event.job] = event
            case ev.Excused():
                self._unarchived.pop(event.job, None)
            case ev.JobArchived():
                finished = self._unarchived.get(event.job)
                # Otherwise the archiver's event came again, or late.
                if finished is not None and finished.attempt == event.attempt:
                    del self._unarchived[event.job]
                    self._settle(finished, event.missing)
            case ev.BuildFinished():
                self.builds[event.node] = event
            case _:
                pass

    def _settle(self, finished: ev.Finished, missing: str | None) -> None:
        """Replace the outputs of the attempt before by those of this attempt."""
        self.jobs.pop(finished.job, None)
        self.missing.pop(finished.job, None)
        if missing is None:
            self.jobs[finished.job] = finished
        else:
            self.missing[finished.job] = missing
