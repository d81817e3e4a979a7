"""Seconds that `distribute why` of one job takes, from start to exit, in a log of a million events.

Nodes pause now and then, as workstations do. The floor is `distribute status` of the batch. The scheduler
reads ledgers, so its processor time counts, too.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from distribute.collector import collect_garbage_rarely
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.spec.specs import BatchSpec

from .acting import serving
from .figure import Figure, Floor
from .filling import empty_cluster, fill
from .streams import NODES, Writer, node_name, nodes, run_of_a_batch, sweep

BATCHES, JOBS = 200, 1000
LIMITED = BATCHES // 2
"""The number of a batch with `max_running`: for a job of it, all events of the batch are read."""
TIMES = 7
TARGET_S = 0.5


def run() -> list[Figure]:
    """Fill a broker, and run the commands several times."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    collect_garbage_rarely()  # as services do
    async with empty_cluster() as (broker, cluster):
        writer = Writer()
        await fill(cluster, list(nodes(writer)))
        for number in range(BATCHES):
            await fill(cluster, [*_pauses(writer), *run_of_a_batch(writer, _spec(number))])
        async with serving(cluster):
            status = await _took_s(broker.address.urls[0], "status", str(_spec(LIMITED + 1).id))
            floor = Floor("distribute status BATCH", status)
            figures = []
            for name, number in (("why of one job", LIMITED + 1), ("with max_running", LIMITED)):
                job = f"{_spec(number).id}/s{number}-re{JOBS // 2:05}"
                before = _spent()
                took_s = await _took_s(broker.address.urls[0], "why", job)
                figures.append(Figure(name, took_s, "s", TARGET_S, floor))
                commands_s, scheduler_s = (now - then for now, then in zip(_spent(), before, strict=True))
                figures += [
                    Figure(f"{name}: processor time", commands_s / TIMES, "s"),
                    Figure(f"{name}: that of the scheduler", scheduler_s / TIMES, "s"),
                ]
        figures.append(Figure("events in the log", await cluster.log.last_seq(), "events"))
    return figures


def _spec(number: int) -> BatchSpec:
    return sweep(number, JOBS, max_running=64 if number == LIMITED else None)


def _pauses(writer: Writer) -> Iterator[Recorded]:
    """Every node pauses once, and lends again."""
    for number in range(NODES):
        name = node_name(number)
        until = datetime.fromtimestamp(time.time(), UTC) + timedelta(hours=1)
        yield writer.record(ev.Paused(**writer.stamp(name), node=name, until=until, reason="a talk"))
        yield writer.record(ev.Resumed(**writer.stamp(name), node=name))


def _spent() -> tuple[float, float]:
    """The processor time of the commands so far, and of this process, in which the scheduler runs."""
    commands = resource.getrusage(resource.RUSAGE_CHILDREN)
    return commands.ru_utime + commands.ru_stime, time.process_time()


async def _took_s(server: str, *words: str) -> float:
    """The median of several runs of the command line."""
    took = []
    for _ in range(TIMES):
        since = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "distribute_cli", *words, "--server", server,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        out, _ = await process.communicate()
        took.append(time.perf_counter() - since)
        if process.returncode or not out:
            raise AssertionError(f"{words} ended with {process.returncode}")
    return statistics.median(took)
