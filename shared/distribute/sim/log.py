"""The event log as a simulated process sees it: `ports.EventLog`, with the resending of the real client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from distribute.codec import encode
from distribute.core.errors import Conflict
from distribute.core.events import Event
from distribute.core.ids import Scope, Under
from distribute.core.recorded import Guard, Recorded, guard_scope
from distribute.ports import Only, Raw
from distribute.sim.network import Link
from distribute.sim.stored_events import wanted

ALL = Only()

RESEND_AFTER_S = 10.0


@dataclass(slots=True, eq=False)
class _Outgoing:
    event: Event
    body: bytes
    guard: Guard
    expected_seq: int
    future: asyncio.Future[int]
    tries: int = 0
    settling: bool = False
    answered: bool = False


class SimulatedLog:
    """A process's way to the log. It resends, and settles conflicts, as `nats.stream.publisher` does."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._broker = link.broker
        self._in_flight: dict[str, _Outgoing] = {}
        link.on_return.append(self._send_all_again)

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """As `ports.EventLog.append`."""
        future: asyncio.Future[int] = self._link.loop.create_future()
        entry = _Outgoing(event, encode(event), guard, guard.last_seq, future)
        self._in_flight[event.id] = entry
        self._send(entry)
        return future

    @property
    def unanswered(self) -> int:
        """How many appends have no answer yet."""
        return len(self._in_flight)

    async def follow(
        self, *, after: int, only: Only = ALL, until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """As `ports.EventLog.follow`."""
        follower = _Follower(self._link, after, only, until)
        try:
            while until is None or follower.position < until:
                if records := await follower.take():
                    yield records
        finally:
            follower.close()

    async def last(self, scope: Scope | Under, event_type: str | None = None) -> Recorded | None:
        """As `ports.EventLog.last`."""
        if event_type is None:
            return await self._link.ask(lambda: self._broker.stored.last_of(scope))

        def find() -> Recorded | None:
            of_scope = self._broker.stored.of_scope(scope)
            return next((found for found in reversed(of_scope) if found.event.type == event_type), None)

        return await self._link.ask(find)

    async def last_raw(self, scope: Scope, event_type: str) -> Raw | None:
        """As `ports.EventLog.last_raw`."""
        found = await self.last(scope, event_type)
        return Raw(found.seq, found.time, encode(found.event)) if found is not None else None

    async def get(self, seq: int) -> Recorded:
        """As `ports.EventLog.get`."""

        def find() -> Recorded | None:
            stored = self._broker.stored
            return stored.get(seq) if 0 < seq <= stored.last_seq else None

        found = await self._link.ask(find)
        if found is None:
            raise KeyError(seq)
        return found

    async def last_seq(self) -> int:
        """As `ports.EventLog.last_seq`."""
        return await self._link.ask(lambda: self._broker.stored.last_seq)

    # --- sending -----------------------------------------------------------------------------------

    def _send_all_again(self) -> None:
        for entry in list(self._in_flight.values()):
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
        self._watch(entry)

    def _watch(self, entry: _Outgoing) -> None:
        """Begin again if this try has no answer after a while."""
        entry.tries += 1
        tries = entry.tries

        def overdue() -> None:
            if not entry.answered and entry.tries == tries and not self._link.closed:
                entry.settling = False
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
        self._watch(entry)
        scope, tries = guard_scope(entry.event), entry.tries
        self._link.request(
            lambda: self._broker.stored.last_seq_of(scope),
            lambda found: self._settle(entry, found) if entry.tries == tries else None,
        )

    def _settle(self, entry: _Outgoing, found_seq: int) -> None:
        """Find out what the conflict means. See `distribute.nats.stream.guards.settle`."""
        if entry.guard.holds(found_seq):
            entry.settling = False
            entry.expected_seq = found_seq
            self._send(entry)
            return
        scope, tries = guard_scope(entry.event), entry.tries

        def decide(first: Recorded | None) -> None:
            if entry.tries != tries:
                return
            if first is not None and first.event.id == entry.event.id:
                self._stored(entry, first.seq)
            else:
                self._beaten(entry, found_seq)

        self._link.request(lambda: self._broker.stored.first_of(scope, entry.guard.behind), decide)

    def _stored(self, entry: _Outgoing, seq: int) -> None:
        self._leave(entry)
        if not entry.future.done():
            entry.future.set_result(seq)

    def _beaten(self, entry: _Outgoing, found_seq: int) -> None:
        self._leave(entry)
        if not entry.future.done():
            entry.future.set_exception(Conflict(guard_scope(entry.event), entry.guard.last_seq, found_seq))

    def _leave(self, entry: _Outgoing) -> None:
        entry.answered = True
        del self._in_flight[entry.event.id]


class _Follower:
    """A reader of the log: it gets every event wanted, once, in order, late."""

    def __init__(self, link: Link, after: int, only: Only, until: int | None) -> None:
        self.position = after
        """The sequence up to which the log was read."""
        self._until = until
        self._link = link
        self._only = only
        self._under_way = False
        self._arrived: deque[Sequence[Recorded]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        link.on_return.append(self.wake)
        link.broker.readers.append(self._on_event)
        self.wake()

    async def take(self) -> Sequence[Recorded]:
        """The events of the next delivery. They may be none only at the end."""
        while not self._arrived:
            self._waiting = self._link.loop.create_future()
            await self._waiting
        return self._arrived.popleft()

    def close(self) -> None:
        self._link.on_return.remove(self.wake)
        self._link.broker.readers.remove(self._on_event)

    def _on_event(self, recorded: Recorded | None) -> None:
        if recorded is None or wanted(self._only, recorded.event) or recorded.seq == self._until:
            self.wake()
        elif self.position == recorded.seq - 1 and not self._under_way:
            self.position = recorded.seq  # the broker does not send what the reader does not want

    @property
    def _end(self) -> int:
        last_seq = self._link.broker.stored.last_seq
        return last_seq if self._until is None else min(last_seq, self._until)

    def wake(self) -> None:
        if self._under_way or not self._link.connected or self.position >= self._end:
            return
        self._under_way = True
        self._link.deliver(self._arrive, self._miss)

    def _miss(self) -> None:
        self._under_way = False

    def _arrive(self) -> None:
        self._under_way = False
        broker, loop = self._link.broker, self._link.loop
        if not broker.up:
            return
        until = self._end
        if until - self.position > 1 and loop.chance(0.5):
            until = loop.random.randint(self.position + 1, until)
        records = [
            recorded
            for recorded in broker.stored.between(self.position, until)
            if wanted(self._only, recorded.event)
        ]
        self.position = until
        if records or until == self._until:
            self._arrived.append(records)
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(None)
        self.wake()
