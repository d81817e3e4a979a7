"""The longest times, in ms, for which large work blocks the event loop of the scheduler or of a node.

The work is: to fold a submission of 100,000 jobs, and to answer `status` about it; then to pack the batch,
and to answer about it and change it; and to write a snapshot of a million jobs. All of it runs as in its
service, on the measured loop. Another process submits and asks.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import orjson
import psutil

from distribute.collector import collect_garbage_rarely
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Guard, Recorded
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.liveness import Lease
from distribute.core.state.state import State
from distribute.nats.client.connect import Address
from distribute.nats.cluster import Cluster, open_cluster
from distribute.snapshot import join_records
from distribute.snapshot_writer import SnapshotWriter, write_batch
from distribute_services.node_runner.machine.attempts import SubmissionRef
from distribute_services.node_runner.work.batches import load_submission
from distribute_services.scheduler.logic import Scheduler
from distribute_services.scheduler.service import SchedulerService

from .ended import end_all, ended_batches
from .figure import Figure
from .filling import empty_cluster
from .streams import Writer, sweep
from .turns import Turns, watched

JOBS = 100_000
SNAPSHOT_BATCHES = 10
TARGET_MS = 50.0
MEMORY_TARGET_MB = 10.0


def run() -> list[Figure]:
    """Do one kind of work after another."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as elsewhere:
        return asyncio.run(_measure(elsewhere))


async def _measure(elsewhere: ProcessPoolExecutor) -> list[Figure]:
    collect_garbage_rarely()  # as services do
    async with empty_cluster() as (broker, cluster):
        figures = await _measure_scheduler(elsewhere, broker.address, cluster)
        figures += await _measure_node(elsewhere, broker.address, cluster)
    writer, state = SnapshotWriter(), _million()
    async with watched() as turns:
        join_records((await writer.records(state)).all())
    return [*figures, *_figures(f"scheduler: a snapshot of {SNAPSHOT_BATCHES * JOBS:,} jobs", turns)]


async def _measure_scheduler(
    elsewhere: ProcessPoolExecutor, address: Address, cluster: Cluster
) -> list[Figure]:
    stop = asyncio.Event()
    folded: asyncio.Queue[Scheduler] = asyncio.Queue()

    class Telling(Scheduler):
        """Sets an event when it has folded something."""

        def deliver(self, records: Iterable[Recorded], now: float) -> list[Recorded]:
            accepted = super().deliver(records, now)
            folded.put_nowait(self)
            return accepted

    running = asyncio.create_task(SchedulerService(cluster, Lease(), logic=Telling).run(stop))
    async with watched() as turns:
        await _elsewhere(elsewhere, submit, address)
        scheduler = await folded.get()
    figures = _figures("scheduler: a submission", turns)
    batch = scheduler.state.batches[_batch_id()]
    end_all(batch)
    batch.end, batch.finished_at, batch.archived = "completed", time.time(), True
    last_seq = batch.last_seq
    job = {**batch.id._asdict(), "job": batch.names[0]}
    for verb, asked in (("status", {}), ("batch", batch.id._asdict()), ("life", job)):
        async with watched() as turns:
            await _elsewhere(elsewhere, ask, address, verb, orjson.dumps(asked))
        figures += _figures(f"scheduler: the answer to {verb!r}", turns)
    before = scheduler.agenda
    scheduler.agenda = Agenda(before.state, before.liveness, now=before.now)  # no event told it of the end
    scheduler.agenda.pack(batch.id, *await write_batch(batch))
    del batch
    async with watched() as turns:
        await _elsewhere(elsewhere, ask, address, "batch", orjson.dumps(_batch_id()._asdict()))
    figures += _figures("scheduler: the answer to 'batch', packed", turns)
    async with watched() as turns:
        await _elsewhere(elsewhere, reprioritize, address, last_seq)
        await folded.get()
    figures += _figures("scheduler: an event unpacks a batch", turns)
    if scheduler.state.packed or scheduler.state.misfits:
        raise AssertionError(f"the batch was to be changed: {scheduler.state.last_misfit}")
    stop.set()
    await running
    return figures


async def _measure_node(elsewhere: ProcessPoolExecutor, address: Address, cluster: Cluster) -> list[Figure]:
    async with watched() as turns:
        found = await load_submission(cluster.log, _batch_id(), SubmissionRef())
    if len(found) != JOBS:
        raise AssertionError(f"the node has read {len(found)} jobs")
    held_mb = await asyncio.get_running_loop().run_in_executor(elsewhere, memory_mb, address)
    return [
        *_figures("node: a submission", turns),
        Figure("node: memory of a submission", held_mb, "MB", MEMORY_TARGET_MB),
    ]


def memory_mb(address: Address) -> float:
    """Runs in a process with a fresh heap: the MB by which it grows when it reads a submission."""
    return asyncio.run(_memory_mb(address))


async def _memory_mb(address: Address) -> float:
    async with open_cluster(address, "node") as cluster:
        before = _rss_mb()
        loaded = await load_submission(cluster.log, _batch_id(), SubmissionRef())
        held_mb = _rss_mb() - before
        assert len(loaded) == JOBS, "it is held until here"
        return held_mb


def _figures(name: str, turns: Turns) -> list[Figure]:
    return [
        Figure(f"{name}: processor time", turns.busy_ms, "ms", TARGET_MS),
        Figure(f"{name}: time", turns.longest_ms, "ms"),
    ]


async def _elsewhere(elsewhere: ProcessPoolExecutor, function: Callable[..., object], *args: object) -> None:
    await asyncio.get_running_loop().run_in_executor(elsewhere, partial(function, *args))


def _batch_id() -> BatchId:
    return sweep(0, 1).id


def _submitted(number: int, writer: Writer) -> ev.Submitted:
    spec = sweep(number, JOBS)
    return ev.Submitted(**writer.stamp("jane"), **spec.id._asdict(), user="jane", spec=spec)


def submit(address: Address) -> None:
    """Runs in another process: submit a batch."""
    asyncio.run(_submit(address))


async def _submit(address: Address) -> None:
    async with open_cluster(address, "person") as cluster:
        await cluster.log.append(_submitted(0, Writer()), Guard(0))


def reprioritize(address: Address, last_seq: int) -> None:
    """Runs in another process: change the batch's priority."""
    asyncio.run(_reprioritize(address, last_seq))


async def _reprioritize(address: Address, last_seq: int) -> None:
    async with open_cluster(address, "person") as cluster:
        writer = Writer()
        writer.stamp("jane")  # the submission has this one's id
        event = ev.Reprioritized(**writer.stamp("jane"), **_batch_id()._asdict(), priority=3)
        await cluster.log.append(event, Guard(last_seq))


def ask(address: Address, verb: str, payload: bytes) -> None:
    """Runs in another process: ask the scheduler."""
    asyncio.run(_ask(address, verb, payload))


async def _ask(address: Address, verb: str, payload: bytes) -> None:
    async with open_cluster(address, "person") as cluster:
        answer = orjson.loads(await cluster.queries.ask(verb, payload, timeout_s=60.0))
    if verb == "life":
        if answer:
            raise AssertionError(f"a ledger of {JOBS} jobs is for the client to read")
        return
    told = len(answer["job_list"]) if verb == "batch" else answer["batches"][0]["jobs"]["total"]
    if told != JOBS:
        raise AssertionError(f"the answer is of {told} jobs")


def _million() -> State:
    return ended_batches(SNAPSHOT_BATCHES, JOBS)


def _rss_mb() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6
