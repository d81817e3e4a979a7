"""Having jobs run again that failed or were killed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from distribute.client.batch_log import read_standing
from distribute.client.queries import no_such_batch, no_such_job
from distribute.client.saying import (
    names_of,
    refuse_anothers,
    refuse_compacted,
    refuse_elsewhere,
    say_of_batch,
)
from distribute.client.words import argument, printable
from distribute.core.errors import Refused
from distribute.core.ids import JobId
from distribute.core.log.event_base import MAX_RETRIED
from distribute.core.log.events import Event, RetryRequested
from distribute.core.words import few

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.core.ids import BatchId
    from distribute.core.projections.course import Course
    from distribute.ports import Cluster

Outcome = Literal["failed", "killed"]

_HAPPENED: Mapping[Outcome | None, str] = {
    "failed": "failed",
    "killed": "were killed",
    None: "failed or were killed",
}
"""What happened to the jobs that a person wants, in words."""


class Retried(NamedTuple):
    """How many jobs run again that failed, and how many that were killed."""

    failed: int
    killed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.failed + self.killed


async def retry(
    cluster: Cluster,
    queries: Queries,
    person: Person,
    batch: BatchId,
    jobs: Sequence[str] = (),
    *,
    only: Outcome | None = None,
    hold: bool = False,
    force: bool = False,
    dry: bool = False,
) -> Retried:
    """Have jobs of a batch run again that failed or were killed. What succeeded, and was built, is kept.

    A batch that is over goes on, and ends again. The job that runs after all others does so once more.

    Args:
        cluster: where it is.
        queries: tells how its jobs stand.
        person: who wants it.
        batch: which.
        jobs: the names of those that run again. None named: all that failed or were killed.
        only: only those that failed, or that were killed.
        hold: hold the batch, so that none of them begins before somebody releases it.
        force: also if it is another person's.
        dry: only say which jobs would run again.

    Raises:
        Refused: there is no such batch or job, a job can't be retried or there is none to retry, the batch is
            being killed, was compacted, ran elsewhere, or is another person's.
    """

    def refuse(course: Course) -> None:
        if not course.exists:
            raise no_such_batch(batch)
        refuse_elsewhere(batch, course)
        refuse_anothers(batch, course.user, person, "retry", force=force)
        refuse_compacted(batch, course)
        if course.killed_by is not None and course.end is None:
            raise Refused(
                f"{printable(str(batch))} is still being killed: wait until it is over, "
                f"`distribute wait {argument(str(batch))}`"
            )

    def event_of(some: tuple[str, ...] | None, course: Course) -> Event:
        refuse(course)
        return RetryRequested(
            **person.stamp(),
            **names_of(batch, course),
            failed_only=only == "failed",
            killed_only=True if only == "killed" else None,
            jobs=some,
            hold=True if hold else None,
        )

    course, _ = await read_standing(cluster, batch)
    refuse(course)
    named = tuple(dict.fromkeys(jobs))
    retried = await (_of_jobs(queries, batch, named, only) if named else _of_all(queries, batch, only))
    for some in _parts(named) if not dry else ():
        await say_of_batch(cluster, batch, course, partial(event_of, some))
    return retried


async def matching_jobs(
    queries: Queries, batch: BatchId, pattern: re.Pattern[str], *, only: Outcome | None = None
) -> list[str]:
    """The jobs of a batch that could be retried, and of whose names the pattern matches a part.

    Raises:
        Refused: there is no such batch.
    """
    states = ["failed", "killed"] if only is None else [only]
    found = (await queries.batch(batch, states=states))["job_list"]
    return [job["job"] for job in found if pattern.search(job["job"])]


def _parts(jobs: tuple[str, ...]) -> list[tuple[str, ...] | None]:
    """The jobs of each event. None: all."""
    return [jobs[first : first + MAX_RETRIED] for first in range(0, len(jobs), MAX_RETRIED)] or [None]


async def _of_all(queries: Queries, batch: BatchId, only: Outcome | None) -> Retried:
    counts = (await queries.batch(batch, most=0))["jobs"]
    found = Retried(counts["failed"] if only != "killed" else 0, counts["killed"] if only != "failed" else 0)
    if not found.total:
        raise Refused(f"no jobs of {printable(str(batch))} {_HAPPENED[only]}: there is nothing to retry")
    return found


async def _of_jobs(queries: Queries, batch: BatchId, jobs: Sequence[str], only: Outcome | None) -> Retried:
    """Of these jobs. All of them must have failed, or have been killed, as the person says."""
    states = {job["job"]: job["state"] for job in (await queries.batch(batch))["job_list"]}
    for job in jobs:
        if job not in states:
            raise no_such_job(JobId(*batch, job))
    found = [states[job] for job in jobs]
    wanted = {"failed", "killed"} if only is None else {only}
    wrong = [f"{printable(job)} ({states[job]})" for job in jobs if states[job] not in wanted]
    if wrong:
        name = printable(str(batch))
        raise Refused(f"only jobs that {_HAPPENED[only]} run again; of {name}, not {few(wrong)}")
    return Retried(found.count("failed"), found.count("killed"))
