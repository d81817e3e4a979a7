"""Calls per second: `Executor.map` of 5,000 empty functions on 16 slots, beside dask.distributed.

Dask is measured where it is installed (`pip install distributed`): two workers with eight threads each, which
stay between calls. A job of the Executor is a process of its own: the second figure gives each call one.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from distribute.executor import Executor

from .figure import Figure, Floor
from .running_lab import KEEPER, cpu_s, pids_of, running_lab

CALLS = 5000
CALLS_ALONE = 200
SLOTS = 16
WORKERS = 2


def run() -> list[Figure]:
    """Measure dask, the Executor, and dask again."""
    # A version manager's `python3.N` is a shell script, which takes ten times as long as Python to start.
    os.environ["PATH"] = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
    before = _dask()
    rate, alone, spent = asyncio.run(_ours())
    rates = [found for found in (before, _dask()) if found is not None]
    dask = Floor("dask.distributed", sum(rates) / len(rates)) if rates else None
    return [
        Figure("calls", rate, "calls/s", None, dask),
        Figure("calls, each a job", alone, "calls/s", None, dask),
        *(Figure(f"processor time a call: {name}", 1e6 * each, "µs") for name, each in sorted(spent.items())),
    ]


async def _ours() -> tuple[float, float, dict[str, float]]:
    """Calls per second, the same with one call a job, and the CPU seconds per call of each process."""
    async with running_lab(cpus=SLOTS) as (processes, _):

        def measure() -> tuple[float, float, dict[str, float]]:
            function = _local()
            with Executor(server=processes.server, name="warm-up") as pool:
                list(pool.map(function, range(SLOTS)))
            used = {name: cpu_s(pid) for name, pid in pids_of(processes).items()} | {"this program": _own_s()}
            with Executor(server=processes.server, name="measured") as pool:
                rate = _rate(lambda: list(pool.map(function, range(CALLS))), CALLS)
            now = {name: cpu_s(pid) for name, pid in pids_of(processes).items()} | {"this program": _own_s()}
            spent = {name: (now[name] - before) / CALLS for name, before in used.items()}
            spent[f"{KEEPER}, jobs included"] = spent.pop(KEEPER)
            with Executor(server=processes.server, name="alone") as pool:
                alone = _rate(lambda: list(pool.map(function, range(CALLS_ALONE), chunksize=1)), CALLS_ALONE)
            return rate, alone, spent

        return await asyncio.to_thread(measure)


def _local() -> Callable[[int], None]:
    """An empty function that is sent with its code, as one of a script is."""

    def local(_: int) -> None:
        pass

    return local


def _dask() -> float | None:
    """Calls per second of dask. None: it is not installed."""
    if importlib.util.find_spec("distributed") is None:
        return None
    function = _local()
    with _dask_client() as client:
        client.gather(client.map(function, range(SLOTS), pure=False))
        return _rate(lambda: client.gather(client.map(function, range(CALLS), pure=False)), CALLS)


@contextlib.contextmanager
def _dask_client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=SLOTS // WORKERS, dashboard_address=None) as local,
        Client(local) as client,
    ):
        yield client


def _rate(work: Callable[[], object], count: int) -> float:
    since = time.perf_counter()
    work()
    return count / (time.perf_counter() - since)


def _own_s() -> float:
    used = os.times()
    return used.user + used.system
