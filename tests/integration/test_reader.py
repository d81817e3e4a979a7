"""A reader of the log gets every event once and in order, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

import pytest

from distribute.core.ids import BatchId, JobId
from distribute.core.log.recorded import Guard, Recorded
from distribute.nats.broker.embedded import Broker
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import NOT_FOUND, ApiError, call
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream import durable, pulling
from distribute.nats.stream.layout import EVENTS
from distribute.ports import Only
from distribute.testing import builders
from integration.relay import Relay
from integration.standstill import standing_still

WITHIN_S = 120.0


class Following:
    """A follower in a task of its own, and what it has seen."""

    def __init__(self, log: AsyncIterator[Sequence[Recorded]]) -> None:
        self.records: list[Recorded] = []
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._follow(log))

    @property
    def seqs(self) -> list[int]:
        return [record.seq for record in self.records]

    async def reaches(self, seq: int) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not self.records or self.records[-1].seq < seq:
                self._more.clear()
                await self._more.wait()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _follow(self, log: AsyncIterator[Sequence[Recorded]]) -> None:
        async for records in log:
            self.records += records
            self._more.set()


async def claim(cluster: Cluster, first: int, count: int) -> list[int]:
    futures = [cluster.log.append(builders.claimed(f"job{n}"), Guard(0)) for n in range(first, first + count)]
    return await asyncio.wait_for(asyncio.gather(*futures), WITHIN_S)


async def read(log: AsyncIterator[Sequence[Recorded]]) -> list[Recorded]:
    async with asyncio.timeout(WITHIN_S):
        return [record async for records in log for record in records]


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Poll a condition on the broker, which does not notify of it."""
    async with asyncio.timeout(WITHIN_S):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def consumer_is(cluster: Cluster, name: str, **expected: int) -> bool:
    info = await call(cluster.connection, f"CONSUMER.INFO.{EVENTS}.{name}")
    return expected.items() <= info.items()


async def test_a_reader_replays_and_then_follows(cluster: Cluster) -> None:
    await claim(cluster, 0, 5000)
    following = Following(cluster.log.follow(after=1234))
    await following.reaches(5000)
    await claim(cluster, 5000, 10)
    await following.reaches(5010)
    await following.stop()
    assert following.seqs == list(range(1235, 5011))
    times = [record.time for record in following.records]
    assert times == sorted(times)


async def test_a_reader_ends_at_until(cluster: Cluster) -> None:
    await claim(cluster, 0, 20)
    await cluster.log.append(builders.joined(), Guard(0))
    claimed = Only(types=frozenset({"claimed"}))
    assert [r.seq for r in await read(cluster.log.follow(after=3, until=7))] == [4, 5, 6, 7]
    assert await read(cluster.log.follow(after=7, until=7)) == []
    assert await read(cluster.log.follow(after=20, until=21, only=claimed)) == []
    # The last one that matches lies before the end.
    assert len(await read(cluster.log.follow(after=0, until=21, only=claimed))) == 20


async def test_a_reader_up_to_what_the_log_has_lost_ends_with_what_the_log_has(cluster: Cluster) -> None:
    assert await read(cluster.log.follow(after=0, until=3)) == []
    await claim(cluster, 0, 5)
    assert [record.seq for record in await read(cluster.log.follow(after=0, until=9))] == [1, 2, 3, 4, 5]
    assert await read(cluster.log.follow(after=5, until=9)) == []
    assert await read(cluster.log.follow(after=0, until=9, only=Only(types=frozenset({"joined"})))) == []


async def test_a_reader_gets_only_the_events_it_wants(cluster: Cluster) -> None:
    append = cluster.log.append
    spec = builders.batch(2, namespace="größe", batch="a.*")
    job = JobId("größe", "a.*", "job1")
    await append(builders.submitted(spec), Guard(0))
    await append(builders.joined("ws1"), Guard(0))
    await append(builders.assigned(job, node="ws1"), Guard(0))
    await append(builders.claimed(job, node="ws1"), Guard(3))
    await append(builders.assigned("job1", node="ws2"), Guard(0))

    async def seqs(only: Only) -> list[int]:
        return [record.seq for record in await read(cluster.log.follow(after=0, until=5, only=only))]

    assert await seqs(Only(batch=spec.id)) == [1, 3, 4]
    assert await seqs(Only(node="ws1")) == [2, 3, 4]
    assert await seqs(Only(node="ws2")) == [5]
    assert await seqs(Only(types=frozenset({"assigned", "joined"}))) == [2, 3, 5]
    assert await seqs(Only(types=frozenset({"assigned"}), batch=spec.id, node="ws1")) == [3]
    with pytest.raises(ValueError, match="no event can match"):
        await seqs(Only(types=frozenset({"joined"}), batch=spec.id))
    with pytest.raises(ValueError, match="of the type 'no such'"):
        await seqs(Only(types=frozenset({"no such"})))


async def test_a_broker_that_is_killed_costs_no_event_and_repeats_none(
    broker: Broker, cluster: Cluster
) -> None:
    following = Following(cluster.log.follow(after=0))
    for number in range(3):
        await claim(cluster, 1000 * number, 1000)
        if number == 1:
            await following.reaches(1500)  # otherwise the broker would be killed during the replay
        await broker.stop(kill=True)
        await broker.start()
    await claim(cluster, 3000, 1)
    await following.reaches(3001)
    await following.stop()
    assert following.seqs == list(range(1, 3002))


async def test_a_connection_that_is_cut_costs_no_event_and_repeats_none(
    broker: Broker, cluster: Cluster
) -> None:
    async with Relay(broker.port) as relay, open_cluster(relay.address, "behind the relay") as reader:
        following = Following(reader.log.follow(after=0))
        for number in range(5):
            await claim(cluster, 400 * number, 200)
            if number % 2:
                relay.mute()  # messages under way are lost
            await claim(cluster, 400 * number + 200, 200)
            relay.cut()
        await following.reaches(2000)
        await following.stop()
    assert following.seqs == list(range(1, 2001))


async def test_a_consumer_that_vanishes_is_created_again(cluster: Cluster) -> None:
    following = Following(cluster.log.follow(after=0))
    await claim(cluster, 0, 10)
    await following.reaches(10)
    (name,) = (await call(cluster.connection, f"CONSUMER.NAMES.{EVENTS}"))["consumers"]
    await call(cluster.connection, f"CONSUMER.DELETE.{EVENTS}.{name}")
    await claim(cluster, 10, 10)
    await following.reaches(20)
    await following.stop()
    assert following.seqs == list(range(1, 21))


async def test_a_silent_consumer_is_created_again(
    broker: Broker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_SILENCE_S", 0.2)
    async with Relay(broker.port) as relay, open_cluster(relay.address, "behind the relay") as reader:
        following = Following(reader.log.follow(after=0))
        await claim(cluster, 0, 10)
        await following.reaches(10)
        relay.mute()  # the reader does not hear that the consumer is gone
        await delete_consumers(cluster)
        relay.unmute()
        await claim(cluster, 10, 10)
        await following.reaches(20)
        await following.stop()
    assert following.seqs == list(range(1, 21))


async def delete_consumers(cluster: Cluster) -> None:
    """Delete the consumers of the events. A reader that hears nothing may do so itself, at the same time."""
    for name in (await call(cluster.connection, f"CONSUMER.NAMES.{EVENTS}"))["consumers"]:
        try:
            await call(cluster.connection, f"CONSUMER.DELETE.{EVENTS}.{name}")
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise


async def test_a_broker_that_hangs_costs_no_event_and_repeats_none(broker: Broker, cluster: Cluster) -> None:
    following = Following(cluster.log.follow(after=0))
    futures = [cluster.log.append(builders.claimed(f"job{n}"), Guard(0)) for n in range(2000)]
    await futures[100]
    with standing_still(broker):
        await asyncio.sleep(0.5)  # the test is about this standstill
    await following.reaches(2000)
    await following.stop()
    assert following.seqs == list(range(1, 2001))


async def test_a_missing_message_is_noticed(cluster: Cluster) -> None:
    following = Following(cluster.log.follow(after=0))
    await claim(cluster, 0, 10)
    await following.reaches(10)
    (name,) = (await call(cluster.connection, f"CONSUMER.NAMES.{EVENTS}"))["consumers"]
    # Another client pulls from the same consumer, so some of its sequence numbers go missing.
    stolen: list[bytes] = []
    thief = cluster.connection.new_inbox()
    cluster.connection.tap(thief, lambda subject, reply, header, payload: stolen.append(payload))
    cluster.connection.send(f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS}.{name}", b"5", reply=thief)
    await claim(cluster, 10, 20)
    await following.reaches(30)
    await following.stop()
    assert stolen
    assert following.seqs == list(range(1, 31))


async def test_a_reader_leaves_no_consumer_behind(cluster: Cluster) -> None:
    await claim(cluster, 0, 10)
    async with aclosing(cluster.log.follow(after=0)) as log:
        async for _ in log:
            break

    async def none_is_left() -> bool:
        info = await call(cluster.connection, f"STREAM.INFO.{EVENTS}")
        return bool(info["state"]["consumer_count"] == 0)

    await eventually(none_is_left)


async def test_a_slow_reader_is_not_flooded(cluster: Cluster) -> None:
    await claim(cluster, 0, 6000)
    async with aclosing(cluster.log.follow(after=0)) as log:
        first = await anext(log)
        await claim(cluster, 6000, 100)  # time enough to be flooded
        (consumer,) = (await call(cluster.connection, f"CONSUMER.LIST.{EVENTS}"))["consumers"]
        assert consumer["delivered"]["stream_seq"] < 5000
        rest = [record.seq async for record in up_to(6100, log)]
    assert [record.seq for record in first] + rest == list(range(1, 6101))


async def up_to(seq: int, log: AsyncIterator[Sequence[Recorded]]) -> AsyncIterator[Recorded]:
    async for records in log:
        for record in records:
            yield record
        if records[-1].seq >= seq:
            return


async def test_large_events_are_replayed_however_many_there_are(cluster: Cluster) -> None:
    noise = {"NOISE": base64.b64encode(os.urandom(3 << 20)).decode()}
    events = [builders.submitted(builders.batch(1, batch=f"b{number}", env=noise)) for number in range(12)]
    for event in events:
        await cluster.log.append(event, Guard(0))
    assert [record.event for record in await read(cluster.log.follow(after=0, until=12))] == events


async def test_a_single_event_can_be_read(cluster: Cluster) -> None:
    await claim(cluster, 0, 3)
    assert (await cluster.log.get(2)).event.scope == JobId("lab", "sweep", "job1")
    assert await cluster.log.last_seq() == 3
    for seq in (0, 4):
        with pytest.raises(KeyError):
            await cluster.log.get(seq)
    assert await cluster.log.last(BatchId("lab", "sweep")) is None


async def test_requests_to_the_log_outlive_an_absent_broker(
    broker: Broker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is away for longer than the time limit of a single request, which is short here."""
    await claim(cluster, 0, 3)
    for limited in (call, Connection.request):
        monkeypatch.setitem(limited.__kwdefaults__, "timeout_s", 0.3)
    await broker.stop()
    asked = [
        asyncio.create_task(cluster.log.last_seq()),
        asyncio.create_task(seq_of(cluster.log.last(JobId("lab", "sweep", "job1")))),
        asyncio.create_task(seq_of(cluster.log.get(2))),
    ]
    await asyncio.sleep(1.5)
    assert not any(question.done() for question in asked)
    await broker.start()
    assert await asyncio.wait_for(asyncio.gather(*asked), WITHIN_S) == [3, 2, 2]


async def seq_of(question: Awaitable[Recorded | None]) -> int:
    recorded = await question
    assert recorded is not None
    return recorded.seq


async def test_unacknowledged_events_are_delivered_again(
    broker: Broker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "ACK_WAIT_S", 1)
    await claim(cluster, 0, 4)
    async with (
        open_cluster(broker.address, "an archiver that crashes") as first,
        aclosing(first.stream.durable("archiver")) as deliveries,
    ):
        taken = [await anext(deliveries) for _ in range(3)]
        assert [delivery.recorded.seq for delivery in taken] == [1, 2, 3]
        taken[0].ack()
        taken[2].ack()
    # The broker stores acknowledgements a moment later; a restart after that loses none.
    await eventually(lambda: consumer_is(cluster, "archiver", num_ack_pending=2))
    await broker.stop()
    await broker.start()
    async with aclosing(cluster.stream.durable("archiver")) as deliveries, asyncio.timeout(WITHIN_S):
        again = {(await anext(deliveries)).recorded.seq for _ in range(2)}
    assert again == {2, 4}


async def test_deliveries_that_are_queued_or_in_work_do_not_come_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "ACK_WAIT_S", 6)  # a busy computer may stand still for some seconds
    await claim(cluster, 0, 10)
    seen: list[int] = []
    async with aclosing(cluster.stream.durable("slow", Only(types=frozenset({"claimed"})))) as deliveries:
        async for delivery in deliveries:
            seen.append(delivery.recorded.seq)
            if len(seen) == 1:
                for _ in range(16):
                    await asyncio.sleep(0.5)  # the work
                    delivery.in_progress()
            delivery.ack()
            if len(seen) == 10:
                break

        await eventually(lambda: consumer_is(cluster, "slow", num_ack_pending=0, num_pending=0))
    assert seen == list(range(1, 11))
    info = await call(cluster.connection, f"CONSUMER.INFO.{EVENTS}.slow")
    assert info["delivered"]["consumer_seq"] == 10  # one delivery each
