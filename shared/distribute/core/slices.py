"""Long work in short slices: a generator that yields after each slice and returns its result.

A service runs it with `distribute.slices`, which lets other tasks run after each slice.
"""

from __future__ import annotations

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
