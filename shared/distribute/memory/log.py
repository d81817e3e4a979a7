"""The event log in memory: `ports.EventLog` with the broker's guards, and every event through the codec."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from distribute.codec import encode
from distribute.core.errors import Conflict, LogReplaced
from distribute.core.ids import BatchId, Guarded
from distribute.core.log.events import Event
from distribute.core.log.outdated import closed_with
from distribute.core.log.recorded import Guard, Recorded, guard_scope
from distribute.ports import Garbage, Only, Place, Raw
from distribute.stored_events import StoredEvents, wanted

ALL = Only()


class MemoryLog:
    """A log for one process. It answers at once, and is never out."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.stored = StoredEvents()
        self.garbage = Garbage()
        self._clock = clock
        self._grew = asyncio.Event()

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """As `ports.EventLog.append`."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        scope = guard_scope(event)
        found_seq = self.stored.last_seq_of(scope)
        compacted_seq = self._compacted_seq(event)
        is_removed = found_seq < guard.last_seq and self.stored.was_purged(guard.last_seq)
        if guard.holds(found_seq) or (is_removed and compacted_seq <= guard.behind):
            answer.set_result(self.stored.store(encode(event), self._clock()).seq)
            self._grew.set()
            self._grew = asyncio.Event()
            return answer
        if is_removed:
            beaten = Conflict(scope, guard.last_seq, beaten_by_seq=compacted_seq, last_seq=found_seq)
            answer.set_exception(beaten)
            return answer
        first = self.stored.first_of(scope, guard.behind)
        if first is None:
            answer.set_exception(LogReplaced(f"the guard of {scope} names what the log does not have"))
        elif first.event.id == event.id:
            answer.set_result(first.seq)
        else:
            conflict = Conflict(scope, guard.last_seq, beaten_by_seq=first.seq, last_seq=found_seq)
            answer.set_exception(conflict)
        return answer

    def _compacted_seq(self, event: Event) -> int:
        """The sequence of the compaction that makes the event out of date; 0: there is none."""
        batch = closed_with(event)
        compacted = self.stored.last_of(batch, "compacted") if batch is not None else None
        return 0 if compacted is None else compacted.seq

    def begin_anew(self) -> None:
        """As `ports.EventLog.begin_anew`. This log loses nothing."""

    async def follow(
        self, *, after: int, at: float | None = None, only: Only = ALL, until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """As `ports.EventLog.follow`."""
        while until is None or after < until:
            grew = self._grew
            behind = self.stored.between(after, self.stored.last_seq if until is None else until)
            if not behind:
                if until is not None:
                    return
                await grew.wait()
                continue
            after = behind[-1].seq
            records = [recorded for recorded in behind if wanted(only, recorded.event)]
            if records:
                yield records

    async def follow_raw(
        self, *, after: int, until: int, only: Only = ALL
    ) -> AsyncGenerator[Sequence[Raw], None]:
        """As `ports.EventLog.follow_raw`."""
        async for records in self.follow(after=after, until=until, only=only):
            yield [Raw(seq, time, encode(event)) for seq, time, event in records]

    async def last(self, scope: Guarded, event_type: str | None = None) -> Recorded | None:
        """As `ports.EventLog.last`."""
        return self.stored.last_of(scope, event_type)

    async def get(self, seq: int) -> Recorded:
        """As `ports.EventLog.get`."""
        return self.stored.get(seq)

    async def get_raw(self, seq: int) -> Raw:
        """As `ports.EventLog.get_raw`."""
        found = await self.get(seq)
        return Raw(found.seq, found.time, encode(found.event))

    async def last_seq(self) -> int:
        """As `ports.EventLog.last_seq`."""
        return (await self.end()).seq

    async def purge(self, batch: BatchId, *, before: int) -> None:
        """As `ports.EventLog.purge`."""
        self.stored.purge(batch, before)

    async def end(self) -> Place:
        """As `ports.EventLog.end`."""
        return self.stored.end
