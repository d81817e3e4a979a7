"""Moments at which something ends by itself: pauses, quarantines, leases. What is due is looked at again."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from distribute.core.state import JobKey

Key = str | JobKey
"""A node by its name, or a job whose attempt may have to be taken from its node."""


class DueTimes:
    """A heap of moments, in seconds since 1970, each with what is to be looked at then.

    A key may be due more often than needed: looking again changes nothing where nothing has changed.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Key]] = []
        self._next_of: dict[Key, float] = {}
        self._added = 0

    def add(self, key: Key, moment: float) -> None:
        """Look at the key again at this moment, unless it is to be looked at earlier anyway."""
        if moment >= self._next_of.get(key, float("inf")):
            return
        self._next_of[key] = moment
        self._added += 1
        heapq.heappush(self._heap, (moment, self._added, key))

    def pop(self, now: float) -> Iterator[Key]:
        """Take out what is due, in order of time. Whoever looks at a key adds its next moment."""
        while self._heap and self._heap[0][0] <= now:
            moment, _, key = heapq.heappop(self._heap)
            if self._next_of.get(key) == moment:
                del self._next_of[key]
                yield key

    def forget(self, key: Key) -> None:
        """The key is never to be looked at again."""
        self._next_of.pop(key, None)

    @property
    def next(self) -> float | None:
        """The earliest moment at which something may be due."""
        return self._heap[0][0] if self._heap else None
