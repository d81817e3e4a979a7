"""What the tests of the object store share: a cluster with a store, and content to put there."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distribute.nats import jetstream
from distribute.nats.connect import connect
from distribute.nats.connection import Connection
from distribute.nats.embedded import Broker
from distribute.nats.provision import provision
from distribute.nats.store import JetStreamStore

CHUNK = 512 << 10


@dataclass
class Stores:
    """A broker of this test's own, and as many stores on it as are asked for, each over its own connection."""

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
async def stores(folder: Path, **broker_options: Any) -> AsyncIterator[Stores]:
    """A provisioned cluster, empty."""
    async with Broker(folder, **broker_options) as broker:
        made = Stores(broker)
        async with made.stack:
            await provision(await made.connection(), logs_max_bytes=1 << 20)
            yield made


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that no chunk of which is like another."""
    return random.Random(seed).randbytes(size_bytes)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def stream_of(data: bytes, piece_bytes: int = 100_000) -> AsyncIterator[bytes]:
    """`data` in pieces that do not fit chunks."""
    for start in range(0, len(data), piece_bytes):
        yield data[start : start + piece_bytes]


async def subjects(connection: Connection, bucket: str, pattern: str) -> dict[str, int]:
    """How many messages lie on each subject of a bucket that matches, `C.>` say."""
    body = {"subjects_filter": f"$O.{bucket}.{pattern}"}
    answer = await jetstream.call(connection, f"STREAM.INFO.OBJ_{bucket}", body)
    found: dict[str, int] = answer["state"].get("subjects") or {}
    return found


async def remove_one_chunk(connection: Connection, bucket: str, subject: str) -> None:
    """Lose a chunk, as a damaged disk would."""
    stored = await jetstream.direct_get(connection, f"OBJ_{bucket}", {"seq": 1, "next_by_subj": subject})
    assert stored is not None
    await jetstream.call(connection, f"STREAM.MSG.DELETE.OBJ_{bucket}", {"seq": stored.seq})
