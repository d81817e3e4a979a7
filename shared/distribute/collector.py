"""Python's collector of cycles, kept from looking through what is in none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

COLLECTED_AFTER = 50_000
"""A seventieth as often as usual."""


def collect_garbage_rarely() -> None:
    """Have the collector pass over all there is by now, and look at the rest a seventieth as often.

    Events are in no cycles: they go when the last one who holds them lets go. Looking through those at hand
    again and again is a third of a replay otherwise.
    """
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER)


@contextmanager
def collector_paused() -> Iterator[None]:
    """For work that makes millions of objects and no garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
