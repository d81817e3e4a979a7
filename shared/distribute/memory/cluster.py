"""`ports.Cluster` in the memory of one process: services and clients that share it need no broker."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

from distribute.core.ids import BuildId, JobId
from distribute.core.log.beats import Beat
from distribute.core.log.recorded import Recorded
from distribute.memory.log import MemoryLog
from distribute.memory.queries import MemoryQueries
from distribute.memory.store import FileStore
from distribute.ports import Only

ALL = Only()

BEAT_KEPT_S = 15.0
OUTPUT_KEPT_BYTES = 8 << 20
"""So much live output is kept, of all jobs together. The archive has all of it."""


class MemoryCluster:
    """A cluster whose events are in memory. It lives as long as this process."""

    connected = True

    def __init__(self, store: FileStore, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self.log = self.stream = MemoryLog(clock)
        self.store = store
        self.beats = MemoryBeats(clock)
        self.live = MemoryLiveOutput(clock)
        self.queries = MemoryQueries()
        self._unacknowledged: dict[str, tuple[int, set[int]]] = {}
        """Of each durable reader: the last sequence that it got, and what it did not acknowledge."""

    async def durable(self, name: str, only: Only = ALL) -> AsyncGenerator[MemoryDelivery, None]:
        """As `ports.Cluster.durable`. What is not acknowledged comes again to the next reader of the name."""
        last, open_seqs = self._unacknowledged.get(name, (0, set()))
        again = sorted(open_seqs)
        for seq in again:
            yield MemoryDelivery(await self.log.get(seq), open_seqs)
        async for records in self.log.follow(after=last, only=only):
            for recorded in records:
                open_seqs.add(recorded.seq)
                self._unacknowledged[name] = recorded.seq, open_seqs
                yield MemoryDelivery(recorded, open_seqs)

    def on_return(self, callback: Callable[[], None]) -> Callable[[], None]:
        """As `ports.Cluster.on_return`. This connection is never lost."""
        return lambda: None


class MemoryDelivery:
    """`ports.Delivery`."""

    def __init__(self, recorded: Recorded, open_seqs: set[int]) -> None:
        self.recorded = recorded
        self._open_seqs = open_seqs

    def ack(self) -> None:
        """As `ports.Delivery.ack`."""
        self._open_seqs.discard(self.recorded.seq)

    def in_progress(self) -> None:
        """As `ports.Delivery.in_progress`. Nobody is impatient here."""


class _News:
    """Wakes everybody who waits for something new."""

    def __init__(self) -> None:
        self._came = asyncio.Event()

    def tell(self) -> None:
        self._came.set()
        self._came = asyncio.Event()

    async def wait(self) -> None:
        await self._came.wait()


class MemoryBeats:
    """`ports.Beats`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[Beat, float]] = {}
        self._news = _News()

    async def send(self, beat: Beat) -> None:
        """As `ports.Beats.send`."""
        self._kept[beat.node] = beat, self._clock()
        self._news.tell()

    async def last(self, node: str) -> Beat | None:
        """As `ports.Beats.last`."""
        beat, came_at = self._kept.get(node, (None, 0.0))
        return beat if self._clock() - came_at <= BEAT_KEPT_S else None

    async def follow(self) -> AsyncGenerator[Beat, None]:
        """As `ports.Beats.follow`."""
        seen: dict[str, Beat] = {}
        while True:
            new = {node: beat for node, (beat, _) in self._kept.items() if seen.get(node) is not beat}
            seen |= new
            for beat in new.values():
                yield beat
            if not new:
                await self._news.wait()


class Printed(NamedTuple):
    """A piece of live output, and when it came, in seconds since 1970."""

    of: JobId | BuildId
    attempt: int
    came_at: float
    text: bytes


class MemoryLiveOutput:
    """`ports.LiveOutput`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pieces: deque[Printed] = deque()
        self._dropped = 0
        """How many pieces are not kept any more."""
        self._kept_bytes = 0
        self._news = _News()

    async def send(self, of: JobId | BuildId, attempt: int, text: bytes) -> None:
        """As `ports.LiveOutput.send`."""
        self._pieces.append(Printed(of, attempt, self._clock(), text))
        self._kept_bytes += len(text)
        while self._kept_bytes > OUTPUT_KEPT_BYTES:
            self._kept_bytes -= len(self._pieces.popleft().text)
            self._dropped += 1
        self._news.tell()

    async def follow(
        self, of: JobId | BuildId, attempt: int, *, since: float = 0.0
    ) -> AsyncGenerator[bytes, None]:
        """As `ports.LiveOutput.follow`."""
        async for piece in self.follow_all():
            if (piece.of, piece.attempt) == (of, attempt) and piece.came_at >= since:
                yield piece.text

    async def follow_all(self) -> AsyncGenerator[Printed, None]:
        """Yield what is kept of all jobs and builds, then what comes."""
        read = 0
        while True:
            read = max(read, self._dropped)
            if read == self._dropped + len(self._pieces):
                await self._news.wait()
                continue
            piece = self._pieces[read - self._dropped]
            read += 1
            yield piece
