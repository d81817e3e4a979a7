"""Moving a job: its node gives it back, and it runs again, at another node if one can take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from distribute.client.batch_log import read_standing
from distribute.client.control import WAITING
from distribute.client.documents import GONE, OVER
from distribute.client.job_story import read_story
from distribute.client.saying import names_of, refuse_anothers, refuse_over, say_of_batch
from distribute.client.words import printable
from distribute.core.errors import Refused
from distribute.core.log.change_events import MoveRequested

if TYPE_CHECKING:
    from distribute.client.documents import JobStory
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.core.ids import JobId
    from distribute.core.log.events import Event
    from distribute.core.projections.course import Course
    from distribute.ports import Cluster


class Moving(NamedTuple):
    """A job that is moved: the `attempt` at `node` that is given back.

    `moved_by`: who had moved it already, and then nothing was asked for. `others`: how many other nodes that
    are here could ever run it; if there is none, it may run at its node again. `held_by`: who holds its
    batch, so that it then waits until somebody releases that.
    """

    node: str
    attempt: int
    user: str
    moved_by: str | None
    others: int
    held_by: str | None = None


async def move(
    cluster: Cluster, queries: Queries, person: Person, job: JobId, *, force: bool = False, dry: bool = False
) -> Moving:
    """Have a job's node give it back. It runs again, at another node if one can; what it left is archived.

    Args:
        cluster: where it is.
        queries: tells how the job stands.
        person: who moves it.
        job: which.
        force: also if it is another person's.
        dry: only check that it could be moved.

    Raises:
        Refused: there is no such batch or job, no node has it, it is being killed, or is another person's, or
            its batch begins no further job.
    """
    batch = job.batch_id

    def refuse(course: Course) -> None:
        refuse_over(batch, course, "move")
        refuse_anothers(batch, course.user, person, "move", force=force)
        if course.given_up:
            name = printable(str(batch))
            raise Refused(
                f"{name} begins no further job (max_failures), so a job that is moved would be lost"
            )

    course, _ = await read_standing(cluster, batch)
    refuse(course)
    story = await read_story(cluster, queries, job)
    _refuse_idle(story, printable(str(job)))
    resources = story["resources"]
    match = await queries.match(story["capabilities"], [None if resources is None else {**resources}])
    node, moved_by = story["node"] or "", story.get("moved_by")
    others = max(0, match["fit"][0] - await _is_here(queries, node))
    moving = Moving(node, story["attempt"], course.user, moved_by, others, course.held_by)

    def event_of(course: Course) -> Event:
        refuse(course)
        names = names_of(batch, course)
        return MoveRequested(**person.stamp(), **names, job=job.job, attempt=moving.attempt)

    if moved_by is None and not dry:
        await say_of_batch(cluster, batch, course, event_of)
    return moving


async def _is_here(queries: Queries, name: str) -> bool:
    """Is the node here, so that it counts among those that could run its job?"""
    return any(
        node["node"] == name and node["state"] not in GONE for node in (await queries.nodes())["nodes"]
    )


def _refuse_idle(story: JobStory, name: str) -> None:
    """Raise `Refused` if no node has the job, or it is being killed."""
    state, killed_by = story["state"], story["killed_by"]
    if state in WAITING:
        raise Refused(f"{name} waits: only a job that a node has can be moved")
    if state in OVER:
        raise Refused(f"{name} is over ({state}): only a job that a node has can be moved")
    if killed_by is not None:
        raise Refused(f"{name} is being killed by {printable(killed_by)}: it can't be moved")
