"""Do long work in short slices, so that the event loop can run other tasks in between.

Threads would not help: parsing or writing JSON holds the interpreter's lock all the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


async def in_slices(work: Generator[None, None, T]) -> T:
    """Do the work (see `core.slices`). Other tasks run after each slice."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
