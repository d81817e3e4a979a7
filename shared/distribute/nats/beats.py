"""Heartbeats on JetStream: `ports.Beats`."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from distribute.codec import decode_beat, encode_beat
from distribute.core.errors import UnreadableEvent
from distribute.core.events import Beat
from distribute.nats.connection import Connection
from distribute.nats.jetstream import direct_get
from distribute.nats.provision import BEATS
from distribute.nats.reader import read
from distribute.nats.subjects import ALL_BEATS, beat_subject

_log = logging.getLogger(__name__)


class JetStreamBeats:
    """The last heartbeat of each node."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, beat: Beat) -> None:
        """Send a heartbeat. Without a broker it is dropped: late ones would tell lies."""
        self._connection.send(beat_subject(beat.node), encode_beat(beat))

    async def last(self, node: str) -> Beat | None:
        """The last heartbeat of a node, while it is kept: `provision.BEATS_KEPT_S` seconds."""
        stored = await direct_get(self._connection, BEATS, {"last_by_subj": beat_subject(node)})
        return None if stored is None else decode_beat(stored.payload)

    async def follow(self) -> AsyncGenerator[Beat, None]:
        """The last heartbeat of each node, then each as it comes. One that can't be read is left out."""
        async with aclosing(read(self._connection, BEATS, [ALL_BEATS], last_per_subject=True)) as reading:
            async for entries in reading:
                for entry in entries:
                    try:
                        beat = decode_beat(entry.payload)
                    except UnreadableEvent as error:
                        # A node of another version: no reason to be deaf to all others.
                        _log.warning(
                            "%s: a heartbeat that can't be read: %s", self._connection.address, error
                        )
                        continue
                    yield beat
