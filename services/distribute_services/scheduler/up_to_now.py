"""Queries wait until the state has what the log had when they came.

So who asks after an act sees the act. It is in the log as soon as it is acknowledged, and the scheduler folds
it some milliseconds later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from distribute.client.queries import Behind
from distribute.ports import EventLog

WITHIN_S = 0.5
"""How long a query waits at most. After that, people get what there is, and are told that it is behind."""


class UpToNow:
    """Waits until the state is up to now. `seq` gives the sequence up to which it is folded."""

    def __init__(self, log: EventLog, seq: Callable[[], int]) -> None:
        self._log = log
        self._seq = seq
        self._news = asyncio.Event()
        self._asking = asyncio.Lock()
        self._came = 0
        """How many queries came so far."""
        self._covered = 0
        """How many of them had come before the log was asked for the end that we know."""
        self._end = 0

    def folded(self) -> None:
        """Call this whenever events were folded."""
        self._news.set()
        self._news = asyncio.Event()

    async def behind(self) -> Behind | None:
        """Wait until the state has what the log has now. Returns what it lacks if that takes too long."""
        end = None
        try:
            async with asyncio.timeout(WITHIN_S):
                end = await self._end_by_now()
                while self._seq() < end:
                    await self._news.wait()
        except TimeoutError:
            return Behind(self._seq(), end)
        return None

    async def _end_by_now(self) -> int:
        """The log's last sequence, now or a moment later. Queries that wait together ask for it once."""
        self._came += 1
        own = self._came
        async with self._asking:
            if self._covered < own:
                came = self._came
                self._end = await self._log.last_seq()
                self._covered = came
            return self._end
