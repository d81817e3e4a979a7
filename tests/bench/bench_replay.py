"""Events per second of a replay from a broker: 200,000 events are read, decoded and folded.

The floor is the rate of reading the same messages as bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from distribute.collector import collect_garbage_rarely
from distribute.core.fold import apply
from distribute.core.recorded import Recorded
from distribute.core.state import State
from distribute.nats.cluster import Cluster
from distribute.nats.stream.layout import EVENTS
from distribute.nats.stream.reader import read
from distribute.nats.stream.subjects import ALL_EVENTS

from .figure import Figure, Floor
from .filling import empty_cluster, fill
from .streams import lab

BATCHES = 40
JOBS = 1000
TARGET = 100_000


def run() -> list[Figure]:
    """Fill a broker, and read it in three ways."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    collect_garbage_rarely()  # as services do
    async with empty_cluster() as (_, cluster):
        for piece in lab(BATCHES, JOBS):
            await fill(cluster, piece)
        last = await cluster.log.last_seq()
        as_bytes = await _rate(last, read(cluster.connection, EVENTS, [ALL_EVENTS], until=last))
        decoded = await _rate(last, cluster.log.follow(after=0, until=last))
        replayed = await _rate(last, _folded(cluster, last))
    floor = Floor("read as bytes", as_bytes)
    return [
        Figure("replay: read, decode and fold", replayed, "events/s", TARGET, floor),
        Figure("read and decode", decoded, "events/s", None, floor),
    ]


async def _folded(cluster: Cluster, last: int) -> AsyncIterator[Sequence[Recorded]]:
    state = State()
    async for records in cluster.log.follow(after=0, until=last):
        for recorded in records:
            apply(state, recorded)
        yield records
    if state.misfits or state.seq != last:
        raise AssertionError(f"folded up to {state.seq} of {last}: {state.last_misfit}")


async def _rate(expected: int, reading: AsyncIterator[Sequence[object]]) -> float:
    count = 0
    since = time.perf_counter()
    async for several in reading:
        count += len(several)
    seconds = time.perf_counter() - since
    if count != expected:
        raise AssertionError(f"{count} messages of {expected} came")
    return count / seconds
