"""The object store on a real broker: objects come back as they were stored, and damage is an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest

from distribute.core.errors import IntegrityError, Refused
from distribute.core.files.manifest import StoredObject
from distribute.core.ids import MAX_AUTHOR_BYTES, MAX_NAME_BYTES, BatchId
from distribute.nats.broker.embedded import Broker
from distribute.nats.client import jetstream
from distribute.nats.objects.store import JetStreamStore
from integration.store_kit import (
    CHUNK,
    Stores,
    content,
    digest,
    remove_one_chunk,
    stores,
    stream_of,
    subjects,
)

SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 40 * CHUNK + 17]


@pytest.fixture
async def cluster(broker: Broker) -> AsyncIterator[Stores]:
    async with stores(broker) as made:
        yield made


@pytest.fixture
async def store(cluster: Stores) -> JetStreamStore:
    return await cluster.store()


def write(path: Path, data: bytes) -> str:
    """Write a file and return its digest."""
    path.write_bytes(data)
    return digest(data)


async def read_all(store: JetStreamStore, stored: StoredObject) -> bytes:
    return b"".join([piece async for piece in store.get_result(stored)])


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_an_input_comes_back_as_it_was(store: JetStreamStore, tmp_path: Path, size_bytes: int) -> None:
    data = content(size_bytes)
    sha256 = write(tmp_path / "in", data)
    await store.put_input(tmp_path / "in", sha256)
    await store.get_input(sha256, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broker", "in", "out"]


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_a_result_comes_back_as_it_was(store: JetStreamStore, tmp_path: Path, size_bytes: int) -> None:
    data = content(size_bytes)
    stored = await store.put_result("jane/sweep/re100/1/0", "ws07", stream_of(data))
    assert (stored.size_bytes, stored.sha256) == (size_bytes, digest(data))
    assert stored.chunks == max(1, -(-size_bytes // CHUNK))
    await store.commit_result(stored)
    await store.commit_result(stored)
    assert await store.has_result(stored)
    assert await read_all(store, stored) == data
    await store.fetch_result(stored, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.parametrize("letter", ["*", "ü", ".", " ", "\n", ">", "%", "\\"])
async def test_names_of_the_greatest_length_are_stored(store: JetStreamStore, letter: str) -> None:
    longest, node = (letter * (most // len(letter.encode())) for most in (MAX_NAME_BYTES, MAX_AUTHOR_BYTES))
    stored = await store.put_result(f"{longest}/{longest}/{longest}/1/0", node, stream_of(b"x"))
    await store.commit_result(stored)
    assert await read_all(store, stored) == b"x"
    await store.delete_results(BatchId(longest, longest), before=time.time())
    with pytest.raises(IntegrityError, match="missing"):
        await read_all(store, stored)


async def test_a_fetched_file_replaces_an_older_one(store: JetStreamStore, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old and longer")
    stored = await store.put_result("a/b/c/1/0", "n", stream_of(b"new"))
    await store.fetch_result(stored, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"new"


@pytest.mark.parametrize("size_bytes", [0, 5, 2 * CHUNK + 1])
async def test_a_standard_client_can_read_objects(
    cluster: Stores, store: JetStreamStore, size_bytes: int
) -> None:
    data = content(size_bytes)
    name = "jane/sw.eep/re*100/1/0"
    await store.commit_result(await store.put_result(name, "ws.07", stream_of(data)))
    client = await nats.connect(cluster.broker.address.urls[0])
    try:
        bucket = await client.jetstream().object_store("results")
        found = await bucket.get(name)
        assert (found.data, found.info.size) == (data, size_bytes)
        assert [info.name for info in await bucket.list()] == [name]
    finally:
        await client.close()


async def test_an_input_is_stored_once_whoever_sends_it(cluster: Stores, tmp_path: Path) -> None:
    sha256 = write(tmp_path / "in", content(3 * CHUNK))
    several = [await cluster.store() for _ in range(3)]
    await asyncio.gather(*(store.put_input(tmp_path / "in", sha256) for store in several * 4))
    found = await subjects(await cluster.connection(), "inputs", ">")
    assert sorted(found.values()) == [1, 3], "one meta, and the chunks of one upload"
    await several[0].get_input(sha256, tmp_path / "out")
    assert digest((tmp_path / "out").read_bytes()) == sha256


async def test_many_small_inputs_can_be_stored_at_once(store: JetStreamStore, tmp_path: Path) -> None:
    files = {write(tmp_path / f"{number}", b"%d" % number): number for number in range(500)}
    await asyncio.gather(*(store.put_input(tmp_path / f"{n}", sha256) for sha256, n in files.items()))
    await asyncio.gather(*(store.get_input(sha256, tmp_path / f"{n}.out") for sha256, n in files.items()))
    assert all((tmp_path / f"{number}.out").read_bytes() == b"%d" % number for number in range(500))


@pytest.mark.parametrize("size_bytes", [10, 20 * CHUNK])
async def test_an_input_changed_since_it_was_listed_is_refused(
    cluster: Stores, store: JetStreamStore, tmp_path: Path, size_bytes: int
) -> None:
    write(tmp_path / "in", content(size_bytes, seed=1))
    listed = digest(content(size_bytes, seed=2))
    with pytest.raises(IntegrityError, match=f"not {listed}"):
        await store.put_input(tmp_path / "in", listed)
    assert await subjects(await cluster.connection(), "inputs", ">") == {}
    with pytest.raises(IntegrityError, match="does not have it"):
        await store.get_input(listed, tmp_path / "out")


async def test_a_missing_chunk_is_reported_at_once(
    cluster: Stores, store: JetStreamStore, tmp_path: Path
) -> None:
    sha256 = write(tmp_path / "in", content(4 * CHUNK))
    await store.put_input(tmp_path / "in", sha256)
    stored = await store.put_result("a/b/c/1/0", "n", stream_of(content(4 * CHUNK)))
    connection = await cluster.connection()
    for bucket in ("inputs", "results"):
        [subject] = await subjects(connection, bucket, "C.>")
        await remove_one_chunk(connection, bucket, subject)
    async with asyncio.timeout(60):
        with pytest.raises(IntegrityError, match="1 are missing"):
            await store.get_input(sha256, tmp_path / "out")
        with pytest.raises(IntegrityError, match="1 are missing"):
            await read_all(store, stored)
        with pytest.raises(IntegrityError, match="3 chunks are stored, not 4"):
            await store.commit_result(stored)
        assert not await store.has_result(stored)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broker", "in"]


async def test_a_file_with_changed_bytes_does_not_appear(store: JetStreamStore, tmp_path: Path) -> None:
    stored = await store.put_result("a/b/c/1/0", "n", stream_of(content(2 * CHUNK)))
    wrong = stored.model_copy(update={"sha256": digest(b"something else")})
    with pytest.raises(IntegrityError, match="digest"):
        await store.fetch_result(wrong, tmp_path / "out")
    with pytest.raises(IntegrityError, match="digest"):
        await read_all(store, wrong)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "nuid",
    [
        "*.a.b.c.1.0.{ulid}",
        "n.a.b.c.1.>",
        "n.a.other.c.1.0.{ulid}",
        "n.a.b.c.1.0.{ulid}\r\nPUB x 0",
        "{ulid}",
        "",
    ],
)
async def test_chunks_on_another_names_subject_are_refused(store: JetStreamStore, nuid: str) -> None:
    stored = await store.put_result("a/b/c/1/0", "n", stream_of(b"x"))
    forged = stored.model_copy(update={"nuid": nuid.format(ulid=stored.nuid.rpartition(".")[2])})
    with pytest.raises(IntegrityError, match="can't lie"):
        await store.commit_result(forged)
    with pytest.raises(IntegrityError, match="can't lie"):
        await store.has_result(forged)
    with pytest.raises(IntegrityError, match="can't lie"):
        await read_all(store, forged)


async def test_deleting_a_batch_leaves_others_alone(cluster: Stores, store: JetStreamStore) -> None:
    gone, uncommitted = "n.s/a/j*b/1/0", "n.s/a/j.c/2/1"
    build, empty = "n.s/a//ws 07/0", "n.s/a/%build/1/0"
    kept = ["n.s/ab/j/1/0", "n.s/*/j/1/0", "n.s/a.b/j/1/0", "n/a/j/1/0", "n.s/>//ws/0", "a/n.s/j/1/0"]
    for name in (gone, build, *kept):
        await store.commit_result(await store.put_result(name, "ws 07", stream_of(name.encode())))
    await store.put_result(uncommitted, "ws*", stream_of(content(2 * CHUNK)))
    await store.commit_result(await store.put_result(empty, "ws", stream_of(b"")))
    await store.delete_results(BatchId("n.s", "a"), before=time.time())
    await store.delete_results(BatchId("n.s", "a"), before=time.time())
    found = await subjects(await cluster.connection(), "results", ">")
    assert len(found) == 2 * len(kept)
    client = await nats.connect(cluster.broker.address.urls[0])
    try:
        bucket = await client.jetstream().object_store("results")
        assert {info.name: (await bucket.get(info.name)).data for info in await bucket.list()} == {
            name: name.encode() for name in kept
        }
    finally:
        await client.close()


async def test_deleting_a_batch_leaves_a_later_one_of_its_name_alone(
    cluster: Stores, store: JetStreamStore
) -> None:
    async def put(name: str, text: bytes) -> StoredObject:
        return await store.put_result(f"n/a/{name}", "ws", stream_of(text))

    await store.commit_result(await put("both/1/0", b"old"))
    await store.commit_result(await put("old only/1/0", b"old"))
    late = await put("committed late/1/0", b"old")
    deleted_at = time.time()
    await store.commit_result(late)
    kept = await put("both/1/0", b"new")
    await store.commit_result(kept)
    await store.delete_results(BatchId("n", "a"), before=deleted_at)
    assert len(await subjects(await cluster.connection(), "results", ">")) == 2
    assert await read_all(store, kept) == b"new"
    uncommitted = await put("not committed/1/0", b"new")
    await store.delete_results(BatchId("n", "a"), before=deleted_at)
    assert await read_all(store, uncommitted) == b"new"


async def test_results_of_the_jobs_that_are_kept_stay(cluster: Stores, store: JetStreamStore) -> None:
    names = ["n/a/kept/1/0", "n/a/gone/1/0", "n/a//ws/0", "n/a/k.t */1/0"]
    stored = [await store.put_result(name, "ws", stream_of(name.encode())) for name in names]
    for one in stored:
        await store.commit_result(one)
    await store.delete_results(BatchId("n", "a"), before=time.time(), but={"kept", "k.t *"})
    assert [await store.has_result(one) for one in stored] == [True, False, False, True]
    assert await read_all(store, stored[0]) == b"n/a/kept/1/0"
    await store.delete_results(BatchId("n", "a"), before=time.time(), but={"kept", "k.t *", "gone", ""})
    assert len(await subjects(await cluster.connection(), "results", ">")) == 4


async def test_a_snapshot_is_replaced_whole(cluster: Stores, store: JetStreamStore) -> None:
    assert await store.get_snapshot("state") is None
    await store.put_snapshot("state", b"")
    assert await store.get_snapshot("state") == b""
    versions = [content(3 * CHUNK + number, seed=number) for number in range(6)]
    await store.put_snapshot("state", versions[0])
    reader, seen = await cluster.store(), set[bytes | None]()

    async def read_on() -> None:
        while versions[-1] not in seen:
            seen.add(await reader.get_snapshot("state"))

    reading = asyncio.create_task(read_on())
    for version in versions[1:]:
        await store.put_snapshot("state", version)
    async with asyncio.timeout(60):
        await reading
    assert seen <= set(versions)
    assert sorted((await subjects(await cluster.connection(), "snapshots", ">")).values()) == [1, 4]


async def test_a_snapshot_is_replaced_only_by_who_knows_the_one_that_is_there(cluster: Stores) -> None:
    store, other = await cluster.store(), await cluster.store()
    await store.replace_snapshot("note", None, b"first")
    for wrong in (None, b"another", b""):
        with pytest.raises(Refused, match="snapshot note: another process has replaced it"):
            await other.replace_snapshot("note", wrong, b"lost")
    await other.replace_snapshot("note", b"first", b"second")
    outcomes = await asyncio.gather(
        *(one.replace_snapshot("note", b"second", text) for one, text in ((store, b"a"), (other, b"b"))),
        return_exceptions=True,
    )
    (stands,) = [text for text, outcome in zip((b"a", b"b"), outcomes, strict=True) if outcome is None]
    assert await store.get_snapshot("note") == stands


async def test_the_snapshot_of_one_of_two_writers_stays_whole(cluster: Stores) -> None:
    writers = [await cluster.store() for _ in range(3)]
    texts = [content(2 * CHUNK, seed=number) for number in range(3)]
    for _ in range(4):
        outcomes = await asyncio.gather(
            *(store.put_snapshot("state", text) for store, text in zip(writers, texts, strict=True)),
            return_exceptions=True,
        )
        stood = {text for text, outcome in zip(texts, outcomes, strict=True) if outcome is None}
        assert stood
        assert all(outcome is None or isinstance(outcome, Refused) for outcome in outcomes)
        assert await writers[0].get_snapshot("state") in stood
    assert sorted((await subjects(await cluster.connection(), "snapshots", ">")).values()) == [1, 2]


async def test_a_damaged_snapshot_is_reported(cluster: Stores, store: JetStreamStore) -> None:
    await store.put_snapshot("state", content(2 * CHUNK))
    connection = await cluster.connection()
    [subject] = await subjects(connection, "snapshots", "C.>")
    await jetstream.call(connection, "STREAM.PURGE.OBJ_snapshots", {"filter": subject})
    with pytest.raises(IntegrityError, match="2 are missing"):
        await store.get_snapshot("state")


@pytest.mark.parametrize("size_bytes", [100, 5 * CHUNK])
async def test_an_input_that_lost_a_chunk_is_sent_again_by_the_next_put(
    cluster: Stores, store: JetStreamStore, tmp_path: Path, size_bytes: int
) -> None:
    """The name alone proves nothing: the next submission must send the input again."""
    data, connection = content(size_bytes), await cluster.connection()
    sha256 = write(tmp_path / "input", data)
    await store.put_input(tmp_path / "input", sha256)
    await remove_one_chunk(connection, "inputs", f"$O.inputs.C.{sha256}.*")
    with pytest.raises(IntegrityError):
        await store.get_input(sha256, tmp_path / "back")
    await store.put_input(tmp_path / "input", sha256)
    await store.get_input(sha256, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    assert (
        len(await subjects(connection, "inputs", f"C.{sha256}.*")) == 1
    )  # nothing of the damaged one is left


async def test_transfers_tell_how_many_bytes_are_done(store: JetStreamStore, tmp_path: Path) -> None:
    """As they go: a file of many chunks does not jump from nothing to everything."""
    data = content(40 * CHUNK)
    sent: list[int] = []
    await store.put_input(tmp_path / "in", write(tmp_path / "in", data), sent.append)
    stored = await store.put_result("n/b/j/1/0", "ws1", stream_of(data))
    await store.commit_result(stored)
    fetched: list[int] = []
    await store.fetch_result(stored, tmp_path / "out", fetched.append)
    for told in (sent, fetched):
        assert told == sorted(told)
        assert told[-1] == len(data)
        assert len([done for done in told if 0 < done < len(data)]) > 1
