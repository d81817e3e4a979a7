"""The history of a batch, a job or a node: its events from the first on, each in a sentence.

Each is read by a filter of subjects, so what else the log has costs nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from distribute.client.batch_log import BATCH_TYPES, has_deleted
from distribute.client.job_log import read_submission
from distribute.client.nodes_told import NodesTold
from distribute.client.queries import no_such_batch, no_such_job, no_such_node
from distribute.client.standing import ask_standing
from distribute.client.words import local_moment
from distribute.core.ids import BatchId, JobId, NodeId
from distribute.core.log.events import BuildEvent, types_of
from distribute.core.log.recorded import Recorded
from distribute.core.projections.attempts import with_only_job
from distribute.core.projections.course import Course
from distribute.core.projections.history import BatchHistory, JobHistory, NodeHistory, Told
from distribute.core.telling.wording import Wording
from distribute.core.words import rfc3339
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.ports import Cluster

History = AsyncGenerator[Told, None]


async def batch_history(cluster: Cluster, batch: BatchId) -> History:
    """What happened to a batch, to all earlier ones of its name, and to nodes while they had its jobs.

    Raises:
        UnknownName: there never was such a batch.
    """
    history, nodes = BatchHistory(batch, Wording(local_moment, batch)), NodesTold(cluster)
    is_known = False
    async with aclosing(_events(cluster, nodes.with_nodes(Only(batch=batch)))) as reading:
        async for recorded in reading:
            await nodes.note(recorded)
            for told in nodes.before(recorded.seq, history):
                yield told
            if recorded.event.about != "node":
                is_known = True
                yield history.tell(recorded)
    if not is_known:
        raise no_such_batch(batch)
    for told in nodes.before(None, history):
        yield told


async def node_history(cluster: Cluster, node: str) -> History:
    """What happened to a node itself. What its jobs did stands in the histories of their batches.

    Raises:
        UnknownName: there never was such a node.
    """
    history = NodeHistory(node, Wording(local_moment))
    is_known = False
    async for recorded in _events(cluster, Only(scope=NodeId(node))):
        is_known = True
        yield history.tell(recorded)
    if not is_known:
        raise no_such_node(node)


async def job_history(cluster: Cluster, job: JobId) -> History:
    """What happened to a job, with what happened to its batch as a whole.

    This reads the events of the job and of its batch's own scope, if these tell for sure what counts, and
    else all events under the batch.

    Raises:
        UnknownName: there never was such a batch or job.
    """
    told = await _told_alone(cluster, job)
    if told is None:
        told = await _told_by_all(cluster, job)
    if not told:
        has_batch = await cluster.log.last(job.batch_id) is not None
        raise no_such_job(job) if has_batch else no_such_batch(job.batch_id)
    for one in told:
        yield one


async def _told_by_all(cluster: Cluster, job: JobId) -> list[Told]:
    history, nodes = JobHistory(job, Wording(local_moment, job.batch_id)), NodesTold(cluster, job)
    found: list[Told] = []
    async with aclosing(_events(cluster, nodes.with_nodes(Only(batch=job.batch_id)))) as reading:
        async for recorded in reading:
            await nodes.note(recorded)
            found += nodes.before(recorded.seq, history)
            told = history.tell(recorded) if recorded.event.about != "node" else None
            if told is not None:
                found.append(told)
    return [*found, *nodes.before(None, history)]


async def _told_alone(cluster: Cluster, job: JobId) -> list[Told] | None:
    """The history from a few events only. None: these do not suffice."""
    batch = job.batch_id
    standing = await ask_standing(cluster, batch)
    if standing is None:
        return None
    submissions = await _submissions(cluster, job, standing.course)
    if submissions is None:
        return None
    jobs = {recorded.seq: count for recorded, count in submissions}
    events = [recorded for recorded, _ in submissions]
    for only in (
        Only(types=(BATCH_TYPES - {"submitted"}) | types_of(BuildEvent), batch=batch),
        Only(scope=job),
    ):
        async with aclosing(_events(cluster, only)) as reading:
            events += [recorded async for recorded in reading]
    events.sort(key=lambda recorded: recorded.seq)
    history, nodes = JobHistory(job, Wording(local_moment, batch)), NodesTold(cluster, job)
    found: list[Told] = []
    for recorded in events:
        await nodes.note(recorded)
        found += nodes.before(recorded.seq, history)
        told = history.tell(recorded, jobs.get(recorded.seq))
        if told is not None:
            found.append(told)
    found += nodes.before(None, history)
    is_sure = history.is_sure and _agree(Course.of(history.story.state), standing.course)
    return found if is_sure else None


def _agree(alone: Course, standing: Course) -> bool:
    """Do one job's events give the same end of the batch as all events?"""
    return (alone.submission, alone.end, alone.finished_at) == (
        standing.submission,
        standing.end,
        standing.finished_at,
    )


async def _submissions(cluster: Cluster, job: JobId, course: Course) -> list[tuple[Recorded, int]] | None:
    """Every submission under the batch's name, with only this job, and how many jobs it has.

    To decode 100,000 jobs takes seconds, so of the last submission only this job is decoded. None: the log
    does not have it.
    """
    found = []
    until = course.seq - 1 if course.exists else await cluster.log.last_seq()
    if course.has_replaced or await has_deleted(cluster, job.batch_id, until):
        only = Only(types=frozenset({"submitted"}), batch=job.batch_id)
        async with aclosing(_events(cluster, only, until)) as reading:
            async for recorded in reading:
                assert recorded.event.type == "submitted", "nothing else was asked for"
                short = recorded._replace(event=with_only_job(recorded.event, job.job))
                found.append((short, len(recorded.event.spec.work.jobs)))
    if not course.exists:
        return found
    last = await read_submission(cluster, job, course)
    if last is None:
        return None
    submission, recorded = last
    return [*found, (recorded, len(submission))]


async def _events(cluster: Cluster, only: Only, until: int | None = None) -> AsyncGenerator[Recorded, None]:
    """The events that match, up to a sequence, or up to now."""
    until = await cluster.log.last_seq() if until is None else until
    if until <= 0:
        return
    async with aclosing(cluster.log.follow(after=0, only=only, until=until)) as reading:
        async for events in reading:
            for recorded in events:
                yield recorded


def event_document(recorded: Recorded) -> dict[str, Any]:
    """An event as programs get it: as it is stored, with its sequence, and with the log's time of it.

    The time by its author's clock, which may be wrong, is `author_time`.
    """
    body = recorded.event.model_dump(mode="json", exclude_none=True)
    author_time = body.pop("time")
    return {"seq": recorded.seq, "time": rfc3339(recorded.time), **body, "author_time": author_time}


def told_document(told: Told) -> dict[str, Any]:
    """The same, with its sentence, and in `misfit` why the fold refused it; None: it counts."""
    return {**event_document(told.recorded), "sentence": told.sentence, "misfit": told.misfit}
