"""Which results of a batch are in the archive, read from the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distribute.core.events import Assigned, BuildFinished, Finished, JobArchived
from distribute.core.manifest import Manifest, Outputs
from distribute.ports import Only
from distribute_cli.ending import Course, course_so_far

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster


@dataclass(slots=True)
class Archived:
    """What of a batch can be pulled: the outputs of each job's accepted attempt, and of each node's build."""

    course: Course
    jobs: dict[str, Finished] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """What is gone of the results of jobs that left some, and never will be in the archive."""
    builds: dict[str, BuildFinished] = field(default_factory=dict)

    def take(self, event: JobArchived, finished: Finished) -> None:
        """The archiver's word on what a job left takes the place of its word on the attempt before."""
        self.jobs.pop(event.job, None)
        self.missing.pop(event.job, None)
        if event.missing is None:
            self.jobs[event.job] = finished
        else:
            self.missing[event.job] = event.missing


async def archived_results(cluster: Cluster, batch: BatchId) -> Archived:
    """The results of a batch that the archiver has checked up to now.

    A job's outputs are those of the last attempt that was archived; what an attempt before it left, or
    a deleted batch of the same name, does not count.
    """
    course, until = await course_so_far(cluster, batch)
    found = Archived(course)
    if not course.seq:
        return found
    given: dict[str, tuple[int, str]] = {}
    ended: dict[str, Finished] = {}
    jobs_only = Only(types=frozenset({"assigned", "finished", "job_archived"}), batch=batch)
    async for events in cluster.log.follow(after=course.seq, only=jobs_only, until=until):
        for recorded in events:
            event = recorded.event
            if isinstance(event, Assigned):
                given[event.job] = event.attempt, event.node
            elif isinstance(event, Finished):
                # One that nobody was given is a peer's mistake: the state does not count it either.
                if given.get(event.job) == (event.attempt, event.node):
                    ended[event.job] = event
            elif isinstance(event, JobArchived):
                finished = ended.get(event.job)
                if finished is not None and finished.attempt == event.attempt:
                    found.take(event, finished)
    async for events in cluster.log.follow(
        after=course.seq, only=Only(types=frozenset({"build_finished"})), until=until
    ):
        for recorded in events:
            event = recorded.event
            if isinstance(event, BuildFinished) and event.batch_id == batch:
                found.builds[event.node] = event
    return found


async def manifest_of(cluster: Cluster, outputs: Outputs) -> Manifest:
    """The manifest of some outputs, fetched where the event only points to it."""
    if outputs.inline is not None:
        return outputs.inline
    if outputs.stored is None:
        return Manifest()
    parts = [part async for part in cluster.store.get_result(outputs.stored)]
    return Manifest.model_validate_json(b"".join(parts))
