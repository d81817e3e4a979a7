"""Queries in memory: `ports.Queries`, for services and clients in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from distribute.core.errors import DistributeError, NobodyAnswers, Refused
from distribute.ports import QUERIES_AT_WORK, Handler


class MemoryQueries:
    """Hands each query to whoever serves it."""

    def __init__(self) -> None:
        self._handlers: dict[tuple[str, str | None], Handler] = {}

    @asynccontextmanager
    async def serving(
        self, verb: str, handler: Handler, *, node: str | None = None, at_work: int = QUERIES_AT_WORK
    ) -> AsyncIterator[None]:
        """As `ports.Queries.serving`. Here, any number is at work."""
        self._handlers[verb, node] = handler
        try:
            yield
        finally:
            del self._handlers[verb, node]

    async def ask(
        self, verb: str, payload: bytes = b"", *, node: str | None = None, timeout_s: float = 5.0
    ) -> bytes:
        """As `ports.Queries.ask`. Here, it waits for ever."""
        handler = self._handlers.get((verb, node))
        if handler is None:
            raise NobodyAnswers(f"no service answers {verb!r}")
        try:
            return await handler(payload)
        except DistributeError as error:
            raise Refused(str(error)) from error
