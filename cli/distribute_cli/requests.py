"""What a person asks of a batch, as events: kill, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.core.errors import Conflict, Refused
from distribute.core.events import Deleted, Event, Guard, KillRequested, guard_scope
from distribute_cli.ending import Course, course_so_far, follow_to_end
from distribute_cli.output import printable
from distribute_cli.reads import no_such_batch
from distribute_cli.session import stamp

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster


async def request_kill(cluster: Cluster, batch: BatchId, job: str | None = None) -> None:
    """Ask for a batch, or one job of it, to be stopped.

    Raises:
        Refused: there is no such batch, or it is over.
    """
    if not await _kill_if_running(cluster, batch, job):
        raise Refused(
            f"{printable(str(batch))} is over: there is nothing to kill; `distribute status` tells more"
        )


async def delete_batch(cluster: Cluster, batch: BatchId) -> None:
    """Delete a batch; one that still runs is killed first, and its end awaited.

    Raises:
        Refused: there is no such batch.
    """
    if await _kill_if_running(cluster, batch, None):
        await follow_to_end(cluster, batch, archived=False)
    deleted = Deleted(**stamp(), namespace=batch.namespace, batch=batch.batch)
    while True:
        last_seq, course = await _standing(cluster, batch, deleted)
        if course.end is None:
            raise Refused(f"{printable(str(batch))} runs again: somebody had it retried; it was not deleted")
        if await _appended(cluster, deleted, last_seq):
            return


async def _kill_if_running(cluster: Cluster, batch: BatchId, job: str | None) -> bool:
    """Ask for a batch or job to be stopped. False: the batch is over."""
    event = KillRequested(**stamp(), namespace=batch.namespace, batch=batch.batch, job=job)
    while True:
        last_seq, course = await _standing(cluster, batch, event)
        if course.end is not None:
            return False
        if await _appended(cluster, event, last_seq):
            return True


async def _standing(cluster: Cluster, batch: BatchId, event: Event) -> tuple[int, Course]:
    """How a batch stands, and the last sequence that this takes in, for the guard of `event`."""
    last = await cluster.log.last(guard_scope(event))
    course = (await course_so_far(cluster, batch)).course
    if last is None or not course.seq:
        raise no_such_batch(batch)
    return last.seq, course


async def _appended(cluster: Cluster, event: Event, last_seq: int) -> bool:
    """Append to a scope whose last event is known. False: another came first, so look again."""
    try:
        await cluster.log.append(event, Guard(last_seq))
    except Conflict:
        return False
    return True
