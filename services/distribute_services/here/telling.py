"""Tells the command line what happens, by a pipe. Whoever does not read does not stop us."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Callable

from distribute.core.ids import BuildId, JobId
from distribute.here import News, Printed, Warned, encode_news
from distribute.memory.cluster import MemoryLiveOutput

MOST_UNREAD_BYTES = 8 << 20
"""While so much is not read, the output of jobs is left out: it comes with the results."""

Tell = Callable[[News], None]


class Teller:
    """Writes news to a pipe."""

    def __init__(self, transport: asyncio.WriteTransport, lost: asyncio.Future[None]) -> None:
        self._transport = transport
        self._lost = lost

    @classmethod
    async def open(cls, descriptor: int) -> Teller:
        """Write to this descriptor from now on."""
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[None] = loop.create_future()
        pipe = os.fdopen(descriptor, "wb", buffering=0)
        transport, _ = await loop.connect_write_pipe(lambda: _Protocol(lost), pipe)
        return cls(transport, lost)

    def __call__(self, news: News) -> None:
        """Tell this."""
        if isinstance(news, Printed) and self._transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            return
        if not self._lost.done():
            self._transport.write(encode_news(news))

    async def close(self) -> None:
        """Return when all is read, or nobody reads any more."""
        self._transport.close()
        await self._lost


class _Protocol(asyncio.BaseProtocol):
    def __init__(self, lost: asyncio.Future[None]) -> None:
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set_result(None)


class TellingOutput(MemoryLiveOutput):
    """Live output that is told, too."""

    def __init__(self, clock: Callable[[], float], tell: Tell) -> None:
        super().__init__(clock)
        self._tell = tell

    async def send(self, of: JobId | BuildId, attempt: int, text: bytes) -> None:
        """As `ports.LiveOutput.send`."""
        await super().send(of, attempt, text)
        self._tell(Printed(of.job if isinstance(of, JobId) else None, base64.b64encode(text).decode("ascii")))


class Warnings(logging.Handler):
    """Tells what is logged as a warning."""

    def __init__(self, tell: Tell) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it."""
        self._tell(Warned(record.getMessage()))
