"""An admin puts an older copy of the broker's store back, from before more events than a node remembers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from distribute.acknowledged import MAX_REMEMBERED
from distribute.core.errors import LogReplaced
from distribute.core.ids import BatchId, JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard
from distribute.core.scheduling.liveness import Lease
from distribute.core.spec.specs import Resources
from distribute.host import Capacity, Unit
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream.log import JetStreamLog
from distribute.ports import Only
from distribute.runtime import Stop
from distribute.testing import builders as make
from distribute_services.node_runner.options import Options
from distribute_services.node_runner.service import NodeRunner
from distribute_services.scheduler.service import SchedulerService
from unit.services.runner_host import ModelHost, Running

WITHIN_S = 300.0
SHORT = MAX_REMEMBERED // 2 + 20
"""So many short jobs: the node says two words about each."""


class Computer(ModelHost):
    """A computer of four cpus. Short jobs end at once; the others when the test says so."""

    capacity = Capacity(4, 8 << 30, (), frozenset())

    def start(self, unit: Unit, place: str) -> Running:
        running = super().start(unit, place)
        if isinstance(unit.of, JobId) and unit.of.batch == "short":
            self.end(unit.of.job)
        return running


class Appends:
    """How often a log was asked to append, and how often it was told to begin anew."""

    def __init__(self, log: JetStreamLog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = self.begun_anew = 0
        append, begin_anew = log.append, log.begin_anew

        def counted(event: Event, guard: Guard) -> asyncio.Future[int]:
            self.count += 1
            return append(event, guard)

        def noted() -> None:
            self.begun_anew += 1
            begin_anew()

        monkeypatch.setattr(log, "append", counted)
        monkeypatch.setattr(log, "begin_anew", noted)


@asynccontextmanager
async def node_at(cluster: Cluster, host: Computer) -> AsyncIterator[None]:
    stop = Stop()
    runner = NodeRunner(cluster, Options(name="ws1", work_dir=Path("/nowhere"), beat_s=0.2), host)
    running = asyncio.create_task(runner.run(stop))
    try:
        yield
    finally:
        stop.insist()
        await running


@asynccontextmanager
async def scheduler_of(broker: Broker) -> AsyncIterator[None]:
    """A scheduler, which is started again when its log was replaced, as its supervisor does."""
    stop = asyncio.Event()

    async def serve() -> None:
        while not stop.is_set():
            try:
                async with open_cluster(broker.address, "scheduler") as cluster:
                    await SchedulerService(cluster, Lease()).run(stop)
            except LogReplaced:
                continue

    serving = asyncio.create_task(serve())
    try:
        yield
    finally:
        stop.set()
        await serving


async def submit(broker: Broker, batch: str, *jobs: str, cpus: int = 1, priority: int = 0) -> None:
    """A person submits a batch, and goes away: nobody says it again."""
    needs = Resources(cpus=cpus)
    spec = make.batch([make.job(job) for job in jobs], batch=batch, resources=needs, priority=priority)
    async with open_cluster(broker.address, "jane") as cluster:
        await cluster.log.append(make.submitted(spec), Guard(0))


async def said(
    cluster: Cluster,
    event_type: str,
    batch: str,
    where: Callable[[Any], bool] = lambda _: True,
    *,
    after: int = 0,
) -> Any:
    """The first event of a type about a batch, once it is there."""
    only = Only(types=frozenset({event_type}), batch=BatchId("lab", batch))
    async with asyncio.timeout(WITHIN_S):
        async for records in cluster.log.follow(after=after, only=only):
            for recorded in records:
                if where(recorded.event):
                    return recorded.event
    raise AssertionError("following ended by itself")


async def test_running_jobs_go_on_and_are_reported_in_an_older_copy_of_the_log(
    broker: Broker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job was running when the copy was made; one was queued then, and runs when the copy is put back."""
    store, copy = broker.folder / "jetstream", tmp_path / "copy"
    host = Computer()
    async with (
        open_cluster(broker.address, "ws1") as of_node,
        node_at(of_node, host),
        scheduler_of(broker),
    ):
        appends = Appends(of_node.log, monkeypatch)
        await submit(broker, "long", "long")
        await submit(broker, "large", "large", cpus=2)
        await said(cluster, "started", "long")
        await said(cluster, "started", "large")
        await submit(broker, "late", "late", cpus=2, priority=1)  # there is no room for it yet
        await broker.stop()
        shutil.copytree(store, copy)
        await broker.start()
        host.end("large")
        await said(cluster, "started", "late")
        await submit(broker, "short", *(f"short{number}" for number in range(SHORT)))
        await said(cluster, "completed", "short")
        assert appends.count > MAX_REMEMBERED
        await broker.stop()
        shutil.rmtree(store)
        shutil.copytree(copy, store)
        appends.count = 0
        await broker.start()
        running = {job: host.running[job] for job in ("long", "late")}
        again = await said(cluster, "started", "late")
        host.end("late")
        host.end("long")
        for batch in ("late", "long"):
            finished = await said(cluster, "finished", batch)
            assert (finished.succeeded, finished.attempt) == (True, 1)
            assert (await said(cluster, "completed", batch)).state == "completed"
        assert again.attempt == 1
        assert {job: host.running[job] for job in running} == running, "no job was started twice"
        # What the node had reported, and the copy does not have, runs once more.
        await said(cluster, "assigned", "large", lambda event: event.attempt == 2)
        assert await cluster.log.last(BatchId("lab", "short")) is None
        assert appends.begun_anew > 0
        assert appends.count < 40, "the node says what there is to say, and waits"
