"""Seconds that a person's verbs take on a batch of 100,000 jobs that is over.

The batch has five events a job. A scheduler answers queries. Each verb runs in a process of its own. The
floor is the time to read all events as bytes.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from distribute.client.build_logs import read_builds
from distribute.client.control import delete
from distribute.client.follow import follow_to_end
from distribute.client.logs import job_output
from distribute.client.person import Person
from distribute.client.pull.filters import Filter
from distribute.client.pull.listing import list_results
from distribute.client.queries import ask
from distribute.collector import collect_garbage_rarely
from distribute.core.errors import Unreachable
from distribute.core.ids import JobId
from distribute.core.liveness import Lease
from distribute.core.recorded import Recorded
from distribute.nats.client.connect import Address
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream.layout import EVENTS
from distribute.nats.stream.reader import read
from distribute.nats.stream.subjects import ALL_EVENTS
from distribute.runtime import new_id
from distribute_services.scheduler.service import SchedulerService

from .figure import Figure, Floor
from .filling import empty_cluster, fill
from .streams import Writer, nodes, run_of_a_batch, sweep

JOBS = 100_000
PIECE = 20_000
TARGET_S = 1.0
KIB = 1024
TRIES = 6000
BATCH = sweep(0, 1).id

Act = Callable[[Cluster], Awaitable[None]]


def run() -> list[Figure]:
    """Fill a broker, and run the verbs."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as elsewhere:
        return asyncio.run(_measure(elsewhere))


async def _measure(elsewhere: ProcessPoolExecutor) -> list[Figure]:
    collect_garbage_rarely()  # as services do
    loop = asyncio.get_running_loop()
    async with empty_cluster() as (broker, cluster):
        for piece in _pieces(_events()):
            await fill(cluster, piece)
        last = await cluster.log.last_seq()
        floor = Floor("read as bytes", await _read(cluster, last))
        figures = []
        async with serving(cluster):
            for name, target, act in ACTS:
                seconds, peak_mb = await loop.run_in_executor(elsewhere, _act, broker.address, act)
                figures.append(Figure(name, seconds, "s", target, floor))
                figures.append(Figure(f"{name}: peak memory", peak_mb, "MB"))
    return figures


def _events() -> Iterator[Recorded]:
    writer = Writer()
    yield from nodes(writer)
    yield from run_of_a_batch(writer, sweep(0, JOBS))


def _pieces(events: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    coming = iter(events)
    while piece := list(islice(coming, PIECE)):
        yield piece


async def _read(cluster: Cluster, last: int) -> float:
    since = time.perf_counter()
    async for _ in read(cluster.connection, EVENTS, [ALL_EVENTS], until=last):
        pass
    return time.perf_counter() - since


@asynccontextmanager
async def serving(cluster: Cluster) -> AsyncIterator[None]:
    """Run a scheduler that has folded everything and answers queries."""
    stop = asyncio.Event()
    running = asyncio.create_task(SchedulerService(cluster, Lease()).run(stop))
    last = await cluster.log.last_seq()
    for _ in range(TRIES):
        if await _folded(cluster) >= last:
            break
        await asyncio.sleep(0.1)
    try:
        yield
    finally:
        stop.set()
        await running


async def _folded(cluster: Cluster) -> int:
    """The sequence up to which the scheduler has folded."""
    try:
        answer = await ask(cluster, "standing", BATCH._asdict(), timeout_s=60.0)
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


async def wait(cluster: Cluster) -> None:
    """As `distribute wait` does."""
    if not (await follow_to_end(cluster, BATCH))["archived"]:
        raise AssertionError("the batch is not archived")


async def logs(cluster: Cluster) -> None:
    """As `distribute logs` does, up to the reading of the output."""
    if (await job_output(cluster, JobId(*BATCH, f"s0-re{JOBS // 2:05}"))).attempt != 1:
        raise AssertionError("not the job's only attempt")


async def build_logs(cluster: Cluster) -> None:
    """As `distribute logs --build` does. The batch has no builds."""
    if (await read_builds(cluster, BATCH)).ended:
        raise AssertionError("a build that nobody ran")


async def pull_dry(cluster: Cluster) -> None:
    """As `distribute pull --dry` does."""
    if len((await list_results(cluster, BATCH, Filter())).files) != 2 * JOBS:
        raise AssertionError("not every file is listed")


async def delete_it(cluster: Cluster) -> None:
    """As `distribute delete` does."""
    await delete(cluster, Person("me", new_id, lambda: datetime.now(UTC)), BATCH)


ACTS: tuple[tuple[str, float | None, Act], ...] = (
    ("wait", TARGET_S, wait),
    ("logs of a job", TARGET_S, logs),
    ("logs of its builds", TARGET_S, build_logs),
    ("pull --dry", None, pull_dry),
    ("delete", TARGET_S, delete_it),
)
