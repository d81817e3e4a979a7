"""What a verb takes on a large log: a scheduler answers, and the verb runs in a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

from distribute.client.queries import ask
from distribute.collector import collect_garbage_rarely
from distribute.core.errors import Unreachable
from distribute.core.ids import BatchId
from distribute.core.liveness import Lease
from distribute.core.recorded import Recorded
from distribute.nats.client.connect import Address
from distribute.nats.cluster import Cluster, open_cluster
from distribute_services.scheduler.service import SchedulerService

ROOT = str(Path(__file__).parents[2])
PIECE = 20_000
KIB = 1024
TRIES = 6000

NO_BATCH = BatchId("lab", "none")

Act = Callable[[Cluster], Awaitable[None]]


def one_process() -> ProcessPoolExecutor:
    """Runs one act after another, each in a new process."""
    if ROOT not in sys.path:
        sys.path.append(ROOT)  # our programs leave the current folder out, and new processes need it
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1)


def pieces(events: Iterable[Recorded]) -> Iterator[list[Recorded]]:
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
        answer = await ask(cluster, "standing", NO_BATCH._asdict(), timeout_s=60.0)
    except Unreachable:
        return 0  # it does not answer before it has folded what its snapshot lacks
    return int(answer["seq"])


async def act_elsewhere(elsewhere: ProcessPoolExecutor, address: Address, act: Act) -> tuple[float, float]:
    """The seconds that a verb takes in another process, and the peak memory of that in MB."""
    return await asyncio.get_running_loop().run_in_executor(elsewhere, _act, address, act)


def _act(address: Address, act: Act) -> tuple[float, float]:
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
