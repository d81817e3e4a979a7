"""What jobs printed: live while they run, from their archived outputs afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.job_log import JobReader
from distribute.client.output_text import Text, live_text, stored_text
from distribute.client.queries import no_such_batch, no_such_job
from distribute.client.standing import ask_standing
from distribute.client.words import argument, printable
from distribute.core.errors import LogReplaced, Refused
from distribute.core.folding.outcomes import process_end
from distribute.core.log.events import Collected, Ending, Finished
from distribute.core.projections.attempts import JobAttempts
from distribute.core.state.state import ENDED
from distribute.core.words import counted
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.client.standing import Outcome
    from distribute.core.ids import JobId
    from distribute.ports import Cluster, Place


class JobOutput(NamedTuple):
    """What one attempt of a job printed: its number, and the text piece by piece.

    Call `finished` when the text has ended: it tells how the attempt ended. None: it goes on, or was lost.
    """

    attempt: int
    pieces: Text
    finished: Callable[[], Ending | None]


async def job_output(
    cluster: Cluster, job: JobId, attempt: int | None = None, *, follow: bool = False
) -> JobOutput:
    """What an attempt printed: all of it once it has finished, or up to now; with `follow`, until it is over.

    Args:
        cluster: where the job is.
        job: which.
        attempt: its number, from 1 on. None: the last attempt.
        follow: go on while it runs.

    Raises:
        Refused: there is no such batch, job or attempt, or the job has not run yet.
    """
    told = await ask_standing(cluster, job.batch_id, job.job)
    if told is not None and told.course.exists:
        if told.outcome is None:
            raise no_such_job(job)
        ran_elsewhere = told.document is not None and told.document.get("ran_at") is not None
        ending = Collected if ran_elsewhere else Finished
        finished = await _last_finished(cluster, job, told.outcome, ending)
        if finished is not None and attempt in {None, finished.attempt}:
            return JobOutput(finished.attempt, stored_text(cluster, finished.outputs), lambda: finished)
    reader = JobReader(cluster, job)
    followed_from = await cluster.log.end()
    await reader.read_to_now()
    attempts = reader.attempts
    _refuse_unknown(attempts, attempt)
    number = attempt or max(attempts.attempts)
    record = attempts.attempts[number]

    def last_finished() -> Ending | None:
        record = reader.attempts.attempts.get(number)
        return record.finished if record is not None else None

    if record.finished is not None or record.outputs is not None:
        return JobOutput(number, stored_text(cluster, record.outputs), last_finished)
    over = partial(_over, cluster, reader, number, followed_from) if follow else partial(asyncio.sleep, 0)
    batch = attempts.story.state
    assert batch is not None, "the attempt is there, so its batch is"
    # What was printed before is of an earlier batch of the name, unless the attempt goes on of that.
    since = min(batch.submitted_at, batch.submitted_at if record.assigned_at is None else record.assigned_at)
    return JobOutput(number, live_text(cluster, job, number, since, over), last_finished)


async def _last_finished(cluster: Cluster, job: JobId, outcome: Outcome, kind: type[Ending]) -> Ending | None:
    """The end of a job's last attempt. None: it is not over, or nobody said how it ended.

    `kind`: the kind of event that ends jobs of its batch.

    Of all that say so, the batch accepted the one by which it ended at that time.
    """
    if not outcome.finished_at:
        return None
    until = await cluster.log.last_seq()
    async with aclosing(cluster.log.follow(after=0, only=Only(scope=job), until=until)) as following:
        async for events in following:
            for _, time, event in events:
                if not isinstance(event, kind):
                    continue
                said = process_end(time, event), event.node, event.attempt
                if said == (outcome.finished_at, outcome.node, outcome.attempt):
                    return event
    return None


def _refuse_unknown(attempts: JobAttempts, attempt: int | None) -> None:
    job, batch = attempts.job, attempts.story.state
    if batch is None:
        raise no_such_batch(job.batch_id)
    name, batch_name = printable(str(job)), argument(str(job.batch_id))
    if job.job not in batch.rows:
        raise no_such_job(job)
    if not attempts.attempts and batch.status[batch.rows[job.job]] in ENDED:
        raise Refused(f"{name} never ran; `distribute status {argument(str(job))}` says why")
    if not attempts.attempts:
        raise Refused(f"{name} has not run yet; `distribute watch {batch_name}` shows progress")
    if attempt is not None and attempt not in attempts.attempts:
        had = counted(len(attempts.attempts), "attempt")
        raise Refused(f"{name} has had {had}: there is no attempt {attempt}")


async def _over(cluster: Cluster, reader: JobReader, number: int, place: Place) -> None:
    """Return when an attempt has finished, was taken from its node, or is of a batch that was deleted.

    `place` is one up to which the reader has read. Survives a log that was replaced.
    """
    while True:
        try:
            await _over_in(cluster, reader, number, place)
        except LogReplaced:
            place = await cluster.log.end()
            reader.begin_anew()
            await reader.read_to_now()
        else:
            return


async def _over_in(cluster: Cluster, reader: JobReader, number: int, place: Place) -> None:
    """As `_over`, as long as the log is this one.

    All of what ends an attempt begins with an event of the job itself: a batch that is deleted ended before.
    """
    only = Only(scope=reader.attempts.job)
    async with aclosing(cluster.log.follow(after=place.seq, at=place.time, only=only)) as following:
        while True:
            record = reader.attempts.attempts.get(number)
            if record is None or record.ended_at is not None:
                return
            await anext(following)
            await reader.read_to_now()
