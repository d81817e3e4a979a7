"""Doing the same for many things, some at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Do `work` for each item, for at most so many at once.

    Raises:
        Exception: what the first `work` that failed raised; the others are cancelled. Several that fail at
            once usually have one cause, such as no room.
    """

    async def worker(queue: Iterator[T]) -> None:
        for item in queue:
            await work(item)

    queue = iter(items)
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(worker(queue))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
