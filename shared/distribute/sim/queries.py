"""Questions to the services as a simulated process sees them: `ports.Queries`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial

from distribute.core.errors import DistributeError, NobodyAnswers, Refused, Unreachable
from distribute.ports import QUERIES_AT_WORK, Handler
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


Servers = dict[tuple[str, str | None], list[Server]]
"""Who answers which verb, for all or as a node."""


class SimulatedQueries:
    """A process's access to queries, to ask and to answer."""

    def __init__(self, servers: Servers, link: Link) -> None:
        self._servers = servers
        self._link = link

    @contextlib.asynccontextmanager
    async def serving(
        self, verb: str, handler: Handler, *, node: str | None = None, at_work: int = QUERIES_AT_WORK
    ) -> AsyncIterator[None]:
        """As `ports.Queries.serving`. Here, any number is at work."""
        server = Server(self._link, handler, copy_context())
        self._servers.setdefault((verb, node), []).append(server)
        try:
            yield
        finally:
            self._servers[verb, node].remove(server)

    async def ask(
        self, verb: str, payload: bytes = b"", *, node: str | None = None, timeout_s: float = 5.0
    ) -> bytes:
        """As `ports.Queries.ask`. If several services answer, the first answer counts."""
        answer: asyncio.Future[bytes] = self._link.loop.create_future()

        def asked() -> bool:
            servers = [each for each in self._servers.get((verb, node), ()) if each.link.connected]
            for server in servers:
                server.link.deliver(partial(self._arrived, server, payload, answer))
            return bool(servers)

        def heard(anybody: bool) -> None:
            if not anybody and not answer.done():
                answer.set_exception(NobodyAnswers(f"no service answers {verb!r}"))

        self._link.request(asked, heard)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise Unreachable(f"no answer to {verb!r} within {timeout_s:g} s") from None

    def _arrived(self, server: Server, payload: bytes, answer: asyncio.Future[bytes]) -> None:
        def answered(task: asyncio.Task[bytes]) -> None:
            if task.cancelled():
                return
            error = task.exception()  # a refusal is an answer, also if nobody waits for it any more
            if error is not None and not isinstance(error, DistributeError):
                raise error
            server.link.request(lambda: self._link.deliver(lambda: _settle(answer, task)), lambda _: None)

        server.answer(payload).add_done_callback(answered)


def _settle(answer: asyncio.Future[bytes], task: asyncio.Task[bytes]) -> None:
    if answer.done():
        return
    error = task.exception()
    if error is None:
        answer.set_result(task.result())
    else:
        answer.set_exception(Refused(str(error)))
