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
    """Every benchmark there is."""
    found = (module.name for module in pkgutil.iter_modules(tests.bench.__path__))
    return sorted(name.removeprefix(PREFIX) for name in found if name.startswith(PREFIX))


def run(chosen: Iterable[str]) -> Iterator[tuple[str, list[Figure]]]:
    """Each benchmark with its figures. No other one's heap or caches are in them."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
        for name in chosen:
            yield name, processes.submit(figures_of, name).result()


def figures_of(name: str) -> list[Figure]:
    """Run one benchmark here."""
    return list(importlib.import_module(f"tests.bench.{PREFIX}{name}").run())
