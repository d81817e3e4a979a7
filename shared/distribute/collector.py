"""Make Python's garbage collector run more rarely, because most of our objects are in no cycles."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

COLLECTED_AFTER = 50_000
"""Allocations between two runs of the collector: 70 times the default."""


def collect_garbage_rarely() -> None:
    """Let the collector ignore all present objects, and look at new ones a seventieth as often.

    Events are in no cycles, so reference counts free them. Looking at the live ones again and again would
    take a third of a replay's time. Imports make many objects and no garbage, so a program calls this before
    its late ones, too. At its end, the collector has nothing to look for: the system takes all memory back.
    """
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER)
    atexit.register(gc.freeze)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Turn the collector off during work that makes millions of objects and no garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
