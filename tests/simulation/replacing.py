"""People who change the files of their batches, and what is to be true of the jobs that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.spec.specs import BatchSpec, Job
from distribute.core.state.packed import ClosedBatch
from distribute.core.state.state import BatchState

from .story import Story, require

if TYPE_CHECKING:
    from .stories import Stories


def changed(spec: BatchSpec, random: Random) -> BatchSpec:
    """The batch with some jobs changed, and some left out. The job that runs last stays."""
    share = random.choice((0.0, 0.2, 0.6))
    jobs = [
        job.model_copy(update={"command": f"x{random.randint(1, 2)}"}) if random.random() < share else job
        for job in spec.work.jobs
        if random.random() > share / 2 or job is spec.work.jobs[-1]
    ]
    return spec.model_copy(update={"work": spec.work.model_copy(update={"jobs": tuple(jobs)})})


def replaced(
    stories: Stories, event: ev.Submitted, before: BatchState | ClosedBatch | None
) -> dict[JobId, Story]:
    """A submission may replace the batch `before`. Then its stories end, but for those that this returns."""
    if event.replaces is None or before is None:
        return {}
    was = stories.spec_of(event.scope)
    kept = {job.name for job in event.spec.work.jobs if job.kept}
    running = {job for job, story in stories.of_batch(event.scope) if _goes_on(story) and job.job in kept}
    unfinished = [
        job
        for job, story in stories.of_batch(event.scope)
        if (story.holder and job not in running) or story.to_archive
    ]
    require(not unfinished, f"{event.scope} is replaced, while {unfinished} are under way")
    is_held = isinstance(before, BatchState) and before.holding is not None
    require(before.end is not None or is_held, f"{event.scope} is replaced, and neither over nor held")
    known = {job.name: job for job in was.work.jobs}
    for job in event.spec.work.jobs:
        if job.kept:
            story = stories.of[JobId(*event.scope, job.name)]
            is_there = (story.succeeded and not story.missing) or JobId(*event.scope, job.name) in running
            require(is_there, f"{job.name} is kept, and has nothing to keep")
            require(_work(job) == _work(known[job.name]), f"{job.name} is kept, and does other work now")
            # Somebody may have edited those of the batch before.
            story.retries = event.spec.retries if job.retries is None else job.retries
    last = event.spec.last_job
    if last in kept:
        others = {job.name for job in event.spec.work.jobs}
        require(others == kept == known.keys(), f"{last} is kept, and others changed")
        are_over = not running - {JobId(*event.scope, last or "")}
        require(are_over, f"{last} is kept, and others run")
    going_on = {id_: stories.of[id_] for id_ in (JobId(*event.scope, name) for name in kept)}
    stories.end(event.scope, but=running)
    return going_on


def submission_of(
    stories: Mapping[JobId, Story],
    event: ev.SubmissionEvent | ev.Released | ev.Excused,
    current: Mapping[BatchId, str],
) -> str | None:
    """The submission that an event has to name: of an attempt, the one under which it was assigned.

    `current`: that of each batch that is there.
    """
    if isinstance(event, ev.Released):
        story = stories.get(event.scope)
        if story is not None and (story.holder, story.attempt) == (event.node, event.attempt):
            return story.submission
    return current.get(event.batch_id)


def _goes_on(story: Story) -> bool:
    """Does a node run the job, and has nobody ended that?"""
    return bool(story.holder) and story.started and not (story.ordered or story.to_be_killed or story.moved)


def _work(job: Job) -> object:
    return getattr(job, "command", None)
