"""Merge readers of events into one, in the order of the sequences."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from math import inf
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

from distribute.core.log.recorded import Recorded
from distribute.ports import Raw

T = TypeVar("T", Recorded, Raw)

_SEQ = attrgetter("seq")


class Reading(NamedTuple, Generic[T]):
    """A reader of events, in order, several at a time. None of them is before `first_seq`.

    It is not begun before all earlier events of the others are read.
    """

    first_seq: int
    events: AsyncGenerator[Sequence[T], None]


class _Cursor(Generic[T]):
    """How far a reader has been read. `seq` is that of its next event, or no later one."""

    def __init__(self, reading: Reading[T]) -> None:
        self.seq: float = reading.first_seq
        self._chunks: AsyncGenerator[Sequence[T], None] = reading.events
        self._chunk: Sequence[T] = ()

    async def take(self, last_seq: float) -> Sequence[T]:
        """The next events up to a sequence that are there: maybe none. At the end, `seq` is `inf`."""
        if not self._chunk:
            try:
                self._chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self._chunk = ()
            self.seq = self._chunk[0].seq if self._chunk else inf
        some = bisect_right(self._chunk, last_seq, key=_SEQ)
        taken, self._chunk = self._chunk[:some], self._chunk[some:]
        if taken:
            self.seq = self._chunk[0].seq if self._chunk else taken[-1].seq + 1
        return taken


async def merged(readings: Iterable[Reading[T]]) -> AsyncGenerator[Sequence[T], None]:
    """Yield the events of all readers in order, each sequence once. Closes the readers."""
    async with AsyncExitStack() as stack:
        heap: list[tuple[float, int, _Cursor[T]]] = []
        for number, reading in enumerate(readings):
            await stack.enter_async_context(aclosing(reading.events))
            heap.append((reading.first_seq, number, _Cursor(reading)))
        heapq.heapify(heap)
        yielded_seq = 0
        while heap:
            _, number, cursor = heapq.heappop(heap)
            taken = await cursor.take(heap[0][0] if heap else inf)
            if cursor.seq != inf:
                heapq.heappush(heap, (cursor.seq, number, cursor))
            new = taken[bisect_right(taken, yielded_seq, key=_SEQ) :]
            if new:
                yielded_seq = new[-1].seq
                yield new
