"""Events per second of a replay: 200,000 events from a broker, and a million from a saved log, verified.

The floors are the rates of reading the same messages or lines as bytes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from distribute.codec import encode
from distribute.collector import collect_garbage_rarely
from distribute.core.folding.fold import apply
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import State
from distribute.nats.cluster import Cluster
from distribute.nats.stream.layout import EVENTS
from distribute.nats.stream.reader import read
from distribute.nats.stream.subjects import ALL_EVENTS
from distribute.ports import EventLog, Raw
from distribute.saved.lines import Header
from distribute.saved.reading import SavedFile
from distribute.saved.writing import save

from .figure import Figure, Floor
from .filling import empty_cluster, fill
from .streams import lab

BATCHES = 40
SAVED_BATCHES = 200
JOBS = 1000
TARGET = 100_000
TARGET_MB = 300


def run() -> list[Figure]:
    """Fill a broker, and read it in three ways; then verify a saved log."""
    return asyncio.run(_measure()) + asyncio.run(_measure_saved())


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


async def _measure_saved() -> list[Figure]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.gz"
        last = await save(cast(EventLog, _MadeLog()), path, Header("", "", ""))
        size_bytes = path.stat().st_size
        verifying = [sys.executable, "-P", str(Path(__file__).with_name("verifying.py")), str(path)]
        verified: dict[str, float] = json.loads(subprocess.check_output(verifying))  # noqa: ASYNC221
        since = time.process_time()
        for _ in SavedFile(path).check_chain():
            pass
        lines = last.events / (time.process_time() - since)
    events = f"{last.events:,} events"
    floor = Floor("check the digests of its lines", lines)
    return [
        Figure(f"verify a saved log of {events}", verified["rate"], "events/s", TARGET, floor),
        Figure("the same: peak memory", verified["peak_mb"], "MB", TARGET_MB),
        Figure("the same: its file", size_bytes / last.events, "bytes an event"),
    ]


class _MadeLog:
    """A log that makes its events when they are read: a million would fill the memory."""

    async def last_seq(self) -> int:
        return sys.maxsize

    async def follow_raw(self, **_: Any) -> AsyncIterator[list[Raw]]:
        for piece in lab(SAVED_BATCHES, JOBS):
            yield [Raw(seq, second, encode(event)) for seq, second, event in piece]


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
