"""What is to be true of the job that runs when all others of its batch are over, and of what gives up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.core.log import events as ev
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.state import BatchState, Status

from .story import Story, require

if TYPE_CHECKING:
    from .stories import Stories

OVER = {Status.SUCCEEDED, Status.FAILED, Status.KILLED}


def begins(stories: Stories, event: ev.Assigned, before: BatchState) -> None:
    """A job is given to a node. If it is the last of its batch, the others are over, and archived."""
    spec = stories.spec_of(event.batch_id)
    if spec.last_job != event.job or before.kill_wanted(before.rows[event.job]):
        return
    for id_, story in stories.of_batch(event.batch_id):
        if id_ == event.scope:
            continue
        require(story.holder is None, f"the last job begins, and {story.holder} has {id_}")
        require(not story.to_archive, f"the last job begins, and {id_} is not archived yet")
        most = stories.limits_of[event.batch_id].max_failures
        is_over = before.status[before.rows[id_.job]] in OVER or _has_given_up(stories, before, most)
        require(is_over, f"the last job begins, and {id_} is not over")


def gave_up(stories: Stories, event: ev.Completed, before: BatchState) -> None:
    """A batch is over. If that is because too many of its jobs failed, they did."""
    if "max_failures" in (event.reason or ""):
        most = stories.limits_of[event.scope].max_failures
        require(_has_given_up(stories, before, most), f"{event.scope} gives up after too few failures")


def may_begin_again(stories: Stories, before: BatchState, job: str) -> bool:
    """Would a job that its node gives back begin again, as far as `max_failures` goes?"""
    most = stories.limits_of[before.id].max_failures
    return job == stories.spec_of(before.id).last_job or not _has_given_up(stories, before, most)


def _has_given_up(stories: Stories, before: BatchState, most: int | None, without: str | None = None) -> bool:
    last = stories.spec_of(before.id).last_job
    failed = sum(
        before.status[before.rows[job.job]] == Status.FAILED and not story.forgiven
        for job, story in stories.of_batch(before.id)
        if job.job not in {last, without}
    )
    return most is not None and failed >= most


def edited(stories: Stories, event: ev.Edited, before: BatchState) -> None:
    """A person changes how many failures a batch bears. Others may run after all, behind the last job."""
    spec, most = stories.spec_of(before.id), stories.limits_of[before.id].max_failures
    if spec.last_job is None or event.max_failures is None:
        return
    others = [(id_, story) for id_, story in stories.of_batch(before.id) if id_.job != spec.last_job]
    are_idle = not any(story.holder or story.to_archive for _, story in others)
    wait = any(before.status[before.rows[id_.job]] == Status.QUEUED for id_, _ in others)
    goes_on = _has_given_up(stories, before, most) and not _has_given_up(
        stories, before, event.max_failures or None
    )
    row = before.rows[spec.last_job]
    if are_idle and wait and goes_on and not before.kill_wanted(row):
        _outdate(stories.of[before.job_id(row)])


def retried(stories: Stories, before: BatchState, again: set[str]) -> None:
    """A person has these jobs of a batch run again, which failed or were killed."""
    last = stories.spec_of(before.id).last_job
    if last is None or (before.killed is not None and before.end is None) or before.ran_at is not None:
        return
    is_killed = before.status[before.rows[last]] == Status.KILLED
    if again - {last} and not is_killed:
        _outdate(stories.of[before.job_id(before.rows[last])])


def runs_again(stories: Stories, before: BatchState, job: str) -> None:
    """A job that was over runs again: its failure is taken back, or it is given to a node, and killed.

    Or it begins although the batch has given up, for a scheduler had decided on that before.
    """
    last = stories.spec_of(before.id).last_job
    if last in {None, job} or last is None:
        return
    row = before.rows[last]
    was_over = before.status[before.rows[job]] in OVER or _was_given_up(stories, before, job, last)
    was_open = was_over and not before.unarchived.keys() - {row}
    if was_open and before.end is None and not before.kill_wanted(row):
        _outdate(stories.of[before.job_id(row)])


def _was_given_up(stories: Stories, before: BatchState, job: str, last: str) -> bool:
    """Did the last job count this one as over, and all others, too, because too many have failed?"""
    others = [
        (before.status[before.rows[id_.job]], story.holder)
        for id_, story in stories.of_batch(before.id)
        if id_.job not in {job, last}
    ]
    rests = all(holder is None and status != Status.RETRYING for status, holder in others)
    most = stories.limits_of[before.id].max_failures
    return rests and before.status[before.rows[job]] == Status.QUEUED and _has_given_up(stories, before, most)


def excused(stories: Stories, before: BatchState, job: str) -> None:
    """A failure is taken back. If enough others have failed, neither the job nor the last one begins."""
    most = stories.limits_of[before.id].max_failures
    if not _has_given_up(stories, before, most, without=job):
        runs_again(stories, before, job)


def _outdate(story: Story) -> None:
    """The last job has not seen what others will leave."""
    if story.holder is not None:
        story.outdated = True
    elif story.succeeded or (story.failures > story.retries and not story.runs_again):
        story.succeeded, story.failures, story.suspect = False, 0, None


def ended(story: Story, before: BatchState, event: ev.JobEvent) -> None:
    """No node has a job any more. If it is outdated, it runs again, unless nobody wants it any more."""
    wanted = before.end is None and not before.kill_wanted(before.rows[event.job])
    if story.outdated and wanted:
        story.succeeded, story.failures, story.suspect = False, 0, None


def with_last_job(spec: BatchSpec) -> BatchSpec:
    """The batch, whose last job runs when all others are over, if it has others."""
    jobs = spec.work.jobs
    return spec.model_copy(update={"last_job": jobs[-1].name}) if len(jobs) > 1 else spec
