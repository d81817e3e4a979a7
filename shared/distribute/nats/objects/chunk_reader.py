"""Read an object's chunks, fast and in bounded memory.

We use batched direct gets: one request returns megabytes of chunks, any replica answers, and the broker
keeps no state. So there is nothing to create or clean up, and after an outage we simply request the next
chunks. We request the next window while the last one is still being processed.

Direct get: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import NamedTuple

import orjson

from distribute.core.errors import IntegrityError, Unreachable
from distribute.nats.client.connection import Connection
from distribute.nats.client.inflow import Grant
from distribute.nats.client.jetstream import ApiError
from distribute.nats.client.protocol import header_fields, status
from distribute.nats.objects.bucket import Bucket

CHUNK_BYTES = 512 << 10
"""The largest chunk that is written. With a disk sync for every message, this is four times as fast as the
usual 128 KiB. It is below the 1 MiB that a broker accepts by default."""

WINDOW_BYTES = 8 << 20
"""Max. bytes per request. Two windows can be in memory: one being processed, one arriving."""

_MAX_BATCH = 1000
_ASK_AGAIN_AFTER_S = 10.0
_OWN_SILENCE_S = 60.0
"""If others' chunks arrive, the link is slow, and ours wait behind them. After this long, they are lost."""
_PAUSE_S = 0.1
_END_OF_BATCH = 204
_NOT_FOUND = 404
_NO_RESPONDER = 503


class Chunk(NamedTuple):
    """A chunk, its sequence in the stream, and the number of the object's chunks behind it."""

    seq: int
    following: int
    data: bytes


class ChunkReader:
    """Reads chunks of any bucket over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inflow = connection.inflow
        self._inbox = connection.new_inbox()
        self._numbers = itertools.count(1)
        self._reads: set[_Read] = set()
        self._requests: dict[bytes, _Request] = {}
        """By number. The request of a read that was broken off is kept until its chunks have come."""
        self._undo = (
            connection.tap(f"{self._inbox}.*", self._answered),
            connection.on_return(self._ask_all_again),
        )

    def close(self) -> None:
        """End all reads: they raise `Unreachable`."""
        for undo in self._undo:
            undo()
        for reading in self._reads:
            reading.error = Unreachable(f"closed before all chunks of {reading.subject} had come")
            reading.changed.set()

    async def read(
        self, bucket: Bucket, nuid: str, total: int, *, first_seq: int = 1, count: int | None = None
    ) -> AsyncGenerator[list[Chunk], None]:
        """Read `count` (None: all) chunks of an object of `total` chunks, in order, from `first_seq` on.

        Yields lists of the chunks that have arrived together.

        Raises:
            IntegrityError: chunks are missing.
            Unreachable: the broker is reachable, but no chunk arrived for the bucket's `give_up_after_s`.
        """
        wanted = total if count is None else count
        reading = _Read(bucket.stream, bucket.chunk_subject(nuid), wanted, first_seq, bucket.give_up_after_s)
        self._reads.add(reading)
        try:
            while reading.wanted or reading.arrived:
                chunks = await self._take(reading)
                if chunks:
                    yield chunks
                    continue
                # This replica has no more chunks. It may lag, so we ask the leader.
                found = await bucket.count(nuid)
                if found < total:
                    raise IntegrityError(
                        f"bucket {bucket.name}: of the {total} chunks of {nuid}, {total - found} are missing"
                    )
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._reads.discard(reading)

    async def _take(self, reading: _Read) -> list[Chunk]:
        """Wait for chunks and return those that have arrived; an empty list if there are no more."""
        while not reading.arrived:
            if reading.error is not None:
                raise reading.error
            if reading.exhausted:
                reading.exhausted = False
                break
            if not reading.asked:
                self._ask(reading)
            reading.changed.clear()
            await self._wait(reading)
            if reading.silent_s >= reading.give_up_after_s:
                raise Unreachable(
                    f"{self._connection.address}: no chunk of {reading.subject} for {reading.silent_s:.0f} s"
                )
        chunks, reading.arrived = reading.arrived, []
        if reading.wanted and not reading.asked and not reading.exhausted:
            self._ask(reading)
        return chunks

    async def _wait(self, reading: _Read) -> None:
        """Wait for news of a read. Ask again for what seems to be lost."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(_ASK_AGAIN_AFTER_S):
                await reading.changed.wait()
        except TimeoutError:
            if self._inflow.heard_at <= began:
                self._give_up(lambda request: request.reading not in self._reads - {reading})
            elif time.monotonic() - reading.asked_at > _OWN_SILENCE_S:
                self._give_up(lambda request: request.reading is reading)
        if self._connection.connected and self._inflow.heard_at <= began:
            reading.silent_s += time.monotonic() - began

    def _give_up(self, is_lost: Callable[[_Request], bool]) -> None:
        """Expect nothing more of these requests."""
        for number, request in list(self._requests.items()):
            if is_lost(request):
                del self._requests[number]
                request.reading.asked = False
                request.grant.end()

    def _ask(self, reading: _Read) -> None:
        """Ask for the next chunks of a read, now or when the connection has room for them."""
        reading.asked = True
        most = min(WINDOW_BYTES, reading.wanted * CHUNK_BYTES)
        self._inflow.ask_for(most, partial(self._send, reading))

    def _send(self, reading: _Read, grant: Grant) -> None:
        number = str(next(self._numbers)).encode()
        request = {
            "seq": reading.next_seq,
            "next_by_subj": reading.subject,
            "batch": min(reading.wanted, _MAX_BATCH),
            "max_bytes": grant.size_bytes,
        }
        reading.asked = reading in self._reads and self._connection.send(
            f"$JS.API.DIRECT.GET.{reading.stream}",
            orjson.dumps(request),
            reply=f"{self._inbox}.{number.decode()}",
        )
        if reading.asked:
            reading.asked_at = time.monotonic()
            self._requests[number] = _Request(reading, grant)
        else:
            grant.end()

    def _ask_all_again(self) -> None:
        """Repeat all requests after a reconnect, each with a new number.

        An answer to a request of the old connection may lack its beginning; by its number we ignore it.
        """
        self._give_up(lambda request: True)
        for reading in self._reads:
            reading.changed.set()

    def _answered(self, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
        number = subject[len(self._inbox) + 1 :]
        request = self._requests.get(number)
        if request is None:
            return
        code, reading = status(header), request.reading
        if code == 0:
            request.grant.arrived(len(payload))
            if reading in self._reads and reading.wanted:
                reading.add(header_fields(header), payload)
            return
        del self._requests[number]
        request.grant.end(complete=code == _END_OF_BATCH)
        if reading not in self._reads or not reading.wanted:
            return
        reading.asked = False
        if code == _NO_RESPONDER:
            # The broker is starting and sends no signal when it is ready.
            asyncio.get_running_loop().call_later(_PAUSE_S, reading.changed.set)
            return
        if code == _NOT_FOUND or (code == _END_OF_BATCH and not _pending(header)):
            reading.exhausted = True
        elif code != _END_OF_BATCH:
            text = header[13:].partition(b"\r\n")[0].decode("utf-8", "replace")
            reading.error = ApiError(f"reading {reading.subject}", {"code": code, "description": text})
        elif not reading.arrived:
            self._ask(reading)
        reading.changed.set()


class _Request(NamedTuple):
    """A request to the broker that is not answered in full."""

    reading: _Read
    grant: Grant


class _Read:
    """The progress of one read."""

    def __init__(
        self, stream: str, subject: str, wanted: int, first_seq: int, give_up_after_s: float
    ) -> None:
        self.stream = stream
        self.subject = subject
        self.wanted = wanted
        self.next_seq = first_seq
        self.give_up_after_s = give_up_after_s
        self.asked = False
        """Was the broker asked for more, or will it be when there is room?"""
        self.asked_at = 0.0
        self.exhausted = False
        self.error: Exception | None = None
        self.arrived: list[Chunk] = []
        self.changed = asyncio.Event()
        self.silent_s = 0.0

    def add(self, fields: dict[str, str], data: bytes) -> None:
        seq = int(fields["Nats-Sequence"])
        if seq < self.next_seq:
            return  # requested twice, because the first answer was late
        self.arrived.append(Chunk(seq, int(fields["Nats-Num-Pending"]), data))
        self.next_seq = seq + 1
        self.wanted -= 1
        self.silent_s = 0.0
        self.changed.set()


def _pending(header: bytes) -> int:
    return int(header_fields(header).get("Nats-Num-Pending", "0"))
