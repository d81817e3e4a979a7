"""A batch that is over in a real stream, beside one that runs, and an archiver who compacts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from client_kit import JANE
from distribute.client.compacting import Compaction, closed_batches, compact
from distribute.client.queries import Queries
from distribute.core.errors import NobodyAnswers, Refused
from distribute.core.ids import JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.spec.specs import BatchSpec
from distribute.nats.cluster import Cluster
from distribute.ports import EventLog, Only
from distribute.testing import builders
from distribute_services.archiver.service import ArchiverService
from log_kit import append

WITHIN_S = 120.0
LATER = 4e9
"""A time in seconds since 1970, long after all tests."""
SWEEP = builders.batch(3, build="make")
OTHER = builders.batch(2, batch="other")


def life(job: str, of: BatchSpec = SWEEP) -> list[Event]:
    name = JobId(*of.id, job)
    return [
        builders.assigned(name),
        builders.claimed(name),
        builders.started(name),
        builders.finished(name, outputs=None),
    ]


async def live(cluster: Cluster) -> None:
    """Two batches run side by side, and only the first one ends."""
    await append(cluster, builders.joined())
    first, second = builders.submitted(SWEEP), builders.submitted(OTHER)
    await append(cluster, first, second, *life("job1"), *life("job1", OTHER), *life("job2"), *life("job3"))
    ends = {"of": SWEEP, "submission": first.id}
    await append(cluster, builders.completed(**ends), builders.batch_archived(**ends))


async def events(log: EventLog, only: Only = Only()) -> list[Recorded]:  # noqa: B008 - it is frozen
    until = await log.last_seq()
    return [recorded async for records in log.follow(after=0, only=only, until=until) for recorded in records]


async def documents(cluster: Cluster) -> list[object]:
    """What people are told of the batches, without the time of the compaction."""
    queries = Queries(cluster, clock=lambda: LATER)
    batch = await queries.batch(SWEEP.id)
    every = (await queries.batches())["batches"]
    job = await queries.job(JobId(*SWEEP.id, "job2"))
    for document in (batch, *every):
        document["compacted_at"] = None
    return [batch, every, job, await queries.why(JobId(*SWEEP.id, "job1"))]


@asynccontextmanager
async def archiver(cluster: Cluster, remove_after_s: float = 0.0) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(ArchiverService(cluster, remove_after_s=remove_after_s).run(stop))
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    await cluster.queries.ask("compact", b"{}", timeout_s=WITHIN_S)
                except NobodyAnswers:
                    await asyncio.sleep(0.05)
                except Refused:
                    break  # it is there, and does not understand that
            yield
    finally:
        stop.set()
        await running


async def compacted(cluster: Cluster) -> Compaction:
    """Have the first batch compacted, and wait until its events are gone from the stream."""
    async with archiver(cluster):
        [batch] = await closed_batches(Queries(cluster), LATER)
        done = await compact(cluster, JANE, batch, LATER)
        await gone(cluster)
    return done


async def gone(cluster: Cluster) -> None:
    """Wait until the stream has of the batch only what came last."""
    while len(await events(cluster.stream, Only(batch=SWEEP.id))) > 1:  # noqa: ASYNC110 - a purge is no event
        await asyncio.sleep(0.01)
