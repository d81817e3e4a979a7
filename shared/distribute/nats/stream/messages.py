"""Turn messages of the event stream into events, and skip those that are garbage.

Anyone who may publish can store a message that no reader can read. Such a message stops its readers only
if a newer distribute may have written it: the cluster's layout is newer than ours, and the message lies
behind the sequence at which the layout was raised. Every other unreadable message is garbage for ever: all
readers skip it, count it, and name it once in the log of their process.
"""

from __future__ import annotations

import logging
from math import inf

from distribute.codec import MAX_EVENT_BYTES, decode_in_slices
from distribute.core.errors import UnreadableEvent
from distribute.core.log.events import BuildEvent, Event
from distribute.core.log.recorded import Recorded
from distribute.limited_log import LimitedLog
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import Stored, direct_get, leader_get
from distribute.nats.client.patience import patiently
from distribute.nats.stream import parts
from distribute.nats.stream.layout import EVENTS, LAYOUT, Layout, read_layout
from distribute.nats.stream.reader import Entry
from distribute.nats.stream.subjects import is_subject_of
from distribute.nats.stream.tokens import escape
from distribute.ports import Garbage, Raw

_log = logging.getLogger(__name__)

_REMEMBERED = 100_000


class Messages:
    """Reads messages of the event stream over one connection."""

    def __init__(self, connection: Connection) -> None:
        self.garbage = Garbage()
        self._connection = connection
        self._layout: Layout | None = None
        self._garbage_seqs: set[int] = set()
        self._named = LimitedLog(_log)

    async def event(self, entry: Entry) -> Recorded | None:
        """The event whose last or only message this is. None: it is an earlier part, or garbage.

        Raises:
            UnreadableEvent: a newer distribute wrote it.
        """
        if entry.seq in self._garbage_seqs:
            return None
        try:
            whole = await self._whole(entry)
            if whole is None:
                return None
            event = await decode_in_slices(whole)
            _check_subject(event, entry.subject)
            return Recorded(entry.seq, entry.time, event)
        except UnreadableEvent as error:
            await self._pass_by(entry.seq, error)
            return None

    async def whole(self, entry: Entry) -> Raw | None:
        """The bytes of the event whose last or only message this is. They may be garbage: they are not
        decoded.

        None: the message is an earlier part, or its other parts are missing.
        """
        try:
            payload = await self._whole(entry)
        except UnreadableEvent as error:
            await self._pass_by(entry.seq, error)
            return None
        return None if payload is None else Raw(entry.seq, entry.time, payload)

    async def is_event(self, stored: Stored) -> bool:
        """Is this message an event? Also True if a newer distribute wrote it, so that we can't tell."""
        try:
            return await self.event(entry_of(stored)) is not None
        except UnreadableEvent:
            return True

    async def stored(self, seq: int) -> Stored | None:
        """The message at a sequence; None if there is none. Waits through outages."""
        wanted = {"seq": seq}
        found = await patiently(
            self._connection, lambda: direct_get(self._connection, EVENTS, wanted), give_up_after_s=inf
        )
        # A replica may lag behind what its leader has acknowledged.
        return found or await patiently(
            self._connection, lambda: leader_get(self._connection, EVENTS, wanted), give_up_after_s=inf
        )

    async def _pass_by(self, seq: int, error: UnreadableEvent) -> None:
        """Count a message as garbage. Raises `UnreadableEvent` if a newer distribute may have written it."""
        layout = self._layout
        if layout is None or layout.as_of_seq < seq:
            # The layout is raised before new kinds of events are written. So a layout that we read after
            # the message was stored tells whether the message is newer than we are.
            layout = self._layout = await read_layout(self._connection, give_up_after_s=inf)
        newer_after = layout.newer_after(LAYOUT) if layout is not None else None
        if layout is not None and newer_after is not None and seq > newer_after:
            raise UnreadableEvent(
                f"sequence {seq} of the log: {error}. The cluster's layout is {layout.number}, and this "
                f"distribute reads {LAYOUT}: upgrade distribute on this computer"
            ) from error
        if len(self._garbage_seqs) < _REMEMBERED:
            self._garbage_seqs.add(seq)
        self.garbage.count += 1
        self.garbage.last = f"sequence {seq} of the log: {error}"
        self._named.write("%s: passing by garbage: %s", self._connection.address, self.garbage.last)

    async def _whole(self, entry: Entry) -> bytes | None:
        if not parts.is_part(entry.payload):
            return entry.payload
        index, count = parts.place(entry.payload)
        return await self._joined(entry, count) if index == count - 1 else None

    async def _joined(self, last: Entry, count: int) -> bytes:
        """Join the parts of the payload whose last part this is."""
        if not 0 < count <= min(last.seq, parts.MAX_PARTS):
            raise UnreadableEvent(f"the last of {count} parts: there can't be as many")
        pieces: list[bytes] = []
        room = MAX_EVENT_BYTES - len(last.payload)
        for seq in range(last.seq - count + 1, last.seq):
            stored = await self.stored(seq)
            part = stored.payload if stored is not None else b""
            if not parts.is_part(part) or parts.place(part) != (len(pieces), count):
                raise UnreadableEvent(f"the last of {count} parts: others are missing")
            pieces.append(parts.content(part))
            room -= len(part)
            if room < 0:
                raise UnreadableEvent(f"the last of {count} parts: together they are larger than any event")
        return b"".join((*pieces, parts.content(last.payload)))


def _check_subject(event: Event, subject: bytes) -> None:
    if not is_subject_of(subject, event) and not _is_of_layout_1(event, subject):
        raise UnreadableEvent(
            f"a {event.type!r} event of {event.scope} by {event.author!r}, on the subject {subject[:200]!r}"
        )


def _is_of_layout_1(event: Event, subject: bytes) -> bool:
    """Layout 1 stored the events about a node's builds in the node's own scope."""
    if not isinstance(event, BuildEvent):
        return False
    node = escape(event.node)
    return subject == f"ev.node.{node}.{event.type}.{node}".encode()


def entry_of(stored: Stored) -> Entry:
    """A message that we requested, in the form in which a reader gets it delivered."""
    return Entry(stored.seq, stored.time, stored.subject.encode(), stored.payload)
