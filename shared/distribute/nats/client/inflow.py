"""Bounds what a connection asks the broker for, so that the broker never cuts it off as a slow reader.

The broker closes a connection when 64 MiB wait for it, or when the link takes longer than 10 s for what the
broker writes at once, which may be all that waits. So we keep what is asked for, by all readers of a
connection together, below half of the first, and below what the link carries in `TARGET_S`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

MOST_BYTES = 32 << 20
LEAST_BYTES = 512 << 10
"""Also the smallest piece that is worth a request: a chunk of a file."""
FIRST_BYTES = 1 << 20
"""The bound before we know the link."""
TARGET_S = 2.0


class Grant:
    """Leave to ask for some bytes. Ends when all have arrived, or no more will."""

    def __init__(self, inflow: Inflow, size_bytes: int, ahead_bytes: int, began: float) -> None:
        """`ahead_bytes`: what was asked for before, and had not arrived."""
        self.size_bytes = size_bytes
        self._inflow = inflow
        self._left_bytes = size_bytes
        self._ahead_bytes = ahead_bytes
        self._arrived_bytes = 0
        self._began = began
        self._open = True

    def arrived(self, size_bytes: int) -> None:
        """Note that some of the bytes are here."""
        freed = min(size_bytes, self._left_bytes)
        self._left_bytes -= freed
        self._arrived_bytes += size_bytes
        self._inflow.heard(freed)

    def end(self, *, complete: bool = False) -> None:
        """Give the rest back. `complete`: everything has come that the broker was asked for."""
        if not self._open:
            return
        self._open = False
        if complete:
            self._inflow.measured(self._ahead_bytes + self._arrived_bytes, self._began)
        self._inflow.give_back(self._left_bytes)


class Inflow:
    """The bytes that are asked for over one connection and have not arrived."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_bytes = FIRST_BYTES
        self.asked_bytes = 0
        self.heard_at = clock()
        """When something arrived last."""
        self._clock = clock
        self._waiting: deque[tuple[int, Callable[[Grant], None]]] = deque()
        self._granting = False

    def ask_for(self, most_bytes: int, on_grant: Callable[[Grant], None]) -> None:
        """Call `on_grant` with leave for at most so many bytes, now or when there is room, in order."""
        self._waiting.append((most_bytes, on_grant))
        self._grant()

    def heard(self, size_bytes: int) -> None:
        """Something that was asked for has arrived."""
        self.heard_at = self._clock()
        self.give_back(size_bytes)

    def give_back(self, size_bytes: int) -> None:
        """Some bytes have arrived, or will not."""
        self.asked_bytes -= size_bytes
        self._grant()

    def measured(self, size_bytes: int, since: float) -> None:
        """So many bytes have arrived since a time. Fit the bound to the link."""
        target = size_bytes / max(self._clock() - since, 1e-6) * TARGET_S
        if target > self.limit_bytes:
            self.limit_bytes = int(min(target, 2 * self.limit_bytes, MOST_BYTES))
        elif size_bytes >= self.limit_bytes / 2:  # of less, most of the time is latency
            self.limit_bytes = int(max(target, self.limit_bytes / 2, LEAST_BYTES))

    def begin_anew(self) -> None:
        """The connection is a new one, perhaps over another link."""
        self.limit_bytes = FIRST_BYTES
        self.heard_at = self._clock()

    def _grant(self) -> None:
        if self._granting:
            return  # a grant that could not be used was given back: the loop below goes on
        self._granting = True
        try:
            while self._waiting and self._has_room(self._waiting[0][0]):
                most_bytes, on_grant = self._waiting.popleft()
                room_bytes = self.limit_bytes - self.asked_bytes
                size_bytes = min(most_bytes, max(room_bytes, LEAST_BYTES))
                grant = Grant(self, size_bytes, self.asked_bytes, self._clock())
                self.asked_bytes += size_bytes
                on_grant(grant)
        finally:
            self._granting = False

    def _has_room(self, most_bytes: int) -> bool:
        """Is there room for a piece worth asking for? If nothing is under way, there always is."""
        room_bytes = self.limit_bytes - self.asked_bytes
        return not self.asked_bytes or room_bytes >= min(most_bytes, LEAST_BYTES)
