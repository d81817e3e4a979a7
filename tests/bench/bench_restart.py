"""Seconds from the start of the scheduler's process to its answer to a query, with a million events in the
log.

Once with the snapshot that a scheduler saves when it is told to end, and once with the oldest one that a
killed scheduler may leave. The floor is a process that only imports what the scheduler imports.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import orjson

from distribute.core.errors import Unreachable
from distribute.core.folding.fold import apply
from distribute.core.state.state import State
from distribute.nats.cluster import Cluster
from distribute.snapshot import dump

from .figure import Figure, Floor
from .filling import empty_cluster, fill
from .streams import lab

BATCHES = 200
JOBS = 1000
SNAPSHOT_BATCHES = 190
"""A new snapshot is due when there are a quarter as many events as jobs in it: those of ten batches here."""
TARGET_S = 2.0
TRY_AGAIN_S = 0.005
TRIES = 3


def run() -> list[Figure]:
    """Fill a broker, and start a scheduler on it several times."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    async with empty_cluster() as (broker, cluster):
        old_seq = 0
        for number, piece in enumerate(lab(BATCHES, JOBS)):
            await fill(cluster, piece)
            if number == SNAPSHOT_BATCHES:
                old_seq = piece[-1].seq
        last = piece[-1].seq
        old, new = await _snapshot(cluster, old_seq), await _snapshot(cluster, last)
        server = broker.address.urls[0]
        from_new = [await _restart(cluster, server, new) for _ in range(TRIES)]
        from_old = [await _restart(cluster, server, old) for _ in range(TRIES)]
    floor = Floor("importing it", _import_s())
    tail = f"{last - old_seq:,} events behind its snapshot"
    return [
        Figure(f"restart at {last:,} events", min(from_new), "s", TARGET_S, floor),
        Figure(f"restart, {tail}", min(from_old), "s", TARGET_S, floor),
    ]


async def _snapshot(cluster: Cluster, at: int) -> bytes:
    """Make the snapshot at a sequence from the events in the log. Any other would belong to another log."""
    state = State()
    async for records in cluster.log.follow(after=0, until=at):
        for recorded in records:
            apply(state, recorded)
    if state.misfits or state.seq != at:
        raise AssertionError(f"folded up to {state.seq} of {at}: {state.last_misfit}")
    return dump(state)


async def _restart(cluster: Cluster, server: str, snapshot: bytes) -> float:
    await cluster.store.put_snapshot("scheduler", snapshot)
    since = time.perf_counter()
    scheduler = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "distribute_services", "scheduler", "--server", server],
        stderr=subprocess.DEVNULL,
    )
    try:
        while await _archived_batches(cluster) < BATCHES:  # noqa: ASYNC110 (it can only be asked)
            await asyncio.sleep(TRY_AGAIN_S)
        return time.perf_counter() - since
    finally:
        scheduler.kill()  # a scheduler that is told to end would save a snapshot
        scheduler.wait()


async def _archived_batches(cluster: Cluster) -> int:
    try:
        answer = orjson.loads(await cluster.queries.ask("status"))
    except Unreachable:
        return 0
    return sum(batch["archived"] is True for batch in answer["batches"])


def _import_s() -> float:
    since = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import distribute_services.scheduler.service"], check=True)
    return time.perf_counter() - since
