"""Saying something of a batch, behind what others said of it meanwhile, and refusing what makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from distribute.client.appending import append_behind
from distribute.client.batch_log import read_standing
from distribute.client.queries import no_such_batch
from distribute.client.words import argument, local_time, printable
from distribute.core.errors import Refused
from distribute.core.ways import Way

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.core.ids import BatchId
    from distribute.core.log.events import Event
    from distribute.core.projections.course import Course
    from distribute.ports import Cluster

NOT_REPLACED = "it was not replaced, and yours is not submitted"
"""What it comes to that a submission, which was to replace a batch, is refused."""


async def say_of_batch(
    cluster: Cluster, batch: BatchId, course: Course, event_of: Callable[[Course], Event]
) -> None:
    """Append an event about a batch.

    Args:
        cluster: where it is.
        batch: which.
        course: how it stood when the person decided on the event.
        event_of: makes the event for the batch as it stands by now, or raises if it fits no more. It is
            called again whenever another event came first.

    Raises:
        Refused: another batch has the name by now.
    """

    async def read() -> tuple[Event, int]:
        now, scope_seq = await read_standing(cluster, batch)
        refuse_another(batch, now, course)
        return event_of(now), scope_seq

    await append_behind(cluster.log, read)


def refuse_another(
    batch: BatchId, now: Course, seen: Course, otherwise: str = "nothing was done to it"
) -> None:
    """Raise `Refused` if another batch has the name by now than when a person decided what to do with it.

    Args:
        batch: the name.
        now: how the batch stands that has the name.
        seen: how the batch stood that the person saw, or that there was none.
        otherwise: what the refusal comes to.
    """
    if now.submission == seen.submission:
        return
    if not now.exists:
        raise no_such_batch(batch)
    raise changed_meanwhile(batch, now.user, "submitted another batch {batch}", now.submitted_at, otherwise)


def changed_meanwhile(batch: BatchId, who: str, did: str, at: float, otherwise: str) -> Refused:
    """The error for a batch that is not any more what a person saw.

    Args:
        batch: its name.
        who: who changed it.
        did: what they did to `{batch}`.
        at: when, in seconds since 1970 by the log's clock.
        otherwise: what the refusal comes to.
    """
    name = str(batch)
    return Refused(
        f"{printable(who)} {did.format(batch=printable(name))} meanwhile, at {local_time(at)}: {otherwise}. "
        f"Look at it with `distribute status {argument(name)}`, then try again"
    )


def names_of(batch: BatchId, course: Course) -> dict[str, str | None]:
    """The fields by which events about a batch name it."""
    return {**batch._asdict(), "submission": course.submission}


def refuse_change(batch: BatchId, course: Course, person: Person, verb: str, *, force: bool) -> None:
    """Raise `Refused` if this person can't `verb` the batch: it is over, ran elsewhere, or is another's."""
    refuse_over(batch, course, verb)
    refuse_elsewhere(batch, course)
    refuse_anothers(batch, course.user, person, verb, force=force)


def refuse_over(batch: BatchId, course: Course, verb: str) -> None:
    """Raise `Refused` if there is no such batch, or it is over: there is nothing to `verb`."""
    if not course.exists:
        raise no_such_batch(batch)
    if course.end is not None:
        raise Refused(
            f"{printable(str(batch))} is over: there is nothing to {verb}; `distribute status` tells more"
        )


def refuse_elsewhere(batch: BatchId, course: Course) -> None:
    """Raise `Refused` if the batch ran elsewhere."""
    if course.ran_at is not None:
        raise Refused(f"{printable(str(batch))} ran at {course.ran_at}, and nothing here runs it")


def refuse_compacted(
    batch: BatchId,
    course: Course,
    advice: str = "add its file once more, under another name or with --replace",
) -> None:
    """Raise `Refused` if the batch was compacted: it can be read and deleted, and nothing else."""
    if course.compacted_at is not None:
        name = printable(str(batch))
        at = local_time(course.compacted_at)
        raise Refused(f"{name} was compacted at {at}, and does not run again: {advice}")


def refuse_anothers(batch: BatchId, user: str, person: Person, verb: str, *, force: bool) -> None:
    """Raise `Refused` if a batch is not this person's own, unless that is what they want."""
    if user != person.name and not force:
        name = printable(str(batch))
        me = printable(person.name)
        what = f"{name} is {printable(user)}'s batch, and you are {me}"
        raise Refused(f"{what}: it takes force to {verb} it").with_ways(Way.FORCE)
