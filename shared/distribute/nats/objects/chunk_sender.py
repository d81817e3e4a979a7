"""Send an object's chunks: pipelined, hashed on the way, in bounded memory and in order.

Chunks are published without waiting for each answer. The publisher repeats a chunk that was not answered,
and the broker drops duplicates by message id. Two rare faults get past that: a broker that was full may store
a later chunk before an earlier one, and a broker that was away for longer than it remembers message ids may
store a chunk twice. We detect both before the object gets its name, and then write the object again
from the stored chunks.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from array import array
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import NamedTuple

from distribute.core.errors import DistributeError, IntegrityError, Unreachable
from distribute.core.ids import ulid
from distribute.nats.client.connection import Connection
from distribute.nats.objects.bucket import Bucket
from distribute.nats.objects.chunk_reader import CHUNK_BYTES, ChunkReader
from distribute.nats.stream.publisher import Publisher
from distribute.ports import OnDone, tell_nobody

_log = logging.getLogger(__name__)

WINDOW_BYTES = 8 << 20
"""Maximum number of unacknowledged bytes of one object."""

_HEADER_ROOM_BYTES = 4096
_HASH_INLINE_BYTES = 32 << 10
"""Up to this size, hashing takes less time than a switch to a thread."""
_SUSPICIOUS_AFTER_S = 5.0


class Sent(NamedTuple):
    """Chunks that were sent: their place, number, size and digest."""

    nuid: str
    size_bytes: int
    chunks: int
    sha256: str
    chunk_bytes: int


class ChunkSender:
    """Sends objects' chunks over one connection."""

    def __init__(self, connection: Connection, publisher: Publisher, reader: ChunkReader) -> None:
        self._connection = connection
        self._publisher = publisher
        self._reader = reader
        self._returns = 0
        self._undo = connection.on_return(self._count_return)

    def close(self) -> None:
        self._undo()

    @property
    def chunk_bytes(self) -> int:
        """The size of a chunk on this broker, in bytes."""
        return min(CHUNK_BYTES, self._connection.max_payload - _HEADER_ROOM_BYTES)

    async def send(
        self,
        bucket: Bucket,
        place: str,
        source: AsyncIterator[bytes],
        *,
        wait_for_room: bool,
        on_done: OnDone = tell_nobody,
    ) -> Sent:
        """Send all of `source` to a new subject below `place`. `on_done` hears how many bytes are stored.

        An empty source is sent as one empty chunk, so that every object has a message on its subject.

        Raises:
            StorageFull: the broker has no room, and `wait_for_room` is False. Nothing is left behind.
            Any error of `source`: nothing is left behind either.
        """
        nuid = f"{place}.{ulid(time.time_ns() // 1_000_000, os.urandom(10))}"
        sending = _Sending(
            self._publisher, bucket.chunk_subject(nuid), nuid.rpartition(".")[2], wait_for_room, on_done
        )
        returns, began = self._returns, time.monotonic()
        try:
            await sending.send_all(source, self.chunk_bytes)
        except (asyncio.CancelledError, Unreachable):
            # Without a connection we can't clean up.
            sending.forget()
            raise
        except Exception:
            await sending.settle()
            await _remove(bucket, nuid)
            raise
        sent = Sent(nuid, sending.size_bytes, len(sending.seqs), sending.hasher.hexdigest(), self.chunk_bytes)
        suspicious = returns != self._returns or time.monotonic() - began > _SUSPICIOUS_AFTER_S
        if not sending.in_order or (suspicious and await bucket.count(nuid) != sent.chunks):
            return await self._write_anew(bucket, place, sent, sending.seqs)
        return sent

    async def _write_anew(self, bucket: Bucket, place: str, broken: Sent, seqs: array[int]) -> Sent:
        sent = await self.send(bucket, place, self._stored(bucket, broken, seqs), wait_for_room=True)
        if sent.sha256 != broken.sha256:
            raise IntegrityError(
                f"bucket {bucket.name}: the broker changed the bytes of object {broken.nuid}"
            )
        await bucket.purge(bucket.chunk_subject(broken.nuid))
        return sent

    async def _stored(self, bucket: Bucket, sent: Sent, seqs: array[int]) -> AsyncIterator[bytes]:
        for seq in seqs:
            reading = self._reader.read(bucket, sent.nuid, sent.chunks, first_seq=seq, count=1)
            async with aclosing(reading) as chunks:
                async for (chunk,) in chunks:
                    yield chunk.data

    def _count_return(self) -> None:
        self._returns += 1


class _Sending:
    """One object on its way."""

    def __init__(
        self, publisher: Publisher, subject: str, message_id: str, wait_for_room: bool, on_done: OnDone
    ) -> None:
        self._publisher = publisher
        self._subject = subject
        self._message_id = message_id
        self._patient = wait_for_room
        self._on_done = on_done
        self._unanswered: deque[tuple[asyncio.Future[int], int]] = deque()
        self._unanswered_bytes = 0
        self._published = 0
        self._hashing: asyncio.Future[None] | None = None
        self.hasher = hashlib.sha256()
        self.size_bytes = 0
        self.seqs = array("Q")
        self.in_order = True

    async def send_all(self, source: AsyncIterator[bytes], chunk_bytes: int) -> None:
        async for chunk in _cut(source, chunk_bytes):
            while self._unanswered_bytes + len(chunk) > WINDOW_BYTES:
                await self._next_answer()
            await self._publish(chunk)
        if not self._published:
            await self._publish(b"")
        while self._unanswered:
            await self._next_answer()
        await self._hashed()

    async def settle(self) -> None:
        """Wait until nothing more of this object can reach the broker."""
        await asyncio.gather(*(future for future, _ in self._unanswered), return_exceptions=True)
        await self._hashed()

    def forget(self) -> None:
        """Stop waiting for answers."""
        for future, _ in self._unanswered:
            future.cancel()

    async def _publish(self, chunk: bytes) -> None:
        future = self._publisher.publish(
            self._subject, chunk, message_id=f"{self._message_id}.{self._published}", patient=self._patient
        )
        self._unanswered.append((future, len(chunk)))
        self._unanswered_bytes += len(chunk)
        self._published += 1
        self.size_bytes += len(chunk)
        await self._hashed()
        if len(chunk) <= _HASH_INLINE_BYTES:
            self.hasher.update(chunk)
        else:
            self._hashing = asyncio.get_running_loop().run_in_executor(None, self.hasher.update, chunk)

    async def _hashed(self) -> None:
        if self._hashing is not None:
            hashing, self._hashing = self._hashing, None
            await hashing

    async def _next_answer(self) -> None:
        future, size = self._unanswered[0]
        seq = await future
        self._unanswered.popleft()
        self._unanswered_bytes -= size
        self._on_done(self.size_bytes - self._unanswered_bytes)
        if self.seqs and seq <= self.seqs[-1]:
            self.in_order = False
        self.seqs.append(seq)


async def _remove(bucket: Bucket, nuid: str) -> None:
    """Remove chunks that no object uses. If permissions forbid it, they stay until the batch is deleted."""
    try:
        await bucket.purge(bucket.chunk_subject(nuid))
    except DistributeError as error:
        _log.warning("bucket %s: can't remove unused chunks of %s: %s", bucket.name, nuid, error)


async def _cut(source: AsyncIterator[bytes], chunk_bytes: int) -> AsyncIterator[bytes]:
    """The bytes of `source` in pieces of `chunk_bytes`, the last one shorter."""
    held = bytearray()
    async for piece in source:
        if len(piece) == chunk_bytes and not held:
            yield piece
            continue
        held += piece
        whole = len(held) - len(held) % chunk_bytes
        for start in range(0, whole, chunk_bytes):
            yield bytes(held[start : start + chunk_bytes])
        del held[:whole]
    if held:
        yield bytes(held)
