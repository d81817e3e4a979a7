"""What a person asks for, as events: kill and delete a batch, drain a node."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from distribute.client.appending import Appender, append_behind
from distribute.client.batch_log import read_standing
from distribute.client.documents import GONE, OVER
from distribute.client.queries import no_such_node
from distribute.client.removal import remove
from distribute.client.saying import names_of, refuse_another, refuse_anothers, refuse_over, say_of_batch
from distribute.client.seen import refuse_acts
from distribute.client.standing import ask_standing
from distribute.client.words import printable
from distribute.core.errors import LogReplaced, Refused
from distribute.core.ids import BatchId, JobId, NodeId
from distribute.core.log.events import (
    Completed,
    Deleted,
    DrainRequested,
    Event,
    Forgotten,
    KillRequested,
    PauseRequested,
    ResumeRequested,
    Undrained,
)
from distribute.core.words import counted
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.client.documents import NodeStory
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.client.seen import Seen
    from distribute.core.projections.course import Course
    from distribute.core.state.state import BatchState
    from distribute.ports import Cluster

WAITING = frozenset({"queued", "retrying"})


async def kill(
    cluster: Cluster,
    queries: Queries,
    person: Person,
    target: BatchId | JobId,
    *,
    only_queued: bool = False,
    force: bool = False,
    dry: bool = False,
) -> str | None:
    """Ask for a batch, or one job of it, to be stopped. What a running job has left by then is kept.

    Args:
        cluster: where it is.
        queries: tells how the job stands.
        person: who wants it stopped.
        target: which.
        only_queued: stop only what waits; what runs goes on.
        force: also if it is another person's.
        dry: only check that it could be killed.

    Returns:
        Who has killed it already, and then there is nothing more to ask for. None: nobody had.

    Raises:
        Refused: there is no such batch or job, it is over, it is another person's, or nothing of it waits.
    """
    batch, job = (target.batch_id, target.job) if isinstance(target, JobId) else (target, None)
    course, _ = await read_standing(cluster, batch)
    _refuse_kill(course, batch, person, force=force)
    killed_by = await _killed_by(queries, course, target, only_queued=only_queued)

    def event_of(course: Course) -> Event:
        _refuse_kill(course, batch, person, force=force)
        state: Literal["queued"] | None = "queued" if only_queued else None
        return KillRequested(**person.stamp(), **names_of(batch, course), job=job, state=state)

    if killed_by is None and not dry:
        await say_of_batch(cluster, batch, course, event_of)
    return killed_by


async def _killed_by(
    queries: Queries, course: Course, target: BatchId | JobId, *, only_queued: bool
) -> str | None:
    """Who has killed a batch or job. Raises `Refused` if the job is over, or nothing of it waits."""
    name = printable(str(target))
    if not isinstance(target, JobId):
        if only_queued and course.killed_by is None:
            jobs = (await queries.batch(target, most=0))["jobs"]
            if not jobs["queued"]:
                raise Refused(f"no job of {name} waits: there is nothing to kill")
        return course.killed_by
    found = await queries.job(target)
    if found["state"] in OVER:
        raise Refused(f"{name} is over ({found['state']}): there is nothing to kill")
    if only_queued and found["killed_by"] is None and found["state"] not in WAITING:
        raise Refused(
            f"{name} does not wait, it is {found['state']}: leave out --state to kill it all the same"
        )
    return found["killed_by"]


def _refuse_kill(course: Course, batch: BatchId, person: Person, *, force: bool) -> None:
    refuse_over(batch, course, "kill")
    refuse_anothers(batch, course.user, person, "kill", force=force)


async def delete(
    cluster: Cluster,
    person: Person,
    batch: BatchId,
    *,
    seen: Seen | None = None,
    replacing: bool = False,
    force: bool = False,
) -> None:
    """Delete a batch: its results and its entry. One that still runs is killed first, and its end awaited.

    Args:
        cluster: where it is.
        person: who deletes it.
        batch: which.
        seen: how it stood when the person decided that. None: whichever has the name now.
        replacing: it makes room for another batch of its name, so its end is what causes the deletion.
        force: also if it is another person's.

    Raises:
        Refused: there is no such batch, it is another person's, another one has its name by now, or somebody
            did something to it after the person saw it.
    """
    last_word = _Deletion(person, replacing=replacing)
    while True:
        try:
            if await _delete_ended(cluster, batch, last_word, seen=seen, force=force):
                return
            await remove(cluster, person, batch, last_word, seen=seen, force=force)
        except LogReplaced:
            # As after a restore from an older copy: what was folded is invalid.
            cluster.log.begin_anew()
        else:
            return


async def _delete_ended(
    cluster: Cluster, batch: BatchId, last_word: _Deletion, *, seen: Seen | None, force: bool
) -> bool:
    """Delete a batch that is over, as the scheduler says. False: it is not, or another event came first."""
    told = await ask_standing(cluster, batch)
    if told is None or told.course.end is None:
        return False
    course = told.course
    if seen is not None:
        otherwise = f"it was not {last_word.done}"
        refuse_another(batch, course, seen.course, otherwise)
        await refuse_acts(cluster, batch, seen, told.seq, otherwise)
    refuse_anothers(batch, course.user, last_word.person, last_word.verb, force=force)
    ended_by = await _id_of_end(cluster, batch, course) if last_word.replacing else None
    event = last_word.deleted(batch, course.submission, ended_by)
    return await Appender(cluster.log).append(event, told.under_seq) is not None


async def _id_of_end(cluster: Cluster, batch: BatchId, course: Course) -> str | None:
    """The id of the event that ended a batch: of all that say so, the one of this time was accepted."""
    until = await cluster.log.last_seq()
    async with aclosing(cluster.log.follow(after=course.seq, only=Only(scope=batch), until=until)) as said:
        async for events in said:
            for recorded in events:
                if isinstance(recorded.event, Completed) and recorded.time == course.finished_at:
                    return recorded.event.id
    return None


class _Deletion:
    """The last word of a batch that is deleted. `replacing`: its end is what causes the deletion."""

    def __init__(self, person: Person, *, replacing: bool) -> None:
        self.verb = "replace" if replacing else "delete"
        self.done = "replaced" if replacing else "deleted"
        self.person = person
        self.replacing = replacing

    def is_due(self, batch: BatchState) -> bool:
        """As `LastWord.is_due`: as soon as the batch is over."""
        return batch.end is not None

    async def event(self, batch: BatchState, ended_by: str | None) -> Event:
        """As `LastWord.event`."""
        return self.deleted(batch.id, batch.submission, ended_by if self.replacing else None)

    def deleted(self, batch: BatchId, submission: str | None, causation: str | None) -> Event:
        """The deletion of the batch with this submission."""
        names = {**batch._asdict(), "submission": submission}
        return Deleted(**self.person.stamp(), **names, causation=causation)


async def drain(
    cluster: Cluster,
    queries: Queries,
    person: Person,
    node: str,
    *,
    reason: str = "",
    until: datetime | None = None,
    dry: bool = False,
) -> NodeStory:
    """Have a node take no new jobs. What runs there goes on.

    Args:
        cluster: where the node is.
        queries: tells whether it exists.
        person: who wants it.
        node: its name.
        reason: why; people see it beside the node.
        until: when it takes jobs again. None: when somebody says so (`undrain`).
        dry: only check that it could be drained.

    Returns:
        How the node stood before.

    Raises:
        Refused: there is no such node.
    """
    found = await queries.node(node)
    refuse_expected(found)
    if not dry:
        await say_of_node(cluster, DrainRequested(**person.stamp(), node=node, reason=reason, until=until))
    return found


async def undrain(
    cluster: Cluster, queries: Queries, person: Person, node: str, *, dry: bool = False
) -> NodeStory:
    """Let a node take jobs again. This lifts a quarantine, too. `dry`: only check that it could be.

    Returns:
        How the node stood before.

    Raises:
        Refused: there is no such node.
    """
    found = await queries.node(node)
    refuse_expected(found)
    if not dry:
        await say_of_node(cluster, Undrained(**person.stamp(), node=node))
    return found


async def forget(cluster: Cluster, queries: Queries, person: Person, node: str) -> None:
    """No longer list a node that is gone for good, or that is expected and never joined.

    If it joins again, it is listed again.

    Raises:
        Refused: there is no such node, it is not gone, or jobs of its are not given to another node yet.
    """

    async def read() -> tuple[Event, int]:
        last = await cluster.log.last(NodeId(node))
        _refuse_to_forget(await queries.node(node))  # behind that event; if it joins after it, another try
        if last is None:
            raise no_such_node(node)
        return Forgotten(**person.stamp(), node=node), last.seq

    await append_behind(cluster.log, read)


def _refuse_to_forget(node: NodeStory) -> None:
    name = printable(node["node"])
    if node["state"] not in GONE:
        raise Refused(
            f"{name} is {node['state'].replace('_', ' ')}: only a node that has left, is lost, "
            "or is expected and never joined can be forgotten"
        )
    if node["running"]:
        jobs = counted(node["running"], "job")
        raise Refused(f"{jobs} of {name} may still run there, and can't be forgotten: kill them first")


def refuse_expected(node: NodeStory) -> None:
    """Raise `Refused` if the node has never joined: nothing can be said of it yet."""
    if node["state"] == "expected":
        raise Refused(f"{printable(node['node'])} is in the head's nodes file, but has not joined yet")


async def say_of_node(
    cluster: Cluster, event: DrainRequested | Undrained | PauseRequested | ResumeRequested
) -> int:
    """Append an event behind whatever is the node's last event. Returns its sequence."""

    async def read() -> tuple[Event, int]:
        last = await cluster.log.last(event.scope)
        if last is None:
            raise no_such_node(event.node)
        return event, last.seq

    return await append_behind(cluster.log, read)
