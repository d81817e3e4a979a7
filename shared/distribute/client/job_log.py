"""Reading the attempts of one job from the log. To fold a batch of 100,000 jobs takes a minute."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from distribute.client.batch_log import BATCH_TYPES, BatchReader
from distribute.client.standing import ask_standing
from distribute.core.errors import UnreadableEvent
from distribute.core.projections.attempts import JobAttempts, attempts_alone
from distribute.core.recorded import Recorded
from distribute.lazy_submission import Submission
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.core.ids import JobId
    from distribute.core.projections.course import Course
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
        batch = self._job.batch_id
        told = await ask_standing(self._cluster, batch)
        if told is None or not told.course.exists:
            return None
        submitted = await self._submitted(told.course)
        if submitted is None:
            return None
        after = told.course.seq
        of_batch = await self._events(Only(types=BATCH_TYPES - {"submitted"}, batch=batch), after)
        of_job = await self._events(Only(scope=self._job), after)
        return attempts_alone(self._job, [submitted, *of_batch, *of_job], told.course)

    async def _submitted(self, course: Course) -> Recorded | None:
        """The submission with only this job: to decode 100,000 takes seconds. None: it is not in the log."""
        try:
            raw = await self._cluster.log.get_raw(course.seq)
            submission = await Submission.read(raw.payload)
            event = submission.event_of(self._job.job)
        except (KeyError, UnreadableEvent):
            return None
        is_right = (event.scope, event.id) == (self._job.batch_id, course.submission)
        return Recorded(raw.seq, raw.time, event) if is_right else None

    async def _events(self, only: Only, after: int) -> list[Recorded]:
        log = self._cluster.log
        found: list[Recorded] = []
        until = await log.last_seq()
        async with aclosing(log.follow(after=after, only=only, until=until)) as reading:
            async for events in reading:
                found += events
        return found
