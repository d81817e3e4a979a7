"""The event log on JetStream: `ports.EventLog`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from math import inf

from distribute.acknowledged import Acknowledged, Questions
from distribute.codec import decode, encode
from distribute.core.errors import UnreadableEvent
from distribute.core.ids import BatchId, Guarded, JobId, Under
from distribute.core.log.events import Event
from distribute.core.log.outdated import closed_with
from distribute.core.log.recorded import Guard, Recorded, guard_scope
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import Stored, call, leader_get
from distribute.nats.client.jetstream import last_seq as end_of
from distribute.nats.client.patience import patiently
from distribute.nats.stream.durable import DurableReader, JetStreamDelivery
from distribute.nats.stream.guards import ScopeGuard
from distribute.nats.stream.layout import EVENTS
from distribute.nats.stream.messages import Messages, entry_of
from distribute.nats.stream.publisher import Publisher
from distribute.nats.stream.reader import Entry, Interrupt, read
from distribute.nats.stream.subjects import (
    ALL_EVENTS,
    are_subjects_of,
    event_subject,
    filters,
    scope_filter,
)
from distribute.nats.stream.tokens import escape
from distribute.ports import BEGINNING, Garbage, Only, Place, Raw
from distribute.submissions import MARK

ALL = Only()

_new_tuple = tuple.__new__

_ALL_MESSAGES = ">"
"""All messages of a stream. The broker finds the last of them in 0.3 ms, and that of `ALL_EVENTS` in 40 ms:
for all other filters it looks at every subject in the stream's newest block. It finds none if the last
message was removed."""

_PURGE_TIMEOUT_S = 60.0

_LOOKED_BACK = 10_000
"""Messages that we search at a time for the last event."""

_DECODED_AT_ONCE = 64
"""Max. events in one yield. With more, decoding and folding each take a third longer, because the last events
evict the first from the processor's caches."""


class JetStreamLog:
    """The one stream of events. See `ports.EventLog`."""

    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        self._connection = connection
        self._publisher = publisher
        self._messages = Messages(connection)
        self._last_event_at: Place | None = None
        """The last message that was found to be an event."""
        self._memory = Acknowledged(
            connection,
            Questions(self._end, self._has, self._last_seq_of, self.last, self._since, self._append_again),
        )

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """As `ports.EventLog.append`. Raises `Refused` if the broker will never take the event."""
        if self._memory.replaced is not None:
            refused: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            refused.set_exception(self._memory.replaced)
            return refused
        body = encode(event)
        future = self._publish(event, body, guard, self._memory.now_at)
        future.add_done_callback(partial(self._acknowledged, event, guard.behind, len(body)))
        return future

    def begin_anew(self) -> None:
        """As `ports.EventLog.begin_anew`."""
        self._memory.begin_anew()

    def _acknowledged(self, event: Event, behind: int, size_bytes: int, future: asyncio.Future[int]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._memory.acknowledged(future.result(), event, behind, size_bytes)

    def _publish(
        self,
        event: Event,
        body: bytes,
        guard: Guard,
        now_at: Callable[[Guarded, int], Awaitable[int]],
    ) -> asyncio.Future[int]:
        condition = ScopeGuard(
            EVENTS, guard_scope(event), guard, self._messages.is_event, now_at, closed_with(event)
        )
        return self._publisher.publish(event_subject(event), body, message_id=event.id, guard=condition)

    async def _append_again(self, event: Event, guard: Guard) -> int:
        return await self._publish(event, encode(event), guard, _as_it_was)

    async def _end(self) -> int:
        return await patiently(
            self._connection, lambda: end_of(self._connection, EVENTS), give_up_after_s=inf
        )

    async def _has(self, seq: int, event_id: str) -> bool:
        stored = await patiently(
            self._connection, lambda: leader_get(self._connection, EVENTS, {"seq": seq}), give_up_after_s=inf
        )
        return stored is None or stored.fields.get("Nats-Msg-Id") == event_id  # None: an admin removed it

    async def _last_seq_of(self, scope: Guarded) -> int:
        stored = await self._latest(scope_filter(scope))
        return stored.seq if stored is not None else 0

    async def _since(self, scope: JobId | BatchId, after: int) -> list[Recorded]:
        only = Only(batch=scope) if isinstance(scope, BatchId) else Only(scope=scope)
        until = await self._last_seq_of(Under(scope) if isinstance(scope, BatchId) else scope)
        if until <= after:
            return []
        return [one async for some in self.follow(after=after, only=only, until=until) for one in some]

    @property
    def garbage(self) -> Garbage:
        """As `ports.EventLog.garbage`."""
        return self._messages.garbage

    @property
    def unanswered(self) -> int:
        """How many appends have no answer yet."""
        return self._publisher.unanswered

    async def close(self) -> None:
        """Give up the appends that have no answer yet: their futures raise `Unreachable`."""
        await self._memory.close()
        await self._publisher.close()

    async def follow(
        self, *, after: int, at: float | None = None, only: Only = ALL, until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """As `ports.EventLog.follow`.

        Raises:
            ValueError: no event can match `only`.
        """
        async with aclosing(self._read(after, at, only, until)) as reading:
            async for some in reading:
                records = _decoded(some)
                if records is not None:
                    self._note_event(records[-1])
                    yield records
                    continue
                for entry in some:
                    recorded = await self._messages.event(entry)
                    if recorded is not None:
                        self._note_event(recorded)
                        yield [recorded]
                        # To fold a large submission takes long, and so does to free it: not in one turn.
                        await asyncio.sleep(0)
                        del recorded

    async def follow_raw(
        self, *, after: int, until: int, only: Only = ALL
    ) -> AsyncGenerator[Sequence[Raw], None]:
        """As `ports.EventLog.follow_raw`.

        Raises:
            ValueError: no event can match `only`.
        """
        async with aclosing(self._read(after, None, only, until)) as reading:
            async for some in reading:
                if _decoded(some) is not None:
                    yield [Raw(seq, time, payload) for seq, time, _, payload in some]
                    continue
                for entry in some:
                    if await self._messages.event(entry) is not None:
                        raw = await self._messages.whole(entry)
                        if raw is not None:
                            yield [raw]

    async def _read(
        self, after: int, at: float | None, only: Only, until: int | None
    ) -> AsyncGenerator[list[Entry], None]:
        """Yield the messages that `follow` reads, a few at a time."""
        interrupt = Interrupt()
        undo = self._memory.on_replaced(interrupt)
        reading = read(
            self._connection, EVENTS, _filters(only), after=after, at=at, until=until, interrupt=interrupt
        )
        try:
            async with aclosing(reading):
                async for entries in reading:
                    for some in _slices(entries):
                        yield some
        finally:
            undo()

    async def durable(self, name: str, only: Only = ALL) -> AsyncGenerator[JetStreamDelivery, None]:
        """As `ports.Cluster.durable`.

        Raises:
            ValueError: no event can match `only`.
        """
        reader = DurableReader(self._connection, EVENTS, escape(name), _filters(only), self._messages.event)
        async with aclosing(reader.deliveries()) as deliveries:
            async for delivery in deliveries:
                yield delivery

    async def last(self, scope: Guarded, event_type: str | None = None) -> Recorded | None:
        """As `ports.EventLog.last`."""
        wanted = scope_filter(scope, event_type)
        stored = await self._latest(wanted)
        if stored is None:
            return None
        recorded = await self._messages.event(entry_of(stored))
        return recorded or await self._last_event(wanted, after=0, until=stored.seq)

    async def get(self, seq: int) -> Recorded:
        """As `ports.EventLog.get`."""
        stored = await self._messages.stored(seq) if seq > 0 else None
        recorded = await self._messages.event(entry_of(stored)) if stored else None
        if recorded is None:
            raise KeyError(seq)
        return recorded

    async def get_raw(self, seq: int) -> Raw:
        """As `ports.EventLog.get_raw`."""
        stored = await self._messages.stored(seq) if seq > 0 else None
        raw = await self._messages.whole(entry_of(stored)) if stored else None
        if raw is None:
            raise KeyError(seq)
        return raw

    async def last_seq(self) -> int:
        """As `ports.EventLog.last_seq`."""
        return (await self.end()).seq

    async def end(self) -> Place:
        """As `ports.EventLog.end`."""
        # Not the stream's own last sequence: if that message is garbage, or was removed by hand, a reader who
        # wants to read up to it would wait for ever.
        stored = await self._latest(_ALL_MESSAGES) or await self._latest(ALL_EVENTS)
        if stored is None:
            return BEGINNING
        place = Place(stored.seq, stored.time)
        if place == self._last_event_at:
            return place  # it may be a submission, and to decode 100,000 jobs takes a second
        if await self._messages.event(entry_of(stored)) is not None:
            self._last_event_at = place
            return place
        until = stored.seq - 1
        while until > 0:
            after = self._look_from(until)
            recorded = await self._last_event(ALL_EVENTS, after=after, until=until)
            if recorded is not None:
                self._last_event_at = Place(recorded.seq, recorded.time)
                return self._last_event_at
            until = after
        return BEGINNING

    def _note_event(self, recorded: Recorded) -> None:
        """Remember the latest event that was read, so that `end` need not decode it."""
        if self._last_event_at is None or recorded.seq > self._last_event_at.seq:
            self._last_event_at = Place(recorded.seq, recorded.time)

    def _look_from(self, until: int) -> int:
        """The sequence behind which to look for the last event: just before the last that we know of.

        It is looked at once more: the log may have been replaced since.
        """
        known = self._last_event_at.seq if self._last_event_at is not None else 0
        return max(0, until - _LOOKED_BACK, known - 1 if known <= until else 0)

    async def purge(self, batch: BatchId, *, before: int) -> None:
        """As `ports.EventLog.purge`."""
        request = {"filter": scope_filter(Under(batch)), "seq": before}
        await patiently(
            self._connection,
            lambda: call(self._connection, f"STREAM.PURGE.{EVENTS}", request, timeout_s=_PURGE_TIMEOUT_S),
            give_up_after_s=inf,
        )

    async def _last_event(self, subjects: str, *, after: int, until: int) -> Recorded | None:
        """The last event among these messages. We read forwards, because the broker can't read backwards."""
        last: Recorded | None = None
        async with aclosing(read(self._connection, EVENTS, [subjects], after=after, until=until)) as reading:
            async for entries in reading:
                for entry in reversed(entries):
                    recorded = await self._messages.event(entry)
                    if recorded is not None:
                        last = recorded
                        break
        return last

    async def _latest(self, subjects: str) -> Stored | None:
        """The last message on these subjects, as the stream's leader knows it."""
        wanted = {"last_by_subj": subjects}
        return await patiently(
            self._connection, lambda: leader_get(self._connection, EVENTS, wanted), give_up_after_s=inf
        )


def _decoded(entries: list[Entry]) -> list[Recorded] | None:
    """Decode messages the quick way. None if `Messages.event` must read them one by one: one of them is
    large, part of an event, garbage, of an older layout, or newer than this distribute."""
    events: list[Event] = []
    for _, _, _, payload in entries:
        if payload[:1] == MARK:
            return None
        try:
            events.append(decode(payload))
        except UnreadableEvent:
            return None
    if not are_subjects_of([entry.subject for entry in entries], events):
        return None
    # Does what `Recorded(seq, time, event)` does in half the time.
    return [
        _new_tuple(Recorded, (seq, time, event))
        for (seq, time, _, _), event in zip(entries, events, strict=True)
    ]


async def _as_it_was(scope: Guarded, seq: int) -> int:
    """For guards that were made after the log lost its end: their sequences are the present ones."""
    return seq


def _slices(entries: list[Entry]) -> Iterator[list[Entry]]:
    return (entries[at : at + _DECODED_AT_ONCE] for at in range(0, len(entries), _DECODED_AT_ONCE))


def _filters(only: Only) -> list[str]:
    found = filters(only)
    if not found:
        raise ValueError(f"no event can match {only}")
    return found
