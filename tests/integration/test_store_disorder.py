"""The sender detects chunks that were stored twice or out of order, and stores the object again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from distribute.nats.broker.embedded import Broker
from distribute.nats.client import jetstream
from distribute.nats.objects.bucket import Bucket
from distribute.nats.objects.chunk_reader import ChunkReader
from distribute.nats.objects.chunk_sender import ChunkSender
from distribute.nats.stream.guards import ScopeGuard
from distribute.nats.stream.publisher import Publisher
from integration.store_kit import (
    CHUNK,
    Stores,
    assert_stored,
    content,
    digest,
    put_with_trouble,
    stores,
    stream_of,
    subjects,
)


@pytest.fixture
async def cluster(broker: Broker) -> AsyncIterator[Stores]:
    async with stores(broker) as made:
        yield made


async def test_a_chunk_stored_twice_is_repaired(cluster: Stores) -> None:
    """An outage longer than the broker remembers message ids causes this."""
    data = content(6 * CHUNK + 5)
    connection = await cluster.connection()

    async def repeat_a_chunk_and_come_back() -> None:
        async with asyncio.timeout(60):
            while not (found := await subjects(connection, "results", "C.>")):
                pass  # the first chunks are on their way
        [subject] = found
        first = await jetstream.direct_get(connection, "OBJ_results", {"seq": 1, "next_by_subj": subject})
        assert first is not None
        await connection.request(subject, first.payload)
        await cluster.broker.stop(kill=True)
        await cluster.broker.start()

    stored = await put_with_trouble(cluster, data, repeat_a_chunk_and_come_back)
    await assert_stored(cluster, stored, data)


class SwappingPublisher(Publisher):
    """Sends the second chunk after the third, the order in which a broker that was full may store them."""

    held = 0

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        message_id: str,
        guard: ScopeGuard | None = None,
        fields: dict[str, str] | None = None,
        patient: bool = True,
    ) -> asyncio.Future[int]:
        def now() -> asyncio.Future[int]:
            return super(SwappingPublisher, self).publish(
                subject, payload, message_id=message_id, guard=guard, fields=fields, patient=patient
            )

        self.held += 1
        if self.held == 2:
            self._second: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._publish_second = now
            return self._second
        future = now()
        if self.held == 3:
            future.add_done_callback(
                lambda _: self._publish_second().add_done_callback(self._second_is_stored)
            )
        return future

    def _third_is_stored(self, _: asyncio.Future[int]) -> None:
        self._publish_second().add_done_callback(self._second_is_stored)

    def _second_is_stored(self, future: asyncio.Future[int]) -> None:
        self._second.set_result(future.result())


async def test_chunks_stored_out_of_order_are_repaired(cluster: Stores) -> None:
    data = content(5 * CHUNK + 5)
    connection = await cluster.connection()
    publisher = SwappingPublisher(connection)
    bucket = Bucket(connection, publisher, "results")
    sender = ChunkSender(connection, publisher, ChunkReader(connection))
    sent = await sender.send(bucket, "n.a.b.c.1.0", stream_of(data), wait_for_room=True)
    assert publisher.held == 12, "each chunk was sent twice"
    assert (sent.sha256, sent.size_bytes, sent.chunks) == (digest(data), len(data), 6)
    assert await subjects(connection, "results", ">") == {bucket.chunk_subject(sent.nuid): 6}
    reading = ChunkReader(connection).read(bucket, sent.nuid, sent.chunks)
    assert b"".join([chunk.data async for chunks in reading for chunk in chunks]) == data
