"""Simulate many worlds, on all cores."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from .world import World, told

CHUNK = 20
NICE = 10
"""Other tests have processes with clocks of their own. These worlds have none, and take what is left."""


@dataclass(slots=True)
class Summary:
    """The results of some seeds: the story of each failure, and counts of what happened in the others."""

    worlds: int = 0
    broken: dict[int, str] = field(default_factory=dict)
    happened: Counter[str] = field(default_factory=Counter)

    def add(self, other: Summary) -> None:
        self.worlds += other.worlds
        self.broken.update(other.broken)
        self.happened += other.happened


def simulate_all(seeds: Sequence[int]) -> Summary:
    """Simulate these seeds, one after another."""
    summary = Summary(worlds=len(seeds))
    with garbage_waits():
        for seed in seeds:
            _simulate(seed, summary)
            gc.collect(0)
    return summary


def _simulate(seed: int, summary: Summary) -> None:
    world = World(seed)
    try:
        world.run()
    except Exception as error:  # noqa: BLE001  # whatever the code under test raises belongs to its seed
        summary.broken[seed] = told(world, seed, error)
    summary.happened += world.truth.happened


@contextlib.contextmanager
def garbage_waits() -> Iterator[None]:
    """Turn garbage collection off within a world: it is freed as a whole when it is over."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def simulate_on_all_cores(seeds: Sequence[int]) -> Summary:
    """Simulate these seeds, several at a time."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    summary = Summary()
    spawn = multiprocessing.get_context("spawn")
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, mp_context=spawn, initializer=os.nice, initargs=(NICE,)) as pool:
        try:
            for part in pool.map(simulate_all, chunks):
                summary.add(part)
        except BaseException:
            for process in multiprocessing.active_children():  # the pool would wait for them
                process.kill()
            raise
    return summary
