"""Measure how long an event loop is blocked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

EVERY_S = 0.005


class Turns:
    """The longest turn of the loop so far, in milliseconds: how late a task was that sleeps for `EVERY_S`.

    `busy_ms` counts only the processor time of the loop's thread, whatever else keeps the machine busy.
    """

    longest_ms = 0.0
    busy_ms = 0.0


@asynccontextmanager
async def watched() -> AsyncIterator[Turns]:
    """Watch the loop for as long as the context lasts."""
    turns = Turns()

    async def watch() -> None:
        while True:
            since, used = time.perf_counter(), time.thread_time()
            await asyncio.sleep(EVERY_S)
            turns.busy_ms = max(turns.busy_ms, 1e3 * (time.thread_time() - used))
            turns.longest_ms = max(turns.longest_ms, 1e3 * (time.perf_counter() - since - EVERY_S))

    watching = asyncio.create_task(watch())
    await asyncio.sleep(2 * EVERY_S)
    try:
        yield turns
    finally:
        watching.cancel()
        await asyncio.wait([watching])
