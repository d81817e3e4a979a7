"""Pull messages from a consumer with several requests under way, no faster than the reader takes them.

nats-py's `fetch` waits until each request is filled. Here requests overlap, so the broker may always send
some more: a message arrives as soon as it is stored, and a long replay never waits for a round trip. The
number of messages that are requested and not taken is bounded, and so is the memory.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import orjson

from distribute.core.errors import DistributeError
from distribute.nats.client.connection import Connection
from distribute.nats.client.inflow import Grant
from distribute.nats.client.protocol import header_fields, status

_EXPIRES_S = 60
_HEARTBEAT_S = 10
_SILENCE_S = 25.0
"""The broker sends a heartbeat every ten seconds. A consumer that is silent for this long is gone."""
_MOST_BYTES = 1 << 20
"""Max. bytes of a request. Many pullers may share a connection, and the broker cuts it off when 64 MiB wait.
Only a message that is larger itself is asked for with a larger request."""
_NANOSECONDS = 1_000_000_000
_IDLE_HEARTBEAT, _BAD_REQUEST, _TIMEOUT, _CONFLICT = 100, 400, 408, 409


class Arrival(NamedTuple):
    """A delivered message. `reply` tells its place in the stream and in the consumer."""

    subject: bytes
    reply: bytes
    payload: bytes


class ConsumerLost(Exception):
    """The consumer or the connection is gone: make a new consumer and read on from the same place."""


class Puller:
    """Pulls from one consumer that exists already. Use `take` in one task at a time."""

    def __init__(self, connection: Connection, stream: str, consumer: str, *, ahead: int) -> None:
        """At most `ahead` messages are under way or not taken yet."""
        self._connection = connection
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._ahead = ahead
        self._largest_bytes = 2 * connection.max_payload
        self._most_bytes = min(_MOST_BYTES, self._largest_bytes)
        self._next_is_large = False
        """Is the next message larger than `_most_bytes`? Then it is asked for alone."""
        self._waits_for_leave = False
        self._leave: Grant | None = None
        self._granted = 0
        self.arrived: list[Arrival] = []
        """Messages that have arrived and are not taken yet."""
        self._wake = asyncio.Event()
        self._lost: str | None = None
        self._error: DistributeError | None = None
        self._heard = True
        self._inbox = connection.new_inbox()
        self._undo = [connection.tap(self._inbox, self._receive), connection.on_loss(self._connection_lost)]
        self._loop = asyncio.get_running_loop()
        self._watch = self._loop.call_later(_SILENCE_S, self._check_silence)
        self._pull()

    async def take(self) -> list[Arrival]:
        """Wait for messages, and return all that have arrived since the last call.

        Raises:
            ConsumerLost: no more messages will arrive.
            DistributeError: the broker refuses the requests.
        """
        while not self.arrived:
            if self._error is not None:
                raise self._error
            if self._lost is not None:
                raise ConsumerLost(self._lost)
            self._wake.clear()
            await self._wake.wait()
        arrived, self.arrived = self.arrived, []
        self._pull()
        return arrived

    def fail(self, error: DistributeError) -> None:
        """Have `take` raise an error, after what has arrived."""
        self._error = error
        self._wake.set()

    def close(self) -> None:
        """Stop pulling."""
        self._watch.cancel()
        self._end_leave()
        for undo in self._undo:
            undo()
        self._undo.clear()

    def _pull(self) -> None:
        if self._granted > self._ahead // 2 or self.arrived:
            return
        if not self._next_is_large:
            self._ask(self._ahead - self._granted, self._most_bytes)
        elif not self._granted and not self._waits_for_leave:
            self._waits_for_leave = True
            self._connection.inflow.ask_for(self._largest_bytes // 2, self._pull_large)

    def _pull_large(self, leave: Grant) -> None:
        self._waits_for_leave = False
        if not self._undo:
            leave.end()  # closed meanwhile
            return
        self._leave = leave
        self._ask(1, self._largest_bytes)

    def _end_leave(self) -> None:
        if self._leave is not None:
            self._leave.end()
            self._leave = None

    def _ask(self, count: int, max_bytes: int) -> None:
        request = {
            "batch": count,
            "max_bytes": max_bytes,
            "expires": _EXPIRES_S * _NANOSECONDS,
            "idle_heartbeat": _HEARTBEAT_S * _NANOSECONDS,
        }
        if self._connection.send(self._next_subject, orjson.dumps(request), reply=self._inbox):
            self._granted += count

    def _receive(self, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
        self._heard = True
        if reply:
            self._granted -= 1
            self._next_is_large = False
            if self._leave is not None:
                self._leave.arrived(len(payload))
                self._end_leave()
            self.arrived.append(Arrival(subject, reply, payload))
            self._wake.set()
        else:
            self._told(status(header), header)

    def _told(self, code: int, header: bytes) -> None:
        """Handle a status message of the broker about a request."""
        if code == _IDLE_HEARTBEAT:
            return
        fields = header_fields(header)
        unfilled = fields.get("Nats-Pending-Messages", "")
        words = header[13:].partition(b"\r\n")[0].decode("utf-8", "replace")
        unused_bytes = fields.get("Nats-Pending-Bytes", "")
        if "MaxBytes" in words and unused_bytes == str(self._most_bytes):
            # The request had used none of its bytes, so the next message is larger than that.
            self._next_is_large = True
        self._end_leave()
        if "MaxBytes" in words and unused_bytes == str(self._largest_bytes):
            self._error = DistributeError(
                f"{self._next_subject}: a message is larger than the broker's max_payload is now: "
                "raise it again"
            )
            self._wake.set()
        elif code in (_TIMEOUT, _CONFLICT) and unfilled.isdecimal():
            self._granted -= int(unfilled)
            self._pull()
        elif code == _BAD_REQUEST:
            self._error = DistributeError(f"{self._next_subject}: the broker refuses the request: {words}")
            self._wake.set()
        else:
            self._give_up(f"{code} {words}")

    def _connection_lost(self) -> None:
        self._give_up("the connection was lost")

    def _check_silence(self) -> None:
        if not self._heard:
            self._give_up("it is silent")
            return
        # A slow reader has no open request, so silence is normal.
        self._heard = self._granted <= 0
        self._watch = self._loop.call_later(_SILENCE_S, self._check_silence)

    def _give_up(self, why: str) -> None:
        self._lost = why
        self._wake.set()
