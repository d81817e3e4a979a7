"""Long work in short slices, so that it never keeps an event loop from its other tasks for long.

Threads would not do: who parses or writes JSON holds the interpreter all the while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


async def in_slices(work: Generator[None, None, T]) -> T:
    """Do the work (see `core.slices`), and let other tasks run after each slice."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
