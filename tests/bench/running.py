"""List the benchmarks, and run each in a process of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import pkgutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

import tests.bench

from .figure import Figure

PREFIX = "bench_"


def names() -> list[str]:
    """The names of all benchmarks."""
    found = (module.name for module in pkgutil.iter_modules(tests.bench.__path__))
    return sorted(name.removeprefix(PREFIX) for name in found if name.startswith(PREFIX))


def run(chosen: Iterable[str]) -> Iterator[tuple[str, list[Figure]]]:
    """Run each benchmark in a new process, so that others' heaps and caches don't count."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
        for name in chosen:
            yield name, processes.submit(figures_of, name).result()


def figures_of(name: str) -> list[Figure]:
    """Run one benchmark in this process."""
    return list(importlib.import_module(f"tests.bench.{PREFIX}{name}").run())
