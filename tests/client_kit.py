"""A cluster in memory for tests of the client: a log, a store in a folder, and a scheduler if wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from distribute.client.person import Person
from distribute.codec import encode
from distribute.core import errors
from distribute.core.errors import LogReplaced
from distribute.core.files.manifest import Entry, Manifest, Outputs, StoredObject
from distribute.core.folding.fold import apply
from distribute.core.ids import BatchId, BuildId, JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, Recorded, guard_scope
from distribute.core.slices import at_once
from distribute.core.state.state import State
from distribute.core.views.views import results_view, standing_view
from distribute.memory.log import ALL, MemoryLog
from distribute.memory.store import FileStore
from distribute.ports import Only
from distribute.stored_events import StoredEvents
from distribute.testing import builders as make

JANE = Person("jane", make.new_id, lambda: datetime(2030, 1, 1, tzinfo=UTC))


WITHOUT_SCHEDULER = "no scheduler"
WITH_AND_WITHOUT_SCHEDULER = (WITHOUT_SCHEDULER, "a scheduler answers")


class NobodyAnswers:
    """Queries without a scheduler."""

    async def ask(self, verb: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        raise errors.NobodyAnswers(f"nobody answers {verb!r}")

    def serving(self, verb: str, handler: Any) -> AbstractAsyncContextManager[None]:
        raise AssertionError("no service runs here")


class SchedulerAnswers(NobodyAnswers):
    """Queries to a scheduler that has folded the log, all of it or up to the sequence `until`."""

    def __init__(self, log: MemoryLog, until: int | None = None) -> None:
        self._log = log
        self.until = until
        self.asked: list[str] = []

    async def ask(self, verb: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        if verb not in {"standing", "results"}:
            return await super().ask(verb, payload, timeout_s=timeout_s)
        self.asked.append(verb)
        asked, state, stored = orjson.loads(payload), State(), self._log.stored
        for recorded in stored.between(0, stored.last_seq if self.until is None else self.until):
            apply(state, recorded)
        batch = BatchId(asked["namespace"], asked["batch"])
        if verb == "results":
            return orjson.dumps(at_once(results_view(state, batch)))
        return orjson.dumps(at_once(standing_view(state, batch, asked["job"])))


class Printed:
    """Live output: followers get what was sent before and what comes."""

    def __init__(self) -> None:
        self._texts: dict[tuple[JobId | BuildId, int], asyncio.Queue[bytes]] = {}
        self.since: float | None = None
        """Since when the last follower wanted what was printed."""

    async def send(self, of: JobId | BuildId, attempt: int, text: bytes) -> None:
        await self._queue(of, attempt).put(text)

    async def follow(
        self, of: JobId | BuildId, attempt: int, *, since: float = 0.0
    ) -> AsyncGenerator[bytes, None]:
        self.since = since
        queue = self._queue(of, attempt)
        while True:
            yield await queue.get()

    def _queue(self, of: JobId | BuildId, attempt: int) -> asyncio.Queue[bytes]:
        return self._texts.setdefault((of, attempt), asyncio.Queue())


class ReplacedLog(MemoryLog):
    """A log that `replace` cuts. Its followers then get `LogReplaced` once."""

    replaced = False

    async def follow(
        self, *, after: int, at: float | None = None, only: Only = ALL, until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        async for events in super().follow(after=after, at=at, only=only, until=until):
            if self.replaced and until is None:
                self.replaced = False
                raise LogReplaced("the log has less than was read of it")
            yield events

    async def replace(self, keeps: int) -> None:
        """Lose all events but the first ones."""
        kept = self.stored.between(0, keeps)
        self.stored, self.replaced = StoredEvents(), True
        for recorded in kept:
            self.stored.store(encode(recorded.event), recorded.time)


class CountingLog(ReplacedLog):
    """Counts the events that its readers get."""

    read = 0
    hidden = frozenset[str]()
    """The types of the events that readers do not get, as if a person had removed them."""

    async def follow(
        self, *, after: int, at: float | None = None, only: Only = ALL, until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        async for events in super().follow(after=after, at=at, only=only, until=until):
            there = [recorded for recorded in events if recorded.event.type not in self.hidden]
            if there:
                self.read += len(there)
                yield there


class MemoryCluster:
    """A `ports.Cluster` in memory, for one test."""

    connected = True

    def __init__(self, folder: Path, scheduler: str = WITHOUT_SCHEDULER) -> None:
        self.log = self.stream = ReplacedLog()
        self.store = FileStore(folder)
        self.live = Printed()
        self.queries = NobodyAnswers() if scheduler == WITHOUT_SCHEDULER else SchedulerAnswers(self.log)

    def on_return(self, callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    async def say(self, *events: Event) -> None:
        """Append events, each under a guard that holds."""
        for event in events:
            last = await self.log.last(guard_scope(event))
            await self.log.append(event, Guard(last.seq if last is not None else 0))

    def types(self) -> list[str]:
        """The types of all events in the log."""
        return [recorded.event.type for recorded in self.log.stored.between(0, self.log.stored.last_seq)]

    async def until(self, event_type: str) -> None:
        """Wait until the log has an event of a type."""
        async with asyncio.timeout(60):
            async for _ in MemoryLog.follow(self.log, after=0):
                if event_type in self.types():
                    return

    async def keep(self, content: bytes, name: str = "lab/sweep/job1/1/0") -> StoredObject:
        """Store an object in the archive."""

        async def pieces() -> AsyncGenerator[bytes, None]:
            yield content

        stored = await self.store.put_result(name, "ws1", pieces())
        await self.store.commit_result(stored)
        return stored


def left(*entries: Entry, objects: tuple[StoredObject, ...] = ()) -> Outputs:
    """The outputs of a job with this manifest."""
    return Outputs(inline=Manifest(entries=entries, objects=objects))
