"""The history of a batch, a job or a node: its events from the first on, each in a sentence.

Each is read by a filter of subjects, so what else the log has costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from distribute.client.batch_log import BATCH_TYPES, has_deleted
from distribute.client.job_log import read_submission
from distribute.client.queries import no_such_batch, no_such_job, no_such_node
from distribute.client.standing import ask_standing
from distribute.core.events import BuildEvent, NodeEvent, types_of
from distribute.core.ids import BatchId, JobId, NodeId
from distribute.core.projections.attempts import with_only_job
from distribute.core.projections.course import Course
from distribute.core.projections.history import BatchHistory, JobHistory, NodeHistory, Told
from distribute.core.recorded import Recorded
from distribute.core.wording import Wording
from distribute.core.words import rfc3339
from distribute.ports import Only
from distribute.saved.log import SavedLog

if TYPE_CHECKING:
    from distribute.ports import Cluster

History = AsyncGenerator[Told, None]


def local_moment(time: datetime) -> str:
    """A time by this computer's clock, to the minute."""
    return f"{time.astimezone():%Y-%m-%d %H:%M}"


async def batch_history(cluster: Cluster, batch: BatchId) -> History:
    """What happened to a batch, to all earlier ones of its name, and to nodes while they had its jobs.

    Raises:
        UnknownName: there never was such a batch.
    """
    history = BatchHistory(batch, Wording(local_moment, batch))
    only_assigned = Only(types=frozenset({"assigned"}), batch=batch)
    nodes = await _told_of_nodes(cluster, await _given_jobs(cluster, only_assigned))
    is_known = False
    async with aclosing(_events(cluster, Only(batch=batch))) as reading:
        async for recorded in reading:
            is_known = True
            for told in _before(nodes, recorded.seq, history):
                yield told
            yield history.tell(recorded)
    if not is_known:
        raise no_such_batch(batch)
    for told in _before(nodes, None, history):
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
    history = JobHistory(job, Wording(local_moment, job.batch_id))
    nodes = await _told_of_nodes(cluster, await _given_jobs(cluster, Only(scope=job)))
    found: list[Told] = []
    async with aclosing(_events(cluster, Only(batch=job.batch_id))) as reading:
        async for recorded in reading:
            found += _before(nodes, recorded.seq, history)
            told = history.tell(recorded)
            if told is not None:
                found.append(told)
    return [*found, *_before(nodes, None, history)]


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
    since: dict[str, int] = {}
    for recorded in events:
        _note_node(since, recorded)
    nodes = await _told_of_nodes(cluster, since)
    history = JobHistory(job, Wording(local_moment, batch))
    found: list[Told] = []
    for recorded in events:
        found += _before(nodes, recorded.seq, history)
        told = history.tell(recorded, jobs.get(recorded.seq))
        if told is not None:
            found.append(told)
    found += _before(nodes, None, history)
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
    if await has_deleted(cluster, job.batch_id, until):
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


def _note_node(since: dict[str, int], recorded: Recorded) -> None:
    """Note since which sequence a node has jobs, if this is the first event that gives it one."""
    if recorded.event.type == "assigned":
        since.setdefault(recorded.event.node, recorded.seq)


async def _given_jobs(cluster: Cluster, only: Only) -> dict[str, int]:
    """The nodes that got jobs by these events, and since which sequence."""
    since: dict[str, int] = {}
    async with aclosing(_events(cluster, only)) as reading:
        async for recorded in reading:
            _note_node(since, recorded)
    return since


async def _told_of_nodes(cluster: Cluster, since: Mapping[str, int]) -> deque[Told]:
    """What happened to each node behind a sequence.

    Mostly nothing did. Otherwise, all events of the node are folded: they decide what counts. A saved log is
    read once for all nodes, because each reading goes through the whole file.
    """
    found: list[Told] = []
    if since and isinstance(cluster.log, SavedLog):
        histories = {node: NodeHistory(node, Wording(local_moment)) for node in since}
        async with aclosing(_events(cluster, Only(types=types_of(NodeEvent)))) as reading:
            async for recorded in reading:
                event = recorded.event
                if event.about == "node" and event.node in histories:
                    told = histories[event.node].tell(recorded)
                    if recorded.seq > since[event.node]:
                        found.append(told)
        return deque(found)
    for node, seq in since.items():
        last = await cluster.log.last(NodeId(node))
        if last is not None and last.seq > seq:
            async with aclosing(node_history(cluster, node)) as telling:
                found += [told async for told in telling if told.recorded.seq > seq]
    return deque(sorted(found, key=lambda told: told.recorded.seq))


def _before(nodes: deque[Told], seq: int | None, history: BatchHistory | JobHistory) -> Iterator[Told]:
    """Take what happened to nodes before this sequence. Yields what matters to the batch or job by now."""
    while nodes and (seq is None or nodes[0].recorded.seq < seq):
        told = nodes.popleft()
        event = told.recorded.event
        if event.about == "node" and history.is_concerned_by(event):
            yield told


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
