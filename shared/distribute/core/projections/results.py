"""The results of a batch that can be pulled."""

from __future__ import annotations

from collections.abc import Mapping

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory
from distribute.core.state.state import BatchState


def result_seqs(batch: BatchState) -> list[int]:
    """The sequences of the events whose outputs can be pulled, in order: at most one for each job.

    The outputs of such an event are in the archive, or it left none.
    """
    return sorted(seq for seq in batch.outcomes.result_seq if seq)


def missing_results(batch: BatchState) -> dict[str, str]:
    """By job: what of its last outputs is gone, and will never be in the archive."""
    return {batch.names[row]: what for row, what in sorted(batch.missing.items())}


class BatchResults:
    """The outputs of a batch's jobs, and of its builds, that can be pulled, by what the batch accepted.

    A job's outputs are those of its last archived attempt. Results of a deleted batch of the same name do not
    count. This holds the outputs of builds; of those of jobs it knows the sequences only, for the manifests
    of 100,000 jobs take hundreds of megabytes.
    """

    def __init__(self, batch: BatchId) -> None:
        self.story = BatchStory(batch)
        self.builds: dict[str, ev.BuildEnd] = {}
        """By node: the last build there that ended."""
        self._ended_at: dict[str, float] = {}

    @property
    def course(self) -> Course:
        """How far the batch has come."""
        return Course.of(self.story.state)

    @property
    def seqs(self) -> list[int]:
        """As `result_seqs`."""
        return [] if self.story.state is None else result_seqs(self.story.state)

    @property
    def missing(self) -> dict[str, str]:
        """As `missing_results`."""
        return {} if self.story.state is None else missing_results(self.story.state)

    @property
    def building(self) -> Mapping[str, float]:
        """By node: since when a build runs there, in seconds since 1970, by the log's clock."""
        builds = {} if self.story.state is None else self.story.state.building
        return {node: build.since for node, build in builds.items()}

    @property
    def has_build(self) -> bool:
        """Does the batch have a build, here or where it ran?"""
        return bool(self.builds) or (self.story.state is not None and self.story.state.needs_build)

    def built_before(self, node: str) -> float:
        """When the last build at a node ended or, if none did, when the batch was submitted.

        What was printed before is not of a build that runs now.
        """
        return self._ended_at.get(node, self.course.submitted_at)

    def fold(self, recorded: Recorded) -> bool:
        """Fold the next event under the batch. Returns False if the batch does not accept it."""
        if not self.story.fold(recorded):
            return False
        event = recorded.event
        if isinstance(event, ev.Submitted | ev.Deleted):
            self.builds.clear()
            self._ended_at.clear()
        elif isinstance(event, ev.BuildEnd):
            self.builds[event.node] = event
            self._ended_at[event.node] = recorded.time
        return True
