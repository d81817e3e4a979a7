"""Measure time."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import process_time_ns


class Stopwatch:
    """Adds up the processor time spent in `with` blocks. Other processes do not count."""

    def __init__(self) -> None:
        self.total_ns = 0

    def __enter__(self) -> None:
        self._since = process_time_ns()

    def __exit__(self, *_: object) -> None:
        self.total_ns += process_time_ns() - self._since

    def rate(self, count: int) -> float:
        """The rate per second, for `count` in all."""
        return count * 1e9 / self.total_ns

    @property
    def seconds(self) -> float:
        return self.total_ns / 1e9


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Turn garbage collection off, so that garbage of the preparation does not slow the measured parts."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def median_and_p99(samples: Sequence[float]) -> tuple[float, float]:
    """The median of the samples, and the value below which 99 of 100 lie."""
    return statistics.median(samples), statistics.quantiles(samples, n=100, method="inclusive")[98]
