"""Long work in short slices, so that it never keeps an event loop from its other tasks for long.

Such work is a generator that yields after each slice and returns its result. Threads would not do: who
parses or writes JSON holds the interpreter all the while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def at_once(work: Generator[None, None, T]) -> T:
    """Do all the work now."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


async def in_slices(work: Generator[None, None, T]) -> T:
    """Do the work, and let other tasks run after each slice."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
