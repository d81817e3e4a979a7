"""The object store with a killed, full or slow broker, and with interrupted downloads."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from distribute.core.errors import StorageFull
from distribute.core.files.manifest import StoredObject
from distribute.core.ids import BatchId
from distribute.nats.broker.embedded import Broker
from distribute.nats.client.connection import Connection
from distribute.nats.client.patience import patiently
from distribute.nats.objects import chunk_reader
from distribute.nats.objects.bucket import Bucket
from distribute.nats.objects.chunk_reader import Chunk, ChunkReader
from distribute.nats.objects.fetch import Wanted, fetch
from distribute.nats.objects.part_file import PartFile
from distribute.nats.stream.publisher import Publisher
from integration.standstill import standing_still
from integration.store_kit import (
    CHUNK,
    Stores,
    assert_stored,
    content,
    digest,
    put_with_trouble,
    stores,
    stream_of,
    subjects,
)

WITHIN_S = 120.0


@pytest.fixture
async def cluster(broker: Broker) -> AsyncIterator[Stores]:
    async with stores(broker) as made:
        yield made


async def test_a_result_is_stored_whole_although_the_broker_is_killed(cluster: Stores) -> None:
    data = content(24 * CHUNK + 5)

    async def kill() -> None:
        await cluster.broker.stop(kill=True)
        await cluster.broker.start()

    stored = await put_with_trouble(cluster, data, kill)
    await assert_stored(cluster, stored, data)


async def test_results_are_fetched_whole_although_the_broker_is_killed(
    cluster: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go on when it is back: not because requests without an answer are repeated some time."""
    monkeypatch.setattr(chunk_reader, "_ASK_AGAIN_AFTER_S", 600.0)
    data = content(60 * CHUNK + 5)
    store = await cluster.store()
    stored = await store.put_result("a/b/c/1/0", "n", stream_of(data, CHUNK))
    fetched, got = asyncio.Event(), []

    def note(done_bytes: int) -> None:
        if done_bytes:
            fetched.set()

    async with asyncio.timeout(WITHIN_S):
        async for piece in store.get_result(stored):
            got.append(piece)
            if len(got) == 10:
                fetching = asyncio.create_task(store.fetch_result(stored, tmp_path / "out", note))
                await fetched.wait()
                await cluster.broker.stop(kill=True)
                assert not fetching.done()
                await cluster.broker.start()
        await fetching
    assert b"".join(got) == data
    assert (tmp_path / "out").read_bytes() == data


async def test_a_transfer_waits_for_a_broker_that_hangs(cluster: Stores) -> None:
    data = content(20 * CHUNK)

    async def stop_for_a_while() -> None:
        assert cluster.broker.pid is not None
        os.kill(cluster.broker.pid, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(0.5, os.kill, cluster.broker.pid, signal.SIGCONT)

    stored = await put_with_trouble(cluster, data, stop_for_a_while)
    await assert_stored(cluster, stored, data)


async def test_get_input_waits_however_long_the_broker_hangs(
    cluster: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times after which a request is repeated, and others give up, are short here: the test is quick."""
    monkeypatch.setitem(patiently.__kwdefaults__, "give_up_after_s", 0.5)
    data, store = content(5 * CHUNK), await cluster.store()
    (tmp_path / "in").write_bytes(data)
    await store.put_input(tmp_path / "in", digest(data))
    monkeypatch.setitem(Connection.request.__kwdefaults__, "timeout_s", 0.5)
    with standing_still(cluster.broker):
        getting = asyncio.create_task(store.get_input(digest(data), tmp_path / "out"))
        done, _ = await asyncio.wait({getting}, timeout=3)
        assert not done
    await getting
    assert (tmp_path / "out").read_bytes() == data


async def test_a_full_broker_refuses_inputs_and_delays_results(tmp_path: Path) -> None:
    """Inputs are refused, and leave nothing behind. Results wait until there is room, and are whole then."""
    filler, data = content(24 * CHUNK, seed=1), content(16 * CHUNK + 5, seed=2)
    (tmp_path / "in").write_bytes(data)
    async with Broker(tmp_path / "small", max_file_store_bytes=16 << 20) as broker, stores(broker) as cluster:
        store, connection = await cluster.store(), await cluster.connection()
        await store.commit_result(await store.put_result("a/old/c/1/0", "n", stream_of(filler)))
        with pytest.raises(StorageFull, match="no room"):
            await store.put_input(tmp_path / "in", digest(data))
        assert await subjects(connection, "inputs", ">") == {}
        with pytest.raises(StorageFull):
            await store.put_snapshot("state", data)
        putting = asyncio.create_task(store.put_result("a/new/c/1/0", "n", stream_of(data)))
        done, _ = await asyncio.wait([putting], timeout=0.5)
        assert not done
        await store.delete_results(BatchId("a", "old"), before=time.time())
        async with asyncio.timeout(60):
            await assert_stored(cluster, await putting, data)
        await store.delete_results(BatchId("a", "new"), before=time.time())
        await store.put_input(tmp_path / "in", digest(data))
        await store.get_input(digest(data), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


async def run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, command


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
async def test_a_full_disk_of_this_computer_is_reported(cluster: Stores, tmp_path: Path) -> None:
    data = content(12 * CHUNK)
    store = await cluster.store()
    stored = await store.put_result("a/b/c/1/0", "n", stream_of(data))
    small = tmp_path / "small"
    small.mkdir()
    await run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small))
    try:
        with pytest.raises(StorageFull, match="make room"):
            await store.fetch_result(stored, small / "out")
        assert list(small.iterdir()) == []
    finally:
        await run("umount", str(small))


class CountingReader(ChunkReader):
    """Counts the chunks that each read delivered, and sets an event after `enough` of them."""

    def __init__(self, connection: Connection, enough: int = 0) -> None:
        super().__init__(connection)
        self.delivered: list[int] = []
        self.enough = asyncio.Event()
        self._enough = enough

    async def read(
        self, bucket: Bucket, nuid: str, total: int, *, first_seq: int = 1, count: int | None = None
    ) -> AsyncGenerator[list[Chunk], None]:
        self.delivered.append(0)
        async for chunks in super().read(bucket, nuid, total, first_seq=first_seq, count=count):
            self.delivered[-1] += len(chunks)
            yield chunks
            if self.delivered[-1] >= self._enough:
                self.enough.set()


def wanted_of(connection: Connection, stored: StoredObject) -> Wanted:
    bucket = Bucket(connection, Publisher(connection), "results")
    return Wanted(bucket, stored.name, stored.nuid, stored.chunks, stored.sha256)


async def test_an_interrupted_download_is_resumed(cluster: Stores, tmp_path: Path) -> None:
    data = content(50 * CHUNK + 5)
    store, connection = await cluster.store(), await cluster.connection()
    # Several at once, so that their chunks lie mixed in the stream.
    stored, *_ = await asyncio.gather(
        *(store.put_result(f"a/b/c/1/{n}", "n", stream_of(data, CHUNK)) for n in range(3))
    )
    reader = CountingReader(connection)
    for damaged in (False, True):
        with PartFile(tmp_path / "out", stored.sha256) as part:
            part.write([b"x" * 5 if damaged else b"", data[5 if damaged else 0 : 30 * CHUNK + 77]])
        reader.delivered = []
        await fetch(reader, wanted_of(connection, stored), tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == data
        *probes, rest = reader.delivered[: -1 if damaged else None]
        assert rest == stored.chunks - 30
        assert all(count == 1 for count in probes)
        assert len(probes) < 10
        if damaged:
            assert reader.delivered[-1] == stored.chunks
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broker", "out"]


async def test_a_cancelled_download_keeps_a_large_part(cluster: Stores, tmp_path: Path) -> None:
    data = content(64 * CHUNK)
    store, connection = await cluster.store(), await cluster.connection()
    stored = await store.put_result("a/b/c/1/0", "n", stream_of(data, CHUNK))
    reader = CountingReader(connection, enough=20)
    fetching = asyncio.create_task(fetch(reader, wanted_of(connection, stored), tmp_path / "out"))
    await reader.enough.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    [part] = tmp_path.glob(".*.part")
    assert 20 * CHUNK <= part.stat().st_size < len(data)
    await store.fetch_result(stored, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    assert not part.exists()


async def test_two_downloads_of_one_file_do_not_disturb_each_other(cluster: Stores, tmp_path: Path) -> None:
    data = content(30 * CHUNK)
    several = [await cluster.store() for _ in range(3)]
    stored = await several[0].put_result("a/b/c/1/0", "n", stream_of(data, CHUNK))
    await asyncio.gather(*(store.fetch_result(stored, tmp_path / "out") for store in several))
    assert (tmp_path / "out").read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broker", "out"]


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_BIG_BYTES = 300 << 20
_ONE_WAY = """
import asyncio, resource, sys
from pathlib import Path
from distribute.nats.client.connect import Address, connect
from distribute.nats.objects.store import JetStreamStore

async def main(server, verb, path, sha256):
    connection = await connect(Address.of(server), "test")
    store = JetStreamStore(connection)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if verb == "put":
        await store.put_input(Path(path), sha256)
    else:
        await store.get_input(sha256, Path(path))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10)
    await store.close()
    await connection.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_memory_does_not_grow_with_the_size(cluster: Stores, tmp_path: Path) -> None:
    block = content(1 << 20)
    with (tmp_path / "in").open("wb") as file:
        for number in range(_BIG_BYTES >> 20):
            file.write(number.to_bytes(8, "big") + block[8:])
    sha256 = await asyncio.to_thread(_sha256_of, tmp_path / "in")
    for verb, name in (("put", "in"), ("get", "out")):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _ONE_WAY,
            *cluster.broker.address.urls,
            verb,
            tmp_path / name,
            sha256,
            stdout=subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert int(output) < 64 << 20, f"{verb}: {int(output) >> 20} MiB"
    assert _sha256_of(tmp_path / "out") == sha256
