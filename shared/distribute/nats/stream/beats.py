"""Heartbeats on JetStream: `ports.Beats`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from functools import partial
from itertools import islice
from math import inf

from distribute.codec import decode_beat, encode_beat
from distribute.core.errors import UnreadableEvent
from distribute.core.log.beats import Beat
from distribute.limited_log import LimitedLog
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import NOT_FOUND, ApiError, Stored, call, direct_get
from distribute.nats.client.patience import patiently
from distribute.nats.stream.provision import BEATS
from distribute.nats.stream.subjects import ALL_BEATS, beat_subject

_log = logging.getLogger(__name__)

MAX_WAITING = 10_000
"""Max. nodes whose heartbeats wait for a reader. Those of further nodes are dropped: they beat again soon."""

MAX_BEAT_BYTES = 64 * 1024
"""A larger heartbeat is dropped: that of a node with a hundred attempts has 20 KiB."""


class JetStreamBeats:
    """The last heartbeat of each node."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._unreadable = LimitedLog(_log)

    async def send(self, beat: Beat) -> None:
        """Send a heartbeat. Without a connection, drop it: a late heartbeat would be misleading."""
        self._connection.send(beat_subject(beat.node), encode_beat(beat))

    async def last(self, node: str) -> Beat | None:
        """The last heartbeat of a node, while it is kept: `provision.BEATS_KEPT_S` seconds."""
        wanted = {"last_by_subj": beat_subject(node)}
        # The stream may be missing until the head creates it again.
        stored = await patiently(
            self._connection, lambda: direct_get(self._connection, BEATS, wanted), give_up_after_s=inf
        )
        return None if stored is None else self._read(stored.payload)

    async def follow(self) -> AsyncGenerator[Beat, None]:
        """Yield the last heartbeat of each node, then each new one. Skips those that can't be read.

        New heartbeats are received directly, not from the stream: a stream whose disk is full stores none,
        and then every node would be declared lost.
        """
        arrived: dict[bytes, bytes] = {}
        wake = asyncio.Event()

        def receive(subject: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
            if len(payload) > MAX_BEAT_BYTES:
                return
            if subject in arrived or len(arrived) < MAX_WAITING:
                arrived[subject] = payload
            wake.set()

        end = self._connection.tap(ALL_BEATS, receive)
        try:
            await self._connection.round_trip()
            payloads = await self._kept()
            while True:
                for payload in payloads:
                    if (beat := self._read(payload)) is not None:
                        yield beat
                await wake.wait()
                wake.clear()
                payloads = list(arrived.values())
                arrived.clear()
        finally:
            end()

    async def _kept(self) -> list[bytes]:
        """The last heartbeat of each node, from the stream, in order."""
        connection, body = self._connection, {"subjects_filter": ALL_BEATS}
        try:
            info = await patiently(connection, lambda: call(connection, f"STREAM.INFO.{BEATS}", body))
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise
            _log.warning("%s: stream %s is missing: no heartbeat is kept", connection.address, BEATS)
            return []
        kept: list[Stored] = []
        for subject in islice(info["state"].get("subjects") or {}, MAX_WAITING):
            ask = partial(direct_get, connection, BEATS, {"last_by_subj": subject})
            stored = await patiently(connection, ask)
            if stored is not None and len(stored.payload) <= MAX_BEAT_BYTES:
                kept.append(stored)
        return [stored.payload for stored in sorted(kept)]

    def _read(self, payload: bytes) -> Beat | None:
        try:
            return decode_beat(payload)
        except UnreadableEvent as error:
            # One bad heartbeat must not stop us from hearing the other nodes.
            self._unreadable.write("%s: a heartbeat that can't be read: %s", self._connection.address, error)
            return None
