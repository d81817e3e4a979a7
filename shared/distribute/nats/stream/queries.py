"""Queries to a service: request and reply, for reads that need no record.

A large answer is compressed, and sent in several messages if it exceeds the broker's limit. The first byte of
each message is `+`: more follow; `.`: this is the last; `z`: this is the last of a compressed answer; or `!`:
this is the last, and the answer is an error message. The id of the answer follows. If two services answer, as
two schedulers do, the asker takes the answer that is complete first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from secrets import token_bytes
from typing import Any

from distribute.core.errors import DistributeError, Refused
from distribute.limited_log import LimitedLog
from distribute.nats.client.connection import Connection
from distribute.nats.stream.tokens import escape
from distribute.ports import QUERIES_AT_WORK

_log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 256 << 20
_COMPRESS_OVER_BYTES = 32 * 1024
_ID_BYTES = 8
_HEAD_BYTES = 1 + _ID_BYTES
_MORE, _PLAIN, _COMPRESSED, _ERROR = b"+", b".", b"z", b"!"

MAX_AT_ONCE = 1000
"""Max. queries of one verb that are being answered. A further one is refused; the asker may try again."""

UNSENT_BYTES = 8 << 20
"""With more bytes than this still to be sent, an answer waits, and keeps its place among those at work."""

Handler = Callable[[bytes], Coroutine[Any, Any, bytes]]


class Queries:
    """The queries of this cluster, by verb. A verb is a lower-case word."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._failed = LimitedLog(_log, logging.ERROR)

    @contextlib.asynccontextmanager
    async def serving(
        self, verb: str, handler: Handler, *, node: str | None = None, at_work: int = QUERIES_AT_WORK
    ) -> AsyncIterator[None]:
        """Answer queries of a verb for as long as the context lasts, each in a task of its own.

        `at_work` at a time; with `node`, only those for this node. If the handler raises a
        `DistributeError`, the asker gets `Refused` with its message.
        """
        tasks: set[asyncio.Task[tuple[bytes, bytes]]] = set()
        places = asyncio.Semaphore(at_work)

        def asked(subject: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
            if len(tasks) >= MAX_AT_ONCE:
                self._send(
                    reply.decode(), _ERROR, f"{len(tasks)} questions of {verb!r} wait already".encode()
                )
                return
            task = asyncio.create_task(self._made(handler, payload, places), name=f"query {verb}")
            tasks.add(task)
            task.add_done_callback(lambda done: self._answer(verb, reply.decode(), done))
            task.add_done_callback(tasks.discard)

        end = self._connection.tap(_subject(verb, node), asked)
        try:
            await self._connection.round_trip()
            yield
        finally:
            end()
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def ask(
        self, verb: str, payload: bytes = b"", *, node: str | None = None, timeout_s: float = 5.0
    ) -> bytes:
        """Ask the service that answers this verb; with `node`, that node.

        Raises:
            NobodyAnswers: no service answers this verb.
            Refused: the service refuses the query, or the broker forbids it.
            Unreachable: there is no answer in time.
        """
        messages = await self._connection.collect(
            _subject(verb, node),
            payload,
            is_last=lambda message: message.payload[:1] != _MORE,
            timeout_s=timeout_s,
        )
        kind, answer_id = messages[-1].payload[:1], messages[-1].payload[1:_HEAD_BYTES]
        body = b"".join(
            message.payload[_HEAD_BYTES:]
            for message in messages
            if message.payload[1:_HEAD_BYTES] == answer_id
        )
        if kind == _COMPRESSED:
            return self._inflated(verb, body)
        if kind == _ERROR:
            raise Refused(body.decode("utf-8", "replace"))
        return body

    def _inflated(self, verb: str, body: bytes) -> bytes:
        """Decompress an answer, up to a bound, because anyone may answer a query."""
        inflater = zlib.decompressobj()
        try:
            answer = inflater.decompress(body, MAX_ANSWER_BYTES)
        except zlib.error as error:
            raise Refused(
                f"{self._connection.address}: the answer to {verb!r} is damaged: {error}"
            ) from error
        if not inflater.eof:
            raise Refused(
                f"{self._connection.address}: the answer to {verb!r} is cut short, or larger than "
                f"{MAX_ANSWER_BYTES >> 20} MiB"
            )
        return answer

    async def _made(self, handler: Handler, payload: bytes, places: asyncio.Semaphore) -> tuple[bytes, bytes]:
        async with places:
            answer = await _answered(handler, payload)
            await self._connection.less_unsent_than(UNSENT_BYTES)
            return answer

    def _answer(self, verb: str, reply: str, task: asyncio.Task[tuple[bytes, bytes]]) -> None:
        if task.cancelled() or not reply:
            return
        error = task.exception()
        if error is None:
            self._send(reply, *task.result())
        elif isinstance(error, DistributeError):
            self._send(reply, _ERROR, str(error).encode())
        else:
            self._failed.write("the query %r failed", verb, error=error)
            self._send(reply, _ERROR, f"the query {verb!r} failed: the service's log says why".encode())

    def _send(self, reply: str, kind: bytes, body: bytes) -> None:
        if not reply:
            return
        answer_id = token_bytes(_ID_BYTES)
        share = self._connection.max_payload - _HEAD_BYTES
        last = max(0, len(body) - 1) // share * share
        for at in range(0, last, share):
            self._connection.send(reply, _MORE + answer_id + body[at : at + share])
        self._connection.send(reply, kind + answer_id + body[last:])


async def _answered(handler: Handler, payload: bytes) -> tuple[bytes, bytes]:
    """The kind of an answer, and its body. A large one is compressed in a thread, because that takes long."""
    body = await handler(payload)
    if len(body) <= _COMPRESS_OVER_BYTES:
        return _PLAIN, body
    return _COMPRESSED, await asyncio.to_thread(zlib.compress, body, 1)


def _subject(verb: str, node: str | None) -> str:
    return f"query.{verb}" if node is None else f"query.{verb}.{escape(node)}"
