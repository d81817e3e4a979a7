"""Due times: the moments at which pauses, quarantines, leases and the like end by themselves."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from distribute.core.ids import BatchId
from distribute.core.state.state import JobKey

Key = str | JobKey | BatchId
"""A node by its name, a job whose attempt may have to be taken from its node, or a batch that waits for its
time."""


class DueTimes:
    """A heap of moments, in seconds since 1970, each with the node or job to look at then.

    A key may be due more often than necessary: looking at it again does no harm.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Key]] = []
        self._next_of: dict[Key, float] = {}
        self._added = 0

    def add(self, key: Key, moment: float) -> None:
        """Look at the key again at this moment, unless it is due earlier anyway."""
        if moment >= self._next_of.get(key, float("inf")):
            return
        self._next_of[key] = moment
        self._added += 1
        heapq.heappush(self._heap, (moment, self._added, key))

    def pop(self, now: float) -> Iterator[Key]:
        """Take out the keys that are due, in order of time. The caller adds the next moment of each."""
        while self._heap and self._heap[0][0] <= now:
            moment, _, key = heapq.heappop(self._heap)
            if self._next_of.get(key) == moment:
                del self._next_of[key]
                yield key

    def forget(self, key: Key) -> None:
        """Never look at the key again."""
        self._next_of.pop(key, None)

    @property
    def next(self) -> float | None:
        """The earliest moment at which a key may be due."""
        return self._heap[0][0] if self._heap else None
