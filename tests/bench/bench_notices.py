"""How soon people are told of their batches: of one that ends, and of 10,000 that ended while nobody told.

The channel takes each message at once. Events are not synced to the disk. The floor of the summaries is to
read the log as bytes: the notifier folds all that came while it was away.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from tests.notifier_kit import Remembering, notifier_of

from distribute.collector import collect_garbage_rarely
from distribute.core.log import events as ev
from distribute.nats.cluster import Cluster
from distribute.nats.stream.subjects import ALL_EVENTS
from distribute.ports import Only

from .acting import read_s
from .figure import Figure, Floor
from .filling import empty_cluster, fill
from .streams import Writer, nodes, run_of_a_batch, sweep

TOLD_ALONE = 21
BATCHES = 10_000
AT_ONCE = 1000
WITHIN_S = 1800.0
TARGET_S = 1.0
MESSAGES = 1
"""The target, for each person."""


def run() -> list[Figure]:
    """Fill a broker, and tell people."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    collect_garbage_rarely()  # as services do
    async with empty_cluster() as (_, cluster):
        writer, channel = Writer(), Remembering()
        await fill(cluster, list(nodes(writer)))
        async with notifier_of(cluster, channel):
            alone_s = [await _tell_of_one(cluster, channel, writer, number) for number in range(TOLD_ALONE)]
        people = await _end_many(cluster, writer)
        ended = await cluster.log.last_seq()
        floor = Floor("read the log as bytes", await read_s(cluster, [ALL_EVENTS]))
        summaries = Remembering()
        since, worked_s = time.perf_counter(), time.process_time()
        async with notifier_of(cluster, summaries):
            await summaries.until(lambda: {one.to for one in summaries.taken.values()} == people, WITHIN_S)
            told_s = time.perf_counter() - since
            await _noted(cluster, BATCHES, after=ended)
            noted_s, worked_s = time.perf_counter() - since, time.process_time() - worked_s
    many = f"{BATCHES} batches"
    return [
        Figure("from the end of a batch to the channel, median", statistics.median(alone_s), "s", TARGET_S),
        Figure(f"{many}: until all people are told", told_s, "s", None, floor),
        Figure(f"{many}: until that is in the log", noted_s, "s", None, floor),
        Figure(f"{many}: processor time until then", worked_s, "s"),
        Figure(f"{many}: people", len(people), "people"),
        Figure(f"{many}: messages a person", len(summaries.taken) / len(people), "messages", MESSAGES),
    ]


async def _tell_of_one(cluster: Cluster, channel: Remembering, writer: Writer, number: int) -> float:
    """The seconds from the events of a batch until the channel has the message of its end."""
    writer.seq = await cluster.log.last_seq()  # the notifier has appended, too
    events = list(run_of_a_batch(writer, sweep(number, 1)))
    since = time.perf_counter()
    await fill(cluster, events)
    await channel.until(lambda: len(channel.taken) > number)
    took_s = time.perf_counter() - since
    await _noted(cluster, 1, after=events[-1].seq)
    return took_s


async def _end_many(cluster: Cluster, writer: Writer) -> set[str]:
    """Have batches run while no notifier does. Returns the people whose batches they are."""
    writer.seq = await cluster.log.last_seq()
    people = set()
    for first in range(TOLD_ALONE, TOLD_ALONE + BATCHES, AT_ONCE):
        piece = [
            event
            for number in range(first, first + AT_ONCE)
            for event in run_of_a_batch(writer, sweep(number, 1))
        ]
        await fill(cluster, piece)
        people |= {one.event.user for one in piece if isinstance(one.event, ev.Submitted)}
    return people


async def _noted(cluster: Cluster, wanted: int, *, after: int) -> None:
    """Wait until the log has so many `notified` behind a sequence."""
    async for records in cluster.log.follow(after=after, only=Only(types=frozenset({"notified"}))):
        wanted -= len(records)
        if wanted <= 0:
            return
