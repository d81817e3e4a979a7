"""Holding a batch, so that no job of it begins, and releasing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.client.batch_log import read_standing
from distribute.client.saying import (
    names_of,
    refuse_anothers,
    refuse_change,
    refuse_over,
    say_of_batch,
)
from distribute.client.words import printable
from distribute.core.errors import Refused
from distribute.core.log.events import Event, Held, HoldReleased

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.core.ids import BatchId
    from distribute.core.projections.course import Course
    from distribute.ports import Cluster


async def hold(
    cluster: Cluster,
    person: Person,
    batch: BatchId,
    *,
    reason: str = "",
    force: bool = False,
    dry: bool = False,
) -> str | None:
    """Let no further job of a batch begin until it is released. What nodes have goes on.

    Args:
        cluster: where it is.
        person: who holds it.
        batch: which.
        reason: why; people see it beside the batch.
        force: also if it is another person's.
        dry: only check that it could be held.

    Returns:
        Who holds it already, and then there is nothing more to ask for. None: nobody did.

    Raises:
        Refused: there is no such batch, it is over, it ran elsewhere, or it is another person's.
    """

    def event_of(course: Course) -> Event:
        refuse_change(batch, course, person, "hold", force=force)
        return Held(**person.stamp(), **names_of(batch, course), reason=reason or None)

    course, _ = await read_standing(cluster, batch)
    event_of(course)
    if course.held_by is None and not dry:
        await say_of_batch(cluster, batch, course, event_of)
    return course.held_by


async def release(
    cluster: Cluster, person: Person, batch: BatchId, *, force: bool = False, dry: bool = False
) -> str:
    """Let jobs of a held batch begin again. The arguments are those of `hold`.

    Returns:
        Who held it.

    Raises:
        Refused: there is no such batch, nobody holds it, it is over, or it is another person's.
    """

    def event_of(course: Course) -> Event:
        refuse_over(batch, course, "release")
        refuse_anothers(batch, course.user, person, "release", force=force)
        if course.held_by is None:
            raise Refused(f"nobody holds {printable(str(batch))}: there is nothing to release")
        return HoldReleased(**person.stamp(), **names_of(batch, course))

    course, _ = await read_standing(cluster, batch)
    event_of(course)
    if not dry:
        await say_of_batch(cluster, batch, course, event_of)
    assert course.held_by is not None, "else it is refused"
    return course.held_by
