"""The event log as a simulated process sees it: `ports.EventLog`, with the resending of the real client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from distribute.codec import encode
from distribute.core.errors import Conflict, DistributeError, LogReplaced
from distribute.core.ids import BatchId, Guarded
from distribute.core.log.events import Event
from distribute.core.log.outdated import closed_with
from distribute.core.log.recorded import Guard, Recorded, guard_scope
from distribute.ports import Garbage, Only, Place, Raw
from distribute.sim.following import Follower
from distribute.sim.network import Link

ALL = Only()

RESEND_AFTER_S = 10.0


@dataclass(slots=True, eq=False)
class _Outgoing:
    event: Event
    body: bytes
    guard: Guard
    expected_seq: int
    future: asyncio.Future[int]
    is_new: bool
    tries: int = 0
    settling: bool = False
    answered: bool = False


class Memory(Protocol):
    """Remembers the events that a log appended, to append them again if the broker loses them."""

    replaced: LogReplaced | None
    """Set once the log lacks more than is remembered."""

    def acknowledged(self, seq: int, event: Event, behind: int, size_bytes: int) -> None:
        """The broker has stored an event."""

    async def now_at(self, scope: Guarded, seq: int) -> int:
        """Where the event is that was once stored at a sequence. Raises `LogReplaced`."""

    def begin_anew(self) -> None:
        """Forget everything if the log is another one."""

    def on_replaced(self, hook: Callable[[LogReplaced], None]) -> Callable[[], None]:
        """Call `hook` whenever `replaced` is set. Returns a function that ends this."""


class NoMemory:
    """Remembers nothing."""

    replaced: LogReplaced | None = None

    def acknowledged(self, seq: int, event: Event, behind: int, size_bytes: int) -> None:
        """As `Memory.acknowledged`."""

    async def now_at(self, scope: Guarded, seq: int) -> int:
        """As `Memory.now_at`."""
        return seq

    def begin_anew(self) -> None:
        """As `Memory.begin_anew`."""

    def on_replaced(self, hook: Callable[[LogReplaced], None]) -> Callable[[], None]:
        """As `Memory.on_replaced`."""
        return lambda: None


class SimulatedLog:
    """A process's access to the log. It resends and settles conflicts as `nats.stream.publisher` does."""

    def __init__(self, link: Link) -> None:
        self.garbage = Garbage()
        self.memory: Memory = NoMemory()
        self._link = link
        self._broker = link.broker
        self._in_flight: dict[_Outgoing, None] = {}
        link.on_return.append(self._send_all_again)

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """As `ports.EventLog.append`."""
        if self.memory.replaced is not None:
            refused: asyncio.Future[int] = self._link.loop.create_future()
            refused.set_exception(self.memory.replaced)
            return refused
        return self._publish(event, guard, is_new=True)

    def begin_anew(self) -> None:
        """As `ports.EventLog.begin_anew`."""
        self.memory.begin_anew()

    def append_again(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """Append an event that the memory found to be lost."""
        return self._publish(event, guard, is_new=False)

    @property
    def unanswered(self) -> int:
        """How many appends have no answer yet."""
        return len(self._in_flight)

    async def follow(
        self, *, after: int, at: float | None = None, only: Only = ALL, until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """As `ports.EventLog.follow`."""
        follower = Follower(self._link, after, at, only, until)
        undo = self.memory.on_replaced(follower.fail)
        try:
            while follower.arrived or not follower.is_over:
                if records := await follower.take():
                    yield records
        finally:
            undo()
            follower.close()

    async def follow_raw(
        self, *, after: int, until: int, only: Only = ALL
    ) -> AsyncGenerator[Sequence[Raw], None]:
        """As `ports.EventLog.follow_raw`."""
        async for records in self.follow(after=after, until=until, only=only):
            yield [Raw(seq, time, encode(event)) for seq, time, event in records]

    async def last(self, scope: Guarded, event_type: str | None = None) -> Recorded | None:
        """As `ports.EventLog.last`."""
        return await self._link.ask(lambda: self._broker.stored.last_of(scope, event_type))

    async def get(self, seq: int) -> Recorded:
        """As `ports.EventLog.get`."""
        found = await self._get(seq)
        if found is None:
            raise KeyError(seq)
        return found

    async def _get(self, seq: int) -> Recorded | None:
        def find() -> Recorded | None:
            try:
                return self._broker.stored.get(seq)
            except KeyError:
                return None

        return await self._link.ask(find)

    async def get_raw(self, seq: int) -> Raw:
        """As `ports.EventLog.get_raw`."""
        found = await self.get(seq)
        return Raw(found.seq, found.time, encode(found.event))

    async def last_seq(self) -> int:
        """As `ports.EventLog.last_seq`."""
        return (await self.end()).seq

    async def end(self) -> Place:
        """As `ports.EventLog.end`."""
        return await self._link.ask(lambda: self._broker.stored.end)

    async def purge(self, batch: BatchId, *, before: int) -> None:
        """As `ports.EventLog.purge`."""
        await self._link.ask(lambda: self._broker.stored.purge(batch, before))

    # --- sending -----------------------------------------------------------------------------------

    def _publish(self, event: Event, guard: Guard, *, is_new: bool) -> asyncio.Future[int]:
        future: asyncio.Future[int] = self._link.loop.create_future()
        entry = _Outgoing(event, encode(event), guard, guard.last_seq, future, is_new)
        self._in_flight[entry] = None
        self._send(entry)
        return future

    def _send_all_again(self) -> None:
        for entry in list(self._in_flight):
            if not entry.settling:
                self._send(entry)

    def _send(self, entry: _Outgoing) -> None:
        event, body, expected_seq = entry.event, entry.body, entry.expected_seq
        times = 2 if self._link.loop.chance(self._link.weather().repeat) else 1
        for _ in range(times):
            self._link.request(
                lambda: self._broker.publish(event.id, body, guard_scope(event), expected_seq),
                lambda seq: self._answered(entry, seq),
            )
        entry.tries += 1
        tries = entry.tries

        def overdue() -> None:
            is_waiting = entry.tries == tries and not entry.settling
            if is_waiting and not entry.answered and not self._link.closed:
                self._send(entry)

        self._link.loop.after(RESEND_AFTER_S, overdue)

    # --- answers -----------------------------------------------------------------------------------

    def _answered(self, entry: _Outgoing, seq: int | None) -> None:
        if entry.answered or entry.settling:
            return
        if seq is not None:
            self._stored(entry, seq)
            return
        entry.settling = True
        self._link.context.copy().run(self._link.loop.create_task, self._settle(entry))

    async def _settle(self, entry: _Outgoing) -> None:
        """Find out what a refusal means. See `distribute.nats.stream.guards.settle`."""
        scope, guard, stored = guard_scope(entry.event), entry.guard, self._broker.stored
        if guard.last_seq and entry.is_new:
            try:
                guard = guard._replace(last_seq=await self.memory.now_at(scope, guard.last_seq))
            except LogReplaced as error:
                self._refused(entry, error)
                return
        found_seq = await self._link.ask(lambda: stored.last_seq_of(scope))
        if guard.holds(found_seq):
            self._again(entry, found_seq)
            return
        if found_seq < guard.last_seq:
            if await self._link.ask(lambda: stored.was_purged(guard.last_seq)):
                await self._settle_removed(entry, guard, found_seq)
                return
            self._refused(entry, LogReplaced(f"the log has lost its end: {scope} ends at {found_seq}"))
            return
        first = await self._link.ask(lambda: stored.first_of(scope, guard.behind))
        if first is None:
            self._again(entry, found_seq)  # what is behind it is garbage
        elif first.event.id == entry.event.id:
            self._stored(entry, first.seq)
        else:
            self._refused(entry, Conflict(scope, guard.last_seq, beaten_by_seq=first.seq, last_seq=found_seq))

    async def _settle_removed(self, entry: _Outgoing, guard: Guard, found_seq: int) -> None:
        """Settle the refusal of an event whose guard names what a compaction removed."""
        batch = closed_with(entry.event)
        compacted = await self.last(batch, "compacted") if batch is not None else None
        if compacted is not None and compacted.seq > guard.behind:
            scope = guard_scope(entry.event)
            beaten = Conflict(scope, guard.last_seq, beaten_by_seq=compacted.seq, last_seq=found_seq)
            self._refused(entry, beaten)
        else:
            self._again(entry, found_seq)

    def _again(self, entry: _Outgoing, expected_seq: int) -> None:
        entry.settling = False
        entry.expected_seq = expected_seq
        self._send(entry)

    def _stored(self, entry: _Outgoing, seq: int) -> None:
        self._leave(entry)
        if entry.is_new:
            self.memory.acknowledged(seq, entry.event, entry.guard.behind, len(entry.body))
        if not entry.future.done():
            entry.future.set_result(seq)

    def _refused(self, entry: _Outgoing, error: DistributeError) -> None:
        self._leave(entry)
        if not entry.future.done():
            entry.future.set_exception(error)

    def _leave(self, entry: _Outgoing) -> None:
        entry.answered = True
        del self._in_flight[entry]
