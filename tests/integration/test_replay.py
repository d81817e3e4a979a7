"""Replay on a real broker: a scheduler's state is compared, and a log is saved byte for byte."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from distribute.client.exporting import export
from distribute.client.replaying import state_at
from distribute.client.verifying import verify
from distribute.codec import encode
from distribute.core.errors import NobodyAnswers
from distribute.core.ids import BatchId
from distribute.core.log.recorded import Guard
from distribute.core.scheduling.liveness import Lease
from distribute.core.state.state import State
from distribute.nats.client.jetstream import direct_get
from distribute.nats.cluster import Cluster
from distribute.nats.stream.layout import EVENTS
from distribute.ports import Only, Raw
from distribute.saved.log import SavedCluster
from distribute.snapshot import digest
from distribute.testing import builders as make
from distribute_services.scheduler.service import SchedulerService
from integration.test_garbage import BODIES, put
from log_kit import append

WITHIN_S = 60.0


def wide_batch() -> Any:
    """A batch whose submission is stored in several messages, because it compresses badly."""
    rng = random.Random(1)
    jobs = [make.job(f"job{number}", command=(rng.randbytes(600).hex(),)) for number in range(2500)]
    return make.batch(jobs, batch="wide")


async def fill(cluster: Cluster) -> None:
    """Write a log with events of every stored form, and with garbage between them."""
    await cluster.log.append(make.joined("ws1"), Guard(0))
    await cluster.log.append(make.submitted(make.batch(2)), Guard(0))
    for body in BODIES.values():
        await put(cluster, "ev.job.lab.sweep.job9.claimed.ws1", body)
    await cluster.log.append(make.submitted(wide_batch()), Guard(0))
    await cluster.log.append(make.submitted(make.batch(900, batch="compressed")), Guard(0))
    # An event as another program may write it: valid, and on several lines.
    spread = orjson.dumps(orjson.loads(encode(make.joined("ws2"))), option=orjson.OPT_INDENT_2)
    await put(cluster, "ev.node.ws2.joined.ws2", spread)


@asynccontextmanager
async def scheduler(cluster: Cluster) -> AsyncIterator[None]:
    """A scheduler that answers queries while the block runs."""
    stop = asyncio.Event()
    serving = asyncio.create_task(SchedulerService(cluster, Lease()).run(stop))
    try:
        async with asyncio.timeout(WITHIN_S):
            while not await _answers(cluster):  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(0.01)
        yield
    finally:
        stop.set()
        await serving


async def _answers(cluster: Cluster) -> bool:
    try:
        await cluster.queries.ask("digests", timeout_s=WITHIN_S)
    except NobodyAnswers:
        return False
    return True


async def test_a_saved_log_has_the_stored_bytes_of_every_event(cluster: Cluster, tmp_path: Path) -> None:
    await fill(cluster)
    path = tmp_path / "log.gz"
    until = await cluster.log.last_seq()
    last = await export(cluster, path, name="nats://head:4222")
    saved = SavedCluster(path)
    raws = [raw for some in saved.file.check_chain() for raw in some]
    assert (last.events, last.last_seq) == (len(raws), until) == (5, until)
    assert cluster.log.garbage.count > 10
    for raw in raws:
        assert raw == await cluster.log.get_raw(raw.seq)
        assert await saved.log.get(raw.seq) == await cluster.log.get(raw.seq)
    assert [raw.payload[:1] for raw in raws] == [b"{", b"{", b"\x01", b"\x78", b"{"]
    stored = await direct_get(cluster.connection, EVENTS, {"seq": until})
    assert stored is not None
    assert raws[-1] == Raw(until, stored.time, stored.payload)
    assert await state_at(saved.log) == await state_at(cluster.log)


async def test_one_batch_is_saved_with_the_nodes(cluster: Cluster, tmp_path: Path) -> None:
    await fill(cluster)
    await export(cluster, tmp_path / "sweep.gz", name="", batch=BatchId("lab", "sweep"))
    log = SavedCluster(tmp_path / "sweep.gz").log
    found = [one.event.type async for records in log.follow(after=0, until=99) for one in records]
    assert found == ["joined", "submitted", "joined"]


async def test_a_live_scheduler_has_the_state_of_the_log(cluster: Cluster) -> None:
    """It has nothing to decide, for its nodes are gone: so the log stays as it is."""
    await fill(cluster)
    await append(cluster, make.left("ws1"), make.left("ws2"))
    async with scheduler(cluster):
        found = await verify(cluster)
        assert found["sound"]
        compared = found["scheduler"]
        assert compared is not None
        assert compared["compared"]
        assert compared["seq"] == await cluster.log.last_seq()
        answers = await asyncio.gather(
            *(cluster.queries.ask("digests", timeout_s=WITHIN_S) for _ in range(3))
        )
        assert len({*answers}) == 1
    alone = await verify(cluster)
    assert alone["sound"]
    assert alone["scheduler"] is None


async def test_the_state_of_a_scheduler_is_of_one_moment_while_it_works(cluster: Cluster) -> None:
    """Events come while the answer is made: it is of the event that it names, and of no later one."""
    await cluster.log.append(make.joined("ws1", cpus=64), Guard(0))
    async with scheduler(cluster):
        writing = asyncio.create_task(submit_many(cluster))
        for _ in range(5):
            answer = orjson.loads(await cluster.queries.ask("digests", timeout_s=WITHIN_S))
            found = await verify(cluster)
            assert found["sound"], found
            assert found["last_seq"] >= answer["seq"]
        await writing


async def submit_many(cluster: Cluster) -> None:
    for number in range(30):
        await cluster.log.append(make.submitted(make.batch(50, batch=f"b{number}")), Guard(0))


async def test_a_scheduler_that_was_started_with_a_false_snapshot_is_found_out(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.log.append(make.joined("ws1"), Guard(0))
    await cluster.log.append(make.submitted(make.batch(2)), Guard(0))
    state = await state_at(cluster.log)
    batch = state.batches[BatchId("lab", "sweep")]
    batch.priority = 9

    async def false_state(_: Any) -> State:
        return state

    monkeypatch.setattr("distribute_services.scheduler.service.restore", false_state)
    before = digest(state)
    async with scheduler(cluster):
        found = await verify(cluster)
    assert before != digest(await state_at(cluster.log, seq=2))
    assert not found["sound"]
    assert found["scheduler"] is not None
    assert "lab/sweep" in found["scheduler"]["differs"]
    assert found["broken"] is None


async def test_raw_events_are_those_that_a_reader_gets(cluster: Cluster) -> None:
    await fill(cluster)
    until = await cluster.log.last_seq()
    for only in (Only(), Only(node="ws1"), Only(batch=BatchId("lab", "wide"))):
        read = [one.seq async for some in cluster.log.follow(after=0, until=until, only=only) for one in some]
        raw = [one async for some in cluster.log.follow_raw(after=0, until=until, only=only) for one in some]
        assert [one.seq for one in raw] == read != []
        assert raw == [await cluster.log.get_raw(seq) for seq in read]
