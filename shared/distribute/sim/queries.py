"""Questions to the services as a simulated process sees them: `ports.Queries`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial

from distribute.core.errors import DistributeError, Refused, Unreachable
from distribute.ports import Handler
from distribute.sim.network import Link


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """A process that answers a verb. Its tasks belong to the process that `context` is of."""

    link: Link
    handler: Handler
    context: Context

    def answer(self, payload: bytes) -> asyncio.Task[bytes]:
        """Begin to answer."""
        return self.context.run(self.link.loop.create_task, self.handler(payload))


Servers = dict[str, list[Server]]
"""Who answers which verb."""


class SimulatedQueries:
    """A process's access to queries, to ask and to answer."""

    def __init__(self, servers: Servers, link: Link) -> None:
        self._servers = servers
        self._link = link

    @contextlib.asynccontextmanager
    async def serving(self, verb: str, handler: Handler) -> AsyncIterator[None]:
        """As `ports.Queries.serving`."""
        server = Server(self._link, handler, copy_context())
        self._servers.setdefault(verb, []).append(server)
        try:
            yield
        finally:
            self._servers[verb].remove(server)

    async def ask(self, verb: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        """As `ports.Queries.ask`. If several services answer, the first answer counts."""
        answer: asyncio.Future[bytes] = self._link.loop.create_future()

        def asked() -> bool:
            servers = [server for server in self._servers.get(verb, ()) if server.link.connected]
            for server in servers:
                server.link.deliver(partial(self._arrived, server, payload, answer))
            return bool(servers)

        def heard(anybody: bool) -> None:
            if not anybody and not answer.done():
                answer.set_exception(Unreachable(f"no service answers {verb!r}"))

        self._link.request(asked, heard)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise Unreachable(f"no answer to {verb!r} within {timeout_s:g} s") from None

    def _arrived(self, server: Server, payload: bytes, answer: asyncio.Future[bytes]) -> None:
        def answered(task: asyncio.Task[bytes]) -> None:
            if not task.cancelled():
                server.link.request(lambda: self._link.deliver(lambda: _settle(answer, task)), lambda _: None)

        server.answer(payload).add_done_callback(answered)


def _settle(answer: asyncio.Future[bytes], task: asyncio.Task[bytes]) -> None:
    if answer.done():
        return
    error = task.exception()
    if error is None:
        answer.set_result(task.result())
    elif isinstance(error, DistributeError):
        answer.set_exception(Refused(str(error)))
    else:
        answer.set_exception(error)
