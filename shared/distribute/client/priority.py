"""Changing the priority of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.client.batch_log import read_standing
from distribute.client.saying import names_of, refuse_change, say_of_batch
from distribute.core.log.events import Event, Reprioritized

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.core.ids import BatchId
    from distribute.core.projections.course import Course
    from distribute.ports import Cluster


async def set_priority(
    cluster: Cluster,
    person: Person,
    batch: BatchId,
    priority: int,
    *,
    force: bool = False,
    dry: bool = False,
) -> None:
    """Give a batch another priority. It counts for all its jobs that wait; what nodes have goes on.

    Args:
        cluster: where it is.
        person: who wants it.
        batch: which.
        priority: from -100 to 100; higher runs first.
        force: also if it is another person's.
        dry: only check that it could be changed.

    Raises:
        Refused: there is no such batch, it is over, it ran elsewhere, or it is another person's.
    """

    def event_of(course: Course) -> Event:
        refuse_change(batch, course, person, "prioritize", force=force)
        return Reprioritized(**person.stamp(), **names_of(batch, course), priority=priority)

    course, _ = await read_standing(cluster, batch)
    event_of(course)
    if not dry:
        await say_of_batch(cluster, batch, course, event_of)
