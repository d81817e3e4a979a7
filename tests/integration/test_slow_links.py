"""A connection over a slow link is never cut off as a slow reader, however many read over it at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import Cluster, open_cluster
from distribute.testing import builders as make
from integration.relay import Relay
from integration.store_kit import content, digest, stream_of

AT_ONCE = 16
LARGE_BYTES = 7_000_000
BYTES_PER_S = 60e6


@pytest.fixture
async def far(broker: Broker, cluster: Cluster) -> AsyncIterator[Cluster]:
    """The cluster by way of a slow link."""
    async with Relay(broker.port) as relay:
        relay.slow_down(BYTES_PER_S)
        async with open_cluster(relay.address, "far") as opened:
            yield opened


async def test_many_large_results_are_read_at_once(cluster: Cluster, far: Cluster) -> None:
    data = content(LARGE_BYTES)
    stored = [
        await cluster.store.put_result(f"lab/sweep/job/1/{number}", "ws1", stream_of(data, 1 << 20))
        for number in range(AT_ONCE)
    ]
    losses: list[None] = []
    far.connection.on_loss(lambda: losses.append(None))

    async def read(number: int) -> str:
        return digest(b"".join([piece async for piece in far.store.get_result(stored[number])]))

    assert set(await asyncio.gather(*map(read, range(AT_ONCE)))) == {digest(data)}
    assert losses == []
    async with asyncio.timeout(60):
        # The broker says behind the last bytes that no more will come.
        while far.connection.inflow.asked_bytes:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_reads_that_are_broken_off_leave_room_for_others(cluster: Cluster, far: Cluster) -> None:
    data = content(LARGE_BYTES)
    stored = await cluster.store.put_result("lab/sweep/job/1/0", "ws1", stream_of(data, 1 << 20))
    for _ in range(8):
        reading = far.store.get_result(stored)
        await anext(reading)
        await reading.aclose()
    assert b"".join([piece async for piece in far.store.get_result(stored)]) == data


async def test_many_follow_a_long_log_at_once(cluster: Cluster, far: Cluster) -> None:
    """Among the events are some that are larger than a request for many."""
    dice = random.Random(1)
    events: list[Event] = []
    for number in range(500):
        if number % 300 == 0:
            jobs = [make.job(f"job{n}", command=dice.randbytes(250_000).hex()) for n in range(5)]
            events.append(make.submitted(make.batch(jobs, batch=f"large {number}")))
        events.append(make.finished(f"job{number}", reason=dice.randbytes(4000).hex()))
    seqs = await asyncio.gather(*(cluster.log.append(event, Guard(0)) for event in events))
    losses: list[None] = []
    far.connection.on_loss(lambda: losses.append(None))

    async def follow() -> list[int]:
        async with aclosing(far.log.follow(after=0, until=max(seqs))) as following:
            return [recorded.seq async for records in following for recorded in records]

    async with asyncio.timeout(300):
        for found in await asyncio.gather(*(follow() for _ in range(AT_ONCE))):
            assert found == sorted(seqs)
    assert losses == []
