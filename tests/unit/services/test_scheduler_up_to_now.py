"""A query waits until the scheduler has folded what the log had when the query came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE
from distribute.client.control import drain
from distribute.client.holding import hold, release
from distribute.client.queries import Behind, Queries, ask
from distribute.client.submit import submit
from distribute.core.log.recorded import Guard
from distribute.core.scheduling.liveness import Lease
from distribute.memory.cluster import MemoryCluster
from distribute.memory.log import MemoryLog
from distribute.memory.store import FileStore
from distribute.testing import builders as make
from distribute_services.scheduler import up_to_now
from distribute_services.scheduler.service import SchedulerService
from distribute_services.scheduler.up_to_now import UpToNow

SPEC = make.batch(1)
TIMES = 50


class LaggingLog(MemoryLog):
    """A log whose followers get what comes only after `turns` turns of the event loop, or never."""

    turns: int | None = 10

    async def follow(self, **which: Any) -> Any:
        async for records in super().follow(**which):
            for _ in range(self.turns or 0):
                await asyncio.sleep(0)
            if self.turns is None:
                await asyncio.get_running_loop().create_future()
            yield records


class AskedLog(MemoryLog):
    """A log that answers for its end when it is let to, and counts the questions."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.answers = asyncio.Event()

    async def last_seq(self) -> int:
        self.asked += 1
        await self.answers.wait()
        return self.stored.last_seq


@asynccontextmanager
async def lab(folder: Path) -> AsyncIterator[MemoryCluster]:
    """A cluster with a scheduler that folds late."""
    cluster = MemoryCluster(FileStore(folder))
    cluster.log = LaggingLog()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(SchedulerService(cluster, Lease()).run(stop))
        while not is_served(cluster):  # noqa: ASYNC110
            await asyncio.sleep(0)
        yield cluster
        cluster.log.turns = 0
        stop.set()


def is_served(cluster: MemoryCluster) -> bool:
    return ("edit", None) in cluster.queries._handlers


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up_to_now, "WITHIN_S", 60.0)


def fail(*what: object) -> None:
    raise AssertionError(f"the scheduler did not answer in time: {what}")


@pytest.mark.usefixtures("patience")
async def test_who_asks_after_an_act_sees_the_act(tmp_path: Path) -> None:
    """The scheduler folds only after other tasks had some turns. Each act is in the log before that."""
    async with lab(tmp_path) as cluster:
        queries = Queries(cluster, on_silence=fail, on_behind=fail)
        await submit(cluster, JANE, SPEC, {})
        assert (await queries.batch(SPEC.id))["jobs"]["queued"] == 1
        await cluster.log.append(make.joined(), Guard(0))
        for number in range(TIMES):
            await hold(cluster, JANE, SPEC.id)
            assert (await queries.batch(SPEC.id))["held_by"] == "jane"
            await release(cluster, JANE, SPEC.id)
            assert (await queries.batches())["batches"][0]["held_by"] is None
            await drain(cluster, queries, JANE, "ws1", reason=f"no. {number}")
            assert (await queries.node("ws1"))["reason"] == f"no. {number}"


async def test_an_answer_that_may_lack_events_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab(tmp_path) as cluster:
        monkeypatch.setattr(up_to_now, "WITHIN_S", 0.0)
        cluster.log.turns = None
        await cluster.log.append(make.joined(), Guard(0))
        assert await ask(cluster, "nodes", {}) == {"behind": {"seq": 0, "end": 1}, "nodes": []}
        monkeypatch.setattr(up_to_now, "WITHIN_S", 0.01)
        told: list[Behind] = []
        assert (await Queries(cluster, on_behind=told.append).nodes())["nodes"] == []
        assert told == [Behind(0, 1)]
        assert str(told[0]) == (
            "the scheduler has too much to do: this is as of event 0 of 1 of the log, and may lack what "
            "happened last"
        )


async def test_queries_that_come_together_ask_once_where_the_log_ends() -> None:
    log = AskedLog()
    up_to = UpToNow(log, lambda: log.stored.last_seq)
    first = asyncio.create_task(up_to.behind())
    await asyncio.sleep(0)
    later = [asyncio.create_task(up_to.behind()) for _ in range(5)]
    await asyncio.sleep(0)
    log.answers.set()
    assert await asyncio.gather(first, *later) == [None] * 6
    assert log.asked == 2, "the first question may have been answered before the later queries came"


async def test_a_query_that_gave_up_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    log = AskedLog()
    up_to = UpToNow(log, lambda: 3)
    monkeypatch.setattr(up_to_now, "WITHIN_S", 0.0)
    assert await up_to.behind() == Behind(3, None)
    monkeypatch.setattr(up_to_now, "WITHIN_S", 60.0)
    log.answers.set()
    assert await up_to.behind() is None
