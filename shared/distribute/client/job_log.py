"""Reading the attempts of one job from the log. To fold a batch of 100,000 jobs takes a minute."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.batch_log import BATCH_TYPES, BatchReader
from distribute.client.standing import ask_standing
from distribute.core.errors import UnreadableEvent
from distribute.core.log.recorded import Recorded
from distribute.core.projections.attempts import JobAttempts, attempts_alone
from distribute.lazy_submission import Submission
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.core.ids import JobId
    from distribute.core.projections.course import Course
    from distribute.core.spec.specs import BatchSpec
    from distribute.ports import Cluster


class JobReader:
    """Reads the attempts of a job: from a few events if the scheduler answers, else by folding its batch."""

    def __init__(self, cluster: Cluster, job: JobId) -> None:
        self.attempts = JobAttempts(job)
        """What was read."""
        self._cluster = cluster
        self._job = job
        self._whole: BatchReader | None = None

    def begin_anew(self) -> None:
        """Read everything again at the next turn: the log was replaced."""
        self.attempts, self._whole = JobAttempts(self._job), None

    async def read_to_now(self) -> None:
        """Read what is in the log by now."""
        if self._whole is None:
            attempts = await self._read_alone()
            if attempts is not None:
                self.attempts = attempts
                return
            self.attempts = JobAttempts(self._job)
            self._whole = BatchReader(self._cluster, self._job.batch_id, self.attempts.fold)
        await self._whole.read_to_now()

    async def _read_alone(self) -> JobAttempts | None:
        """The attempts, from the events of the job and of its batch's scope. None: these do not suffice."""
        told = await read_alone(self._cluster, self._job)
        return None if told is None else attempts_alone(self._job, told.events, told.course)


class Alone(NamedTuple):
    """The events of one job and of its batch's own scope, from the submission on: with only this job in it.

    `spec` is that of the submission. `seq` is the last that was in the log.
    """

    course: Course
    spec: BatchSpec
    events: list[Recorded]
    seq: int


async def read_alone(cluster: Cluster, job: JobId) -> Alone | None:
    """Read what there is of one job. None: only all events of its batch tell, or the batch is gone.

    They do if the scheduler can't say how the batch stands, or the job is kept of a batch that was replaced.
    """
    told = await ask_standing(cluster, job.batch_id)
    if told is None or not told.course.exists:
        return None
    found = await read_submission(cluster, job, told.course)
    if found is None:
        return None
    submission, submitted = found
    if (known := submission.job(job.job)) is not None and known.kept:
        return None
    after, until = told.course.seq, await cluster.log.last_seq()
    only = Only(types=BATCH_TYPES - {"submitted"}, batch=job.batch_id)
    of_batch, of_job = await asyncio.gather(
        read_events(cluster, only, after, until), read_events(cluster, Only(scope=job), after, until)
    )
    return Alone(told.course, submission.spec, [submitted, *of_batch, *of_job], until)


async def read_submission(cluster: Cluster, job: JobId, course: Course) -> tuple[Submission, Recorded] | None:
    """The submission with only this job: to decode 100,000 takes seconds. None: it is not in the log."""
    try:
        raw = await cluster.log.get_raw(course.seq)
        submission = await Submission.read(raw.payload)
        event = submission.event_of(job.job)
    except (KeyError, UnreadableEvent):
        return None
    is_right = (event.scope, event.id) == (job.batch_id, course.submission)
    return (submission, Recorded(raw.seq, raw.time, event)) if is_right else None


async def read_events(cluster: Cluster, only: Only, after: int, until: int) -> list[Recorded]:
    """The events that `only` selects, behind `after` and up to `until`."""
    found: list[Recorded] = []
    async with aclosing(cluster.log.follow(after=after, only=only, until=until)) as reading:
        async for events in reading:
            found += events
    return found
