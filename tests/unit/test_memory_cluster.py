"""The cluster within one process: heartbeats, live output, durable readers, and its store of files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import pytest

from distribute.core.errors import IntegrityError, StorageFull
from distribute.core.files.manifest import StoredObject
from distribute.core.ids import BatchId, JobId
from distribute.core.log.beats import Beat
from distribute.core.log.recorded import Guard
from distribute.memory.cluster import BEAT_KEPT_S, OUTPUT_KEPT_BYTES, MemoryCluster
from distribute.memory.store import FileStore
from distribute.ports import Cluster, Only
from distribute.testing import builders as make

T = TypeVar("T")
JOB, OTHER = JobId("lab", "sweep", "a"), JobId("lab", "sweep", "b")


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(tmp_path: Path, clock: Clock) -> MemoryCluster:
    cluster = MemoryCluster(FileStore(tmp_path / "store"), clock)
    port: Cluster = cluster
    assert port.connected
    return cluster


async def taken(stream: AsyncGenerator[T, None], count: int) -> list[T]:
    async with asyncio.timeout(60), aclosing(stream):
        return [await anext(stream) for _ in range(count)]


def beat(node: str, incarnation: str = "one") -> Beat:
    return Beat(node=node, incarnation=incarnation, load=0.0)


async def test_a_follower_gets_the_last_heartbeat_of_each_node_and_then_new_ones(
    cluster: MemoryCluster,
) -> None:
    for node, incarnation in (("ws1", "old"), ("ws1", "new"), ("ws2", "only")):
        await cluster.beats.send(beat(node, incarnation))
    coming = cluster.beats.follow()
    found = [await anext(coming), await anext(coming)]
    waiting = asyncio.ensure_future(anext(coming))
    await cluster.beats.send(beat("ws1", "newest"))
    assert [each.incarnation for each in (*found, await waiting)] == ["new", "only", "newest"]
    await coming.aclose()


async def test_a_heartbeat_is_kept_for_a_short_time(cluster: MemoryCluster, clock: Clock) -> None:
    await cluster.beats.send(beat("ws1"))
    clock.now += BEAT_KEPT_S
    assert await cluster.beats.last("ws1") == beat("ws1")
    clock.now += 1
    assert await cluster.beats.last("ws1") is None
    assert await cluster.beats.last("ws2") is None


async def test_live_output_is_of_one_attempt_and_not_older_than_asked_for(
    cluster: MemoryCluster, clock: Clock
) -> None:
    for of, attempt, text in ((JOB, 1, b"old"), (OTHER, 1, b"another's"), (JOB, 2, b"second attempt")):
        await cluster.live.send(of, attempt, text)
    clock.now += 10
    await cluster.live.send(JOB, 1, b"new")
    assert await taken(cluster.live.follow(JOB, 1), 2) == [b"old", b"new"]
    assert await taken(cluster.live.follow(JOB, 1, since=clock.now), 1) == [b"new"]


async def test_only_the_newest_live_output_is_kept(cluster: MemoryCluster) -> None:
    most = OUTPUT_KEPT_BYTES >> 20
    coming = cluster.live.follow_all()
    await cluster.live.send(JOB, 1, b"first")
    assert (await anext(coming)).text == b"first"
    for number in range(most + 2):
        await cluster.live.send(JOB, 1, bytes([number]) * (1 << 20))
    kept = await taken(coming, most)
    assert [each.text[0] for each in kept] == list(range(2, most + 2))


async def test_a_durable_reader_gets_again_what_it_did_not_acknowledge(cluster: MemoryCluster) -> None:
    for number in range(3):
        await cluster.log.append(make.submitted(make.batch(batch=f"b{number}")), Guard(0))
    first, second = await taken(cluster.durable("archiver"), 2)
    second.ack()
    first.in_progress()
    seqs = [each.recorded.seq for each in await taken(cluster.durable("archiver"), 2)]
    assert seqs == [first.recorded.seq, 3]
    other = await taken(cluster.durable("other", Only(batch=BatchId("lab", "b2"))), 1)
    assert [each.recorded.seq for each in other] == [3]


async def store_result(store: FileStore, content: bytes, name: str = "lab/sweep/a/1/0") -> StoredObject:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    stored = await store.put_result(name, "ws1", pieces())
    await store.commit_result(stored)
    return stored


@pytest.mark.parametrize("links", [False, True])
async def test_inputs_and_results_come_back_as_they_were(tmp_path: Path, links: bool) -> None:
    store = FileStore(tmp_path / "store", links=links)
    content = bytes(range(256)) * 10_000
    source = tmp_path / "input"
    source.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    told: list[int] = []
    await store.put_input(source, sha256, told.append)
    source.write_bytes(b"edited meanwhile")
    await store.get_input(sha256, tmp_path / "got")
    stored = await store_result(store, content)
    await store.fetch_result(stored, tmp_path / "fetched", told.append)
    assert (tmp_path / "got").read_bytes() == (tmp_path / "fetched").read_bytes() == content
    assert told[-1] == len(content)
    assert (tmp_path / "got").stat().st_nlink == (2 if links else 1)
    assert (tmp_path / "fetched").stat().st_nlink == (2 if links else 1)


async def test_a_damaged_result_gets_no_name(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store", links=True)
    stored = await store_result(store, b"right")
    (tmp_path / "store" / "results" / stored.nuid).write_bytes(b"wrong")
    with pytest.raises(IntegrityError, match="missing or damaged"):
        await store.fetch_result(stored, tmp_path / "fetched")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


async def test_a_result_that_does_not_come_whole_takes_no_room(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"the first piece"
        raise StorageFull("there is no room for the second one")

    with pytest.raises(StorageFull):
        await store.put_result("lab/sweep/a/1/0", "ws1", pieces())
    assert list((tmp_path / "store" / "results").iterdir()) == []


async def test_an_input_that_changed_since_it_was_listed_is_refused(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store")
    (tmp_path / "input").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="its content has changed since it was listed"):
        await store.put_input(tmp_path / "input", hashlib.sha256(b"listed").hexdigest())
    assert list((tmp_path / "store" / "inputs").iterdir()) == []


async def test_deleted_results_are_gone_but_not_those_of_a_later_batch(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store")
    stored = await store_result(store, b"left")
    await store.delete_results(BatchId("lab", "sweep"), before=0.0)
    assert await store.has_result(stored)
    await store.delete_results(BatchId("lab", "other"), before=2e10)
    await store.delete_results(BatchId("lab", "sweep"), before=2e10, but={"a"})
    assert await store.has_result(stored)
    await store.delete_results(BatchId("lab", "sweep"), before=2e10)
    assert not await store.has_result(stored)
    with pytest.raises(IntegrityError):
        await store.commit_result(stored)
