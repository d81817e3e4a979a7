"""People who change the files of their batches, and what is to be true of the jobs that are kept."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from distribute.core import events as ev
from distribute.core.ids import JobId
from distribute.core.packed import ClosedBatch
from distribute.core.specs import BatchSpec, Job
from distribute.core.state import BatchState

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
    unfinished = [job for job, story in stories.of_batch(event.scope) if story.holder or story.to_archive]
    require(before.end is not None, f"{event.scope} is replaced, and not over")
    require(not unfinished, f"{event.scope} is replaced, while {unfinished} are under way")
    kept = {job.name for job in event.spec.work.jobs if job.kept}
    known = {job.name: job for job in was.work.jobs}
    for job in event.spec.work.jobs:
        if job.kept:
            story = stories.of[JobId(*event.scope, job.name)]
            require(story.succeeded and not story.missing, f"{job.name} is kept, and has nothing to keep")
            require(_work(job) == _work(known[job.name]), f"{job.name} is kept, and does other work now")
    last = event.spec.last_job
    if last in kept:
        others = {job.name for job in event.spec.work.jobs}
        require(others == kept == known.keys(), f"{last} is kept, and others changed")
    going_on = {id_: stories.of[id_] for id_ in (JobId(*event.scope, name) for name in kept)}
    stories.end(event.scope)
    return going_on


def _work(job: Job) -> object:
    return getattr(job, "command", None)
