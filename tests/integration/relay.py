"""A relay between client and broker that a test can cut, mute, stall and slow down."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from distribute.nats.client.connect import Address


class Relay:
    """Passes bytes on to the broker and back until a test stops it."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._muted = False
        self._rate: float | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> Address:
        return Address.of(f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}")

    def mute(self) -> None:
        """Drop what the broker sends on the open connections."""
        self._muted = True

    def unmute(self) -> None:
        """Pass on again what the broker sends."""
        self._muted = False

    def stall(self) -> None:
        """Stop reading from both sides, so that their buffers fill up."""
        self._flowing.clear()

    def slow_down(self, bytes_per_s: float) -> None:
        """Pass on no more than this of what the broker sends."""
        self._rate = bytes_per_s

    def cut(self) -> None:
        """Close all connections. New ones work."""
        self._muted = False
        self._flowing.set()
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        except ConnectionError:
            writer.transport.abort()
            return
        self._writers |= {writer, broker_writer}
        for task in (
            asyncio.create_task(self._pass_on(reader, broker_writer, from_broker=False)),
            asyncio.create_task(self._pass_on(broker_reader, writer, from_broker=True)),
        ):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_broker: bool
    ) -> None:
        due = 0.0
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await self._flowing.wait()
                if not (from_broker and self._muted):
                    writer.write(data)
                    await writer.drain()
                if from_broker and self._rate:
                    due = max(due, time.monotonic()) + len(data) / self._rate
                    await asyncio.sleep(due - time.monotonic())
        writer.transport.abort()
        self._writers.discard(writer)
