"""Read with acknowledgements, which the broker remembers over crashes of the reader.

The broker delivers a message again if it is not acknowledged within `ACK_WAIT_S`. While messages wait here to
be taken, we report them as in progress. The reader does so for those that it has taken.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from distribute.core.errors import Unreachable
from distribute.core.log.recorded import Recorded
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import ApiError, call
from distribute.nats.client.patience import report_silence
from distribute.nats.stream.pulling import Arrival, ConsumerLost, Puller
from distribute.nats.stream.reader import Entry, ack_tokens

_log = logging.getLogger(__name__)

ACK_WAIT_S = 10
MAX_ACK_PENDING = 10_000

_AHEAD = 256
_TRY_AGAIN_S = 0.2
_NANOSECONDS = 1_000_000_000
_ACK = b"+ACK"
_IN_PROGRESS = b"+WPI"


class JetStreamDelivery:
    """`ports.Delivery`."""

    def __init__(self, connection: Connection, reply: str, recorded: Recorded) -> None:
        self.recorded = recorded
        self._connection = connection
        self._reply = reply

    def ack(self) -> None:
        """As `ports.Delivery.ack`."""
        self._connection.send(self._reply, _ACK)

    def in_progress(self) -> None:
        """As `ports.Delivery.in_progress`."""
        self._connection.send(self._reply, _IN_PROGRESS)


class DurableReader:
    """Reads a stream as one durable consumer. `name` must be a token."""

    def __init__(
        self,
        connection: Connection,
        stream: str,
        name: str,
        filters: list[str],
        recorded: Callable[[Entry], Awaitable[Recorded | None]],
    ) -> None:
        """`recorded` turns a message into an event, and returns None for a message that readers skip."""
        self._connection = connection
        self._stream = stream
        self._name = name
        self._filters = filters
        self._recorded = recorded
        self._waiting: deque[Arrival] = deque()
        self._puller: Puller | None = None

    async def deliveries(self) -> AsyncGenerator[JetStreamDelivery, None]:
        """Yield the events that are not acknowledged, then new ones.

        Raises:
            UnreadableEvent: a newer distribute wrote a message; it stays unacknowledged.
            ApiError: the consumer can't be made.
        """
        keeping = asyncio.create_task(self._keep_waiting_ones(), name=f"keep deliveries of {self._name}")
        try:
            while True:
                self._waiting.extend(await self._take())
                while self._waiting:
                    subject, reply, payload = self._waiting[0]
                    _, seq, _, time_ns, *_ = ack_tokens(reply)
                    entry = Entry(int(seq), int(time_ns) / _NANOSECONDS, subject, payload)
                    recorded = await self._recorded(entry)
                    self._waiting.popleft()
                    if recorded is None:
                        self._connection.send(reply.decode(), _ACK)
                    else:
                        yield JetStreamDelivery(self._connection, reply.decode(), recorded)
        finally:
            keeping.cancel()
            self._waiting.clear()
            if self._puller is not None:
                self._puller.close()
                self._puller = None

    async def _take(self) -> list[Arrival]:
        while True:
            asked_at = time.time()
            try:
                if self._puller is None:
                    await self._ensure_consumer()
                    self._puller = Puller(self._connection, self._stream, self._name, ahead=_AHEAD)
                return await self._puller.take()
            except ConsumerLost as error:
                _log.debug("%s: reading as %s again: %s", self._connection.address, self._name, error)
                if self._puller is not None:
                    self._puller.close()
                    self._puller = None
            except (Unreachable, ApiError) as error:
                if isinstance(error, ApiError) and error.code < 500:
                    raise
                _log.debug("%s: can't read as %s now: %s", self._connection.address, self._name, error)
                report_silence(self._connection, time.time() - asked_at, error)
                # A stream without a leader, or in recovery, sends no signal when it is back.
                await asyncio.sleep(_TRY_AGAIN_S)

    async def _ensure_consumer(self) -> None:
        config: dict[str, Any] = {
            "durable_name": self._name,
            "name": self._name,
            "filter_subjects": self._filters,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": ACK_WAIT_S * _NANOSECONDS,
            "max_ack_pending": MAX_ACK_PENDING,
        }
        request = {"stream_name": self._stream, "config": config, "action": ""}
        await call(self._connection, f"CONSUMER.CREATE.{self._stream}.{self._name}", request)

    async def _keep_waiting_ones(self) -> None:
        while True:
            await asyncio.sleep(ACK_WAIT_S / 3)
            untaken = self._puller.arrived if self._puller is not None else []
            for _, reply, _ in (*self._waiting, *untaken):
                self._connection.send(reply.decode(), _IN_PROGRESS)
