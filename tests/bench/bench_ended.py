"""Seconds that a person's verbs take on a batch of 100,000 jobs that is over.

The batch has five events a job. A scheduler answers queries. Each verb runs in a process of its own. The
floor is the time to read all events as bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime

from distribute.client.build_logs import read_builds
from distribute.client.control import delete
from distribute.client.follow import follow_to_end
from distribute.client.logs import job_output
from distribute.client.person import Person
from distribute.client.pull.filters import Filter
from distribute.client.pull.listing import list_results
from distribute.collector import collect_garbage_rarely
from distribute.core.ids import JobId
from distribute.core.recorded import Recorded
from distribute.nats.cluster import Cluster
from distribute.nats.stream.layout import EVENTS
from distribute.nats.stream.reader import read
from distribute.nats.stream.subjects import ALL_EVENTS
from distribute.runtime import new_id

from .acting import Act, act_elsewhere, one_process, pieces, serving
from .figure import Figure, Floor
from .filling import empty_cluster, fill
from .streams import Writer, nodes, run_of_a_batch, sweep

JOBS = 100_000
TARGET_S = 1.0
BATCH = sweep(0, 1).id


def run() -> list[Figure]:
    """Fill a broker, and run the verbs."""
    with one_process() as elsewhere:
        return asyncio.run(_measure(elsewhere))


async def _measure(elsewhere: ProcessPoolExecutor) -> list[Figure]:
    collect_garbage_rarely()  # as services do
    async with empty_cluster() as (broker, cluster):
        for piece in pieces(_events()):
            await fill(cluster, piece)
        last = await cluster.log.last_seq()
        floor = Floor("read as bytes", await _read(cluster, last))
        figures = []
        async with serving(cluster):
            for name, target, act in ACTS:
                seconds, peak_mb = await act_elsewhere(elsewhere, broker.address, act)
                figures.append(Figure(name, seconds, "s", target, floor))
                figures.append(Figure(f"{name}: peak memory", peak_mb, "MB"))
    return figures


def _events() -> Iterator[Recorded]:
    writer = Writer()
    yield from nodes(writer)
    yield from run_of_a_batch(writer, sweep(0, JOBS))


async def _read(cluster: Cluster, last: int) -> float:
    since = time.perf_counter()
    async for _ in read(cluster.connection, EVENTS, [ALL_EVENTS], until=last):
        pass
    return time.perf_counter() - since


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
