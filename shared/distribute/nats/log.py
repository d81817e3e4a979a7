"""The event log on JetStream: `ports.EventLog`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from math import inf
from typing import Any

from distribute.codec import decode, encode
from distribute.core.errors import UnreadableEvent
from distribute.core.events import Event, Guard, Recorded, guard_scope
from distribute.core.ids import Scope, Under
from distribute.nats import parts
from distribute.nats.connection import Connection
from distribute.nats.durable import DurableReader, JetStreamDelivery
from distribute.nats.guards import ScopeGuard
from distribute.nats.jetstream import Stored, direct_get, leader_get
from distribute.nats.patience import patiently
from distribute.nats.provision import EVENTS
from distribute.nats.publisher import Publisher
from distribute.nats.reader import Entry, read
from distribute.nats.subjects import ALL_EVENTS, escape, event_subject, filters, scope_filter
from distribute.ports import Only, Raw

ALL = Only()

_DECODED_AT_ONCE = 64
"""Events handed on together, at most. Of more, decoding and folding each costs a third more: the last ones
push the first out of the processor's caches before anybody has looked at them."""


class JetStreamLog:
    """The one stream of events, as `ports.EventLog` says."""

    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        self._connection = connection
        self._publisher = publisher

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """As `ports.EventLog.append`. Raises `Refused` where the broker will never take the event."""
        return self._publisher.publish(
            event_subject(event),
            encode(event),
            message_id=event.id,
            guard=ScopeGuard(EVENTS, guard_scope(event), guard),
        )

    @property
    def unanswered(self) -> int:
        """How many appends have no answer yet."""
        return self._publisher.unanswered

    async def close(self) -> None:
        """Give up the appends that have no answer yet: their futures raise `Unreachable`."""
        await self._publisher.close()

    async def follow(
        self, *, after: int, only: Only = ALL, until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """As `ports.EventLog.follow`.

        Raises:
            ValueError: no event can match `only`.
        """
        async with aclosing(
            read(self._connection, EVENTS, _filters(only), after=after, until=until)
        ) as reading:
            async for entries in reading:
                for some in _slices(entries):
                    try:
                        records = [Recorded(seq, time, decode(payload)) for seq, time, payload in some]
                    except UnreadableEvent:
                        # One of them is a part of an event, or none at all: what lies before it counts still.
                        for entry in some:
                            recorded = await self.recorded(entry)
                            if recorded is not None:
                                yield [recorded]
                    else:
                        yield records

    async def durable(self, name: str, only: Only = ALL) -> AsyncGenerator[JetStreamDelivery, None]:
        """As `ports.Cluster.durable`.

        Raises:
            ValueError: no event can match `only`.
        """
        reader = DurableReader(self._connection, EVENTS, escape(name), _filters(only), self.recorded)
        async with aclosing(reader.deliveries()) as deliveries:
            async for delivery in deliveries:
                yield delivery

    async def last(self, scope: Scope | Under, event_type: str | None = None) -> Recorded | None:
        """As `ports.EventLog.last`."""
        wanted = scope_filter(scope, event_type)
        stored = await self._latest({"last_by_subj": wanted})
        return await self.recorded(_entry(stored)) if stored else None

    async def last_raw(self, scope: Scope, event_type: str) -> Raw | None:
        """As `ports.EventLog.last_raw`."""
        stored = await self._latest({"last_by_subj": scope_filter(scope, event_type)})
        return await self._whole(_entry(stored)) if stored else None

    async def get(self, seq: int) -> Recorded:
        """As `ports.EventLog.get`."""
        stored = await self._stored(seq) if seq > 0 else None
        recorded = await self.recorded(_entry(stored)) if stored else None
        if recorded is None:
            raise KeyError(seq)
        return recorded

    async def last_seq(self) -> int:
        """As `ports.EventLog.last_seq`."""
        # The stream's own figure would do, but for an event that somebody removed from its end by hand:
        # whoever waits to have read up to that one would wait for ever.
        stored = await self._latest({"last_by_subj": ALL_EVENTS})
        return stored.seq if stored is not None else 0

    async def recorded(self, entry: Entry) -> Recorded | None:
        """The event that ends with this message; None where the message is an earlier part of one.

        Raises:
            UnreadableEvent: it is none.
        """
        try:
            whole = await self._whole(entry)
            return Recorded(whole.seq, whole.time, decode(whole.payload)) if whole is not None else None
        except UnreadableEvent as error:
            raise UnreadableEvent(f"sequence {entry.seq} of the log: {error}") from error

    async def _whole(self, entry: Entry) -> Raw | None:
        """The event that ends with this message, as bytes; None if the message is an earlier part of one."""
        seq, time, payload = entry
        if parts.is_part(payload):
            index, count = parts.place(payload)
            if index < count - 1:
                return None
            payload = await self._joined(entry, count)
        return Raw(seq, time, payload)

    async def _joined(self, last: Entry, count: int) -> bytes:
        """The payload whose last part this is."""
        if not 0 < count <= min(last.seq, parts.MAX_PARTS):
            raise UnreadableEvent(f"the last of {count} parts: there can't be as many")
        pieces: list[bytes] = []
        for seq in range(last.seq - count + 1, last.seq):
            stored = await self._stored(seq)
            part = stored.payload if stored is not None else b""
            if not parts.is_part(part) or parts.place(part) != (len(pieces), count):
                raise UnreadableEvent(f"the last of {count} parts: others are missing")
            pieces.append(parts.content(part))
        return b"".join((*pieces, parts.content(last.payload)))

    async def _stored(self, seq: int) -> Stored | None:
        wanted = {"seq": seq}
        stored = await patiently(
            self._connection, lambda: direct_get(self._connection, EVENTS, wanted), give_up_after_s=inf
        )
        # A replica may lag behind what its leader has acknowledged.
        return stored or await self._latest(wanted)

    async def _latest(self, wanted: dict[str, Any]) -> Stored | None:
        return await patiently(
            self._connection, lambda: leader_get(self._connection, EVENTS, wanted), give_up_after_s=inf
        )


def _slices(entries: list[Entry]) -> Iterator[list[Entry]]:
    return (entries[at : at + _DECODED_AT_ONCE] for at in range(0, len(entries), _DECODED_AT_ONCE))


def _entry(stored: Stored) -> Entry:
    return Entry(stored.seq, stored.time, stored.payload)


def _filters(only: Only) -> list[str]:
    found = filters(only)
    if not found:
        raise ValueError(f"no event can match {only}")
    return found
