"""Fixtures and helpers for the tests of the object store."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from distribute.core.files.manifest import StoredObject
from distribute.nats.broker.embedded import Broker
from distribute.nats.client import jetstream
from distribute.nats.client.connect import connect
from distribute.nats.client.connection import Connection
from distribute.nats.objects.store import JetStreamStore
from distribute.nats.stream.provision import provision

CHUNK = 512 << 10


@dataclass
class Stores:
    """A broker, and any number of stores on it, each with a connection of its own."""

    broker: Broker
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def connection(self) -> Connection:
        connection = await connect(self.broker.address, "test")
        self.stack.push_async_callback(connection.close)
        return connection

    async def store(self) -> JetStreamStore:
        store = JetStreamStore(await self.connection())
        self.stack.push_async_callback(store.close)
        return store


@asynccontextmanager
async def stores(broker: Broker) -> AsyncIterator[Stores]:
    """A provisioned cluster, empty."""
    made = Stores(broker)
    async with made.stack:
        await provision(await made.connection(), logs_max_bytes=1 << 20)
        yield made


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes in which no two chunks are equal."""
    return random.Random(seed).randbytes(size_bytes)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def stream_of(data: bytes, piece_bytes: int = 100_000) -> AsyncIterator[bytes]:
    """`data` in pieces whose ends are not those of chunks."""
    for start in range(0, len(data), piece_bytes):
        yield data[start : start + piece_bytes]


async def subjects(connection: Connection, bucket: str, pattern: str) -> dict[str, int]:
    """The number of messages on each subject of a bucket that matches `pattern`, for example `C.>`."""
    body = {"subjects_filter": f"$O.{bucket}.{pattern}"}
    answer = await jetstream.call(connection, f"STREAM.INFO.OBJ_{bucket}", body)
    found: dict[str, int] = answer["state"].get("subjects") or {}
    return found


async def remove_one_chunk(connection: Connection, bucket: str, subject: str) -> None:
    """Remove a chunk, as a damaged disk does."""
    stored = await jetstream.direct_get(connection, f"OBJ_{bucket}", {"seq": 1, "next_by_subj": subject})
    assert stored is not None
    await jetstream.call(connection, f"STREAM.MSG.DELETE.OBJ_{bucket}", {"seq": stored.seq})


async def broken_off(
    data: bytes, after_bytes: int, breaking: asyncio.Event, go_on: asyncio.Event
) -> AsyncIterator[bytes]:
    """`data`, with a pause in the middle during which a test can break something."""
    async for piece in stream_of(data[:after_bytes]):
        yield piece
    breaking.set()
    await go_on.wait()
    async for piece in stream_of(data[after_bytes:]):
        yield piece


async def put_with_trouble(
    cluster: Stores, data: bytes, trouble: Callable[[], Awaitable[None]]
) -> StoredObject:
    """Put a result, and call `trouble()` when half of it is sent."""
    store = await cluster.store()
    breaking, go_on = asyncio.Event(), asyncio.Event()
    source = broken_off(data, len(data) // 2, breaking, go_on)
    putting = asyncio.create_task(store.put_result("a/b/c/1/0", "n", source))
    await breaking.wait()
    await trouble()
    go_on.set()
    return await putting


async def assert_stored(cluster: Stores, stored: StoredObject, data: bytes) -> None:
    """Check that an object can be committed and read, and that its bucket holds nothing else."""
    store = await cluster.store()
    await store.commit_result(stored)
    assert b"".join([piece async for piece in store.get_result(stored)]) == data
    found = await subjects(await cluster.connection(), "results", ">")
    assert sorted(found.values()) == [1, stored.chunks]
