"""Live output of jobs and builds on JetStream: `ports.LiveOutput`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from distribute.core.ids import BuildId, JobId
from distribute.nats.client.connection import Connection
from distribute.nats.stream.provision import LOGS
from distribute.nats.stream.reader import read
from distribute.nats.stream.subjects import log_subject

CHUNK_BYTES = 64 * 1024
_UNSENT_BYTES = 1 << 20


class JetStreamLiveOutput:
    """Output of running jobs and builds. The stream keeps it for a while, within bounds."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, of: JobId | BuildId, attempt: int, text: bytes) -> None:
        """Send output, in messages of at most `CHUNK_BYTES`, no faster than the broker takes them.

        Without a connection, drop it: the whole output is archived with the results anyway.
        """
        subject = log_subject(of, attempt)
        for start in range(0, len(text), CHUNK_BYTES):
            await self._connection.less_unsent_than(_UNSENT_BYTES)
            self._connection.send(subject, text[start : start + CHUNK_BYTES])

    async def follow(
        self, of: JobId | BuildId, attempt: int, *, since: float = 0.0
    ) -> AsyncGenerator[bytes, None]:
        """As `ports.LiveOutput.follow`."""
        async with aclosing(
            read(self._connection, LOGS, [log_subject(of, attempt)], may_lose_its_end=True)
        ) as reading:
            async for entries in reading:
                wanted = [entry.payload for entry in entries if entry.time >= since]
                if wanted:
                    yield b"".join(wanted)
