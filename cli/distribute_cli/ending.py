"""Following a batch to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from distribute.core.events import (
    BatchArchived,
    Completed,
    Deleted,
    Recorded,
    RetryRequested,
    Submitted,
)
from distribute.ports import Only
from distribute_cli.output import Bar, Output, argument, printable
from distribute_cli.reads import Reads, no_such_batch

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.core.state import BatchEnd
    from distribute.ports import Cluster

logger = logging.getLogger(__name__)

TURNS = frozenset({"submitted", "retry_requested", "completed", "batch_archived", "deleted"})
"""The events that decide whether a batch is over."""

REFRESH_S = 0.2
"""The figures beside a progress bar are asked for at most this often."""


class Course(NamedTuple):
    """How far a batch has come. `seq` 0: there is none of this name; `end` None: it is not over.

    Times are the log's, in seconds since 1970.
    """

    seq: int = 0
    submitted_at: float = 0.0
    end: BatchEnd | None = None
    reason: str | None = None
    finished_at: float | None = None
    archived: bool = False

    def after(self, recorded: Recorded) -> Course:
        """The course once this event of the batch is known."""
        match recorded.event:
            case Submitted():
                return Course(recorded.seq, recorded.time)
            case RetryRequested():
                return Course(self.seq, self.submitted_at)
            case Completed(state=state, reason=reason):
                return self._replace(end=state, reason=reason, finished_at=recorded.time)
            case BatchArchived():
                return self._replace(archived=True)
            case Deleted():
                return Course()
            case _:
                return self


class Followed(NamedTuple):
    """A course, and the sequence up to which it is known."""

    course: Course
    seq: int


async def course_so_far(cluster: Cluster, batch: BatchId) -> Followed:
    """The batch's course up to now, read from the log itself."""
    now = await cluster.log.last_seq()
    course = Course()
    if now:
        async for events in cluster.log.follow(after=0, only=Only(types=TURNS, batch=batch), until=now):
            course = _advance(course, events)
    return Followed(course, now)


def _advance(course: Course, events: Sequence[Recorded]) -> Course:
    for recorded in events:
        course = course.after(recorded)
    return course


async def follow_to_end(cluster: Cluster, batch: BatchId, *, archived: bool = True) -> Course:
    """Wait until a batch is over and, where `archived`, its results are in the archive.

    Raises:
        Refused: there is no such batch, or it is deleted meanwhile.
    """
    course, seq = await course_so_far(cluster, batch)
    _refuse_if_absent(course, batch)
    if _over(course, archived=archived):
        return course
    async for events in cluster.log.follow(after=seq, only=Only(types=TURNS, batch=batch)):
        course = _advance(course, events)
        _refuse_if_absent(course, batch)
        if _over(course, archived=archived):
            return course
    raise AssertionError("following without a last sequence never ends")


async def watch_to_end(cluster: Cluster, reads: Reads, batch: BatchId, bar: Bar) -> Course:
    """Like `follow_to_end`, with the batch's figures shown as its events come in."""
    changed = asyncio.Event()
    changed.set()
    async with _beside(_show_figures(reads, batch, bar, changed), _stir(cluster, batch, changed)):
        course = await follow_to_end(cluster, batch)
    await _show(reads, batch, bar)
    return course


@asynccontextmanager
async def _beside(*side_work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run what only serves the display beside the block. Should it fail, the block goes on without it."""
    tasks = [asyncio.create_task(work) for work in side_work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                logger.warning("the batch's figures could not be shown to the end", exc_info=outcome)


async def _stir(cluster: Cluster, batch: BatchId, changed: asyncio.Event) -> None:
    """Tell of every change of the batch."""
    after = await cluster.log.last_seq()
    async for _ in cluster.log.follow(after=after, only=Only(batch=batch)):
        changed.set()


async def _show_figures(reads: Reads, batch: BatchId, bar: Bar, changed: asyncio.Event) -> None:
    """Show the figures whenever they change, at most once in `REFRESH_S`."""
    while True:
        await changed.wait()
        changed.clear()
        await _show(reads, batch, bar)
        await asyncio.sleep(REFRESH_S)


async def _show(reads: Reads, batch: BatchId, bar: Bar) -> None:
    found = await reads.counts(batch)
    if found is None:
        return
    jobs = found["jobs"]
    over = jobs["succeeded"] + jobs["failed"] + jobs["killed"]
    named = [f"{jobs[key]} {key}" for key in ("running", "queued", "failed", "killed") if jobs[key]]
    bar.update(over, jobs["total"], ", ".join(named))


async def watch_through(cluster: Cluster, reads: Reads, output: Output, batch: BatchId) -> int:
    """Show a batch's progress to its end, and say how it ended. Returns the exit code that says it."""
    with output.bar(printable(str(batch))) as bar:
        course = await watch_to_end(cluster, reads, batch, bar)
    return await tell_end(output, reads, batch, course)


async def tell_end(output: Output, reads: Reads, batch: BatchId, course: Course) -> int:
    """Say how a batch ended. Returns the exit code that says it to the shell."""
    from distribute.core.views import rfc3339

    found = await reads.counts(batch) or {"namespace": batch.namespace, "batch": batch.batch}
    # The scheduler may not have read yet what this process has: what the log says of the end is final.
    found |= {"state": course.end, "archived": course.archived, "finished_at": rfc3339(course.finished_at)}
    name = printable(str(batch))
    figures = ""
    if "jobs" in found:
        jobs = found["jobs"]
        badly = [f"{jobs[key]} {key}" for key in ("failed", "killed") if jobs[key]]
        figures = ": " + ", ".join([f"{jobs['succeeded']} of {jobs['total']} jobs succeeded", *badly])
    why = f" ({printable(course.reason)})" if course.reason else ""
    output.done(f"{name} {course.end}{figures}{why}", found)
    return 0 if course.end == "completed" else 1


def hint_results(output: Output, batch: BatchId) -> None:
    """Tell a person what to do with a batch that is over."""
    name = argument(str(batch))
    output.hint(f"`distribute pull {name}` brings its results; `distribute status {name}` lists its jobs")


def _over(course: Course, *, archived: bool) -> bool:
    return course.end is not None and (course.archived or not archived)


def _refuse_if_absent(course: Course, batch: BatchId) -> None:
    if not course.seq:
        raise no_such_batch(batch)
