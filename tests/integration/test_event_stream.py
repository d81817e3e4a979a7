"""Streams and histories from a real broker: through its death, and among messages that are no events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from distribute.client.event_stream import last_before, stream
from distribute.client.history import batch_history, job_history
from distribute.core.ids import JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, Recorded, guard_scope
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import Cluster
from distribute.testing import builders as make

WITHIN_S = 60.0
SPEC = make.batch(3000)


async def say(cluster: Cluster, *events: Event) -> None:
    for event in events:
        last = await cluster.log.last(guard_scope(event))
        await cluster.log.append(event, Guard(last.seq if last is not None else 0))


async def garbage(cluster: Cluster) -> None:
    """Store a message that no reader can read."""
    await cluster.connection.request("ev.node.ws1.joined.ws1", b"no event")


async def take(coming: AsyncIterator[Recorded], count: int) -> list[int]:
    async with asyncio.timeout(WITHIN_S):
        return [(await anext(coming)).seq for _ in range(count)]


async def test_a_stream_goes_on_when_the_broker_was_killed(broker: Broker, cluster: Cluster) -> None:
    await say(cluster, *(make.joined(f"ws{number}") for number in range(5)))
    coming = stream(cluster, 1, follow=True)
    try:
        assert await take(coming, 4) == [2, 3, 4, 5]
        await broker.stop(kill=True)
        await broker.start()
        await say(cluster, make.joined("ws6"), make.joined("ws7"))
        assert await take(coming, 2) == [6, 7]
    finally:
        await coming.aclose()


async def test_a_time_is_found_among_messages_that_are_no_events(cluster: Cluster) -> None:
    for _ in range(20):
        await garbage(cluster)
    await say(cluster, make.joined("ws1"))
    for _ in range(20):
        await garbage(cluster)
    await say(cluster, make.joined("ws2"))
    first, second = [one async for one in stream(cluster, 0)]
    assert (first.seq, second.seq) == (21, 42)
    for time, expected in ((0.0, []), (first.time, []), (second.time, [21]), (second.time + 1, [21, 42])):
        behind = [one.seq async for one in stream(cluster, await last_before(cluster.log, time))]
        assert behind == [one for one in (21, 42) if one not in expected]


async def test_a_job_is_told_by_its_own_subjects_and_its_batch_by_all(cluster: Cluster) -> None:
    other = make.batch(2, batch="other")
    names = [job.name for job in SPEC.work.jobs[:50]]
    await say(cluster, make.joined(), make.submitted(other), make.submitted(SPEC), *map(make.assigned, names))
    await say(cluster, make.assigned(JobId(*other.id, "job1")), make.claimed("job7"), make.started("job7"))
    await garbage(cluster)
    told = [one.sentence async for one in job_history(cluster, JobId(*SPEC.id, "job7"))]
    assert told == [
        "jane submitted lab/sweep: 3000 jobs",
        *("job7 was assigned to ws1", "job7 was claimed by ws1", "job7 started on ws1"),
    ]
    of_batch = [one.recorded.seq async for one in batch_history(cluster, SPEC.id)]
    assert of_batch == [3, *range(4, 54), 55, 56]
