"""What a verb takes on a large log: a scheduler answers, and the verb runs in a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

from distribute.client.queries import ask
from distribute.collector import collect_garbage_rarely
from distribute.core.errors import Unreachable
from distribute.core.ids import BatchId
from distribute.core.log.recorded import Recorded
from distribute.core.scheduling.liveness import Lease
from distribute.nats.client.connect import Address
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream.layout import EVENTS
from distribute.nats.stream.reader import read
from distribute_services.scheduler.service import SchedulerService

from .figure import Figure, Floor
from .filling import empty_cluster, fill

ROOT = str(Path(__file__).parents[2])
PIECE = 20_000
KIB = 1024
FOLDS_WITHIN_S = 600.0

NO_BATCH = BatchId("lab", "none")

Act = Callable[[Cluster], Awaitable[None]]
Acts = Sequence[tuple[str, float | None, Act]]
"""Each with its name and its target in seconds."""


def figures_of(acts: Acts, events: Iterable[Recorded], floor: str, subjects: list[str]) -> list[Figure]:
    """Fill a broker with the events, and time the acts. The floor is the time to read `subjects` as bytes."""
    with _one_process() as elsewhere:
        return asyncio.run(_measure(elsewhere, acts, events, floor, subjects))


async def _measure(
    elsewhere: ProcessPoolExecutor,
    acts: Acts,
    events: Iterable[Recorded],
    floor_name: str,
    subjects: list[str],
) -> list[Figure]:
    collect_garbage_rarely()  # as services do
    figures = []
    async with empty_cluster() as (broker, cluster):
        for piece in _pieces(events):
            await fill(cluster, piece)
        floor = Floor(floor_name, await read_s(cluster, subjects))
        async with serving(cluster):
            for name, target, act in acts:
                seconds, peak_mb = await asyncio.get_running_loop().run_in_executor(
                    elsewhere, _act, broker.address, act
                )
                figures.append(Figure(name, seconds, "s", target, floor))
                figures.append(Figure(f"{name}: peak memory", peak_mb, "MB"))
    return figures


async def read_s(cluster: Cluster, subjects: list[str]) -> float:
    """The seconds that it takes to read the messages of these subjects as bytes."""
    last = await cluster.log.last_seq()
    since = time.perf_counter()
    async for _ in read(cluster.connection, EVENTS, subjects, until=last):
        pass
    return time.perf_counter() - since


def _one_process() -> ProcessPoolExecutor:
    """Runs one act after another, each in a new process."""
    if ROOT not in sys.path:
        sys.path.append(ROOT)  # our programs leave the current folder out, and new processes need it
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1)


def _pieces(events: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    """The events in pieces that fit into memory."""
    coming = iter(events)
    while piece := list(islice(coming, PIECE)):
        yield piece


@asynccontextmanager
async def serving(cluster: Cluster) -> AsyncIterator[None]:
    """Run a scheduler that has folded everything and answers queries."""
    stop = asyncio.Event()
    running = asyncio.create_task(SchedulerService(cluster, Lease()).run(stop))
    last = await cluster.log.last_seq()
    try:
        async with asyncio.timeout(FOLDS_WITHIN_S):
            while await _folded(cluster) < last:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield
    finally:
        stop.set()
        await running


async def _folded(cluster: Cluster) -> int:
    """The sequence up to which the scheduler has folded."""
    try:
        answer = await ask(cluster, "standing", NO_BATCH._asdict(), timeout_s=60.0)
    except Unreachable:
        return 0  # it does not answer before it has folded what its snapshot lacks
    return int(answer["seq"])


def _act(address: Address, act: Act) -> tuple[float, float]:
    """Runs in another process: the seconds that a verb takes, and the process's peak memory in MB."""
    collect_garbage_rarely()  # as the command line does
    return asyncio.run(_timed(address, act))


async def _timed(address: Address, act: Act) -> tuple[float, float]:
    async with open_cluster(address, "person") as cluster:
        since = time.perf_counter()
        await act(cluster)
        took_s = time.perf_counter() - since
    return took_s, _peak_mb()


def _peak_mb() -> float:
    """The peak of this process alone. That of `getrusage` would include the parent's at the fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * KIB / 1e6
