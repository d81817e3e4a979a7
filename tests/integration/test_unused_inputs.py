"""Old inputs are removed from a real store, and never one that somebody sends or renews meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from distribute.core.errors import IntegrityError
from distribute.nats.broker.embedded import Broker
from distribute.nats.objects import store as store_module
from distribute.nats.objects.bucket import Bucket
from distribute.nats.objects.store import JetStreamStore
from distribute.ports import StoredInput
from integration.store_kit import CHUNK, Stores, content, digest, remove_one_chunk, stores, subjects

SIZES = [10, 3 * CHUNK]
LONG_S = 7 * 24 * 3600.0


@pytest.fixture
async def cluster(broker: Broker) -> AsyncIterator[Stores]:
    async with stores(broker) as made:
        yield made


@pytest.fixture
async def store(cluster: Stores) -> JetStreamStore:
    return await cluster.store()


@pytest.fixture
def renews(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs are renewed at once, not only after a day."""
    monkeypatch.setattr(store_module, "RENEW_INPUTS_AFTER_S", 0.0)


async def put(store: JetStreamStore, path: Path, data: bytes) -> str:
    path.write_bytes(data)
    sha256 = digest(data)
    await store.put_input(path, sha256)
    return sha256


async def unused(store: JetStreamStore, unused_s: float = 0.0) -> list[StoredInput]:
    return [each async for each in store.inputs_unused_for(unused_s)]


@pytest.mark.parametrize("size_bytes", [0, *SIZES])
async def test_an_old_input_is_removed_with_all_its_chunks_and_can_be_sent_again(
    cluster: Stores, store: JetStreamStore, tmp_path: Path, size_bytes: int
) -> None:
    data = content(size_bytes)
    sha256 = await put(store, tmp_path / "in", data)
    await put(store, tmp_path / "other", b"stays")
    assert await unused(store, LONG_S) == []
    old = {each.sha256: each for each in await unused(store)}[sha256]
    assert old.size_bytes == size_bytes
    assert await store.remove_input(old)
    assert not await store.remove_input(old), "it is gone"
    connection = await cluster.connection()
    assert await subjects(connection, "inputs", f"C.{sha256}.*") == {}
    assert sum((await subjects(connection, "inputs", ">")).values()) == 2
    with pytest.raises(IntegrityError, match="does not have it; submit the batch again"):
        await store.get_input(sha256, tmp_path / "out")
    await store.put_input(tmp_path / "in", sha256)
    await store.get_input(sha256, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


async def test_those_that_were_sent_first_come_first_and_later_ones_not_at_all(
    store: JetStreamStore, tmp_path: Path
) -> None:
    sent = [await put(store, tmp_path / "in", b"%d" % number) for number in range(5)]
    found = await unused(store)
    assert [each.sha256 for each in found] == sent
    assert [each.revision for each in found] == sorted(each.revision for each in found)
    assert await unused(store, 60.0) == []


async def test_an_input_that_was_sent_lately_is_not_written_again(
    store: JetStreamStore, tmp_path: Path
) -> None:
    await put(store, tmp_path / "in", b"once")
    before = await unused(store)
    await put(store, tmp_path / "in", b"once")
    assert await unused(store) == before


@pytest.mark.usefixtures("renews")
@pytest.mark.parametrize("size_bytes", SIZES)
async def test_an_input_that_is_found_there_is_renewed_and_not_sent_again(
    cluster: Stores, store: JetStreamStore, tmp_path: Path, size_bytes: int
) -> None:
    sha256 = await put(store, tmp_path / "in", content(size_bytes))
    [old] = await unused(store)
    chunks = await subjects(await cluster.connection(), "inputs", "C.>")
    for again in range(3):
        await put(await cluster.store(), tmp_path / "in", content(size_bytes))
        [renewed] = await unused(store)
        assert renewed.revision == old.revision + again + 1, "one message: its meta"
    assert await subjects(await cluster.connection(), "inputs", "C.>") == chunks
    assert not await store.remove_input(old)
    await store.get_input(sha256, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content(size_bytes)


def before_call(
    monkeypatch: pytest.MonkeyPatch, method: str, number: int, trouble: Callable[[], Awaitable[object]]
) -> None:
    """Have `trouble` just before the `number`th call of a bucket's method."""
    original, calls = getattr(Bucket, method), 0

    async def call(self: Bucket, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            await trouble()
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(Bucket, method, call)


@pytest.mark.usefixtures("renews")
@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("step", ["before its meta goes", "before its chunks go"])
async def test_an_input_that_is_found_or_sent_during_its_removal_is_there_afterwards(
    cluster: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, size_bytes: int
) -> None:
    archiver, person = await cluster.store(), await cluster.store()
    sha256 = await put(person, tmp_path / "in", content(size_bytes))
    [old] = await unused(archiver)
    number = {"before its meta goes": 1, "before its chunks go": 2}[step]
    before_call(monkeypatch, "purge", number, lambda: person.put_input(tmp_path / "in", sha256))
    assert await archiver.remove_input(old) == (number == 2)
    await person.get_input(sha256, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content(size_bytes)
    assert len(await subjects(await cluster.connection(), "inputs", f"C.{sha256}.*")) == 1


@pytest.mark.usefixtures("renews")
@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("step", ["count_now", "put_meta"])
async def test_an_input_that_is_removed_while_it_is_renewed_is_sent_again(
    cluster: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, size_bytes: int
) -> None:
    archiver, person = await cluster.store(), await cluster.store()
    sha256 = await put(person, tmp_path / "in", content(size_bytes))
    [old] = await unused(archiver)
    before_call(monkeypatch, step, 1, lambda: archiver.remove_input(old))
    await person.put_input(tmp_path / "in", sha256)
    await person.get_input(sha256, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content(size_bytes)


@pytest.mark.usefixtures("renews")
async def test_an_input_that_lost_a_chunk_and_is_removed_while_it_is_sent_again_is_there_afterwards(
    cluster: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archiver, person = await cluster.store(), await cluster.store()
    data = content(3 * CHUNK)
    sha256 = await put(person, tmp_path / "in", data)
    [old] = await unused(archiver)
    await remove_one_chunk(await cluster.connection(), "inputs", f"$O.inputs.C.{sha256}.*")
    before_call(monkeypatch, "put_meta", 1, lambda: archiver.remove_input(old))
    await person.put_input(tmp_path / "in", sha256)
    await person.get_input(sha256, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.usefixtures("renews")
async def test_whoever_wins_an_input_that_somebody_puts_is_there_afterwards(
    cluster: Stores, tmp_path: Path
) -> None:
    """Two archivers know it as old, and two people send or renew it at the same moment."""
    archivers = [await cluster.store() for _ in range(2)]
    people = [await cluster.store() for _ in range(2)]
    kept = removed = 0
    for number in range(60):
        data = content(10 if number % 2 else 2 * CHUNK, seed=number)
        sha256 = await put(people[0], tmp_path / "in", data)
        [old] = [each for each in await unused(archivers[0]) if each.sha256 == sha256]
        pause_s = number % 10 * 0.0004

        async def remove(archiver: JetStreamStore, old: StoredInput = old, pause_s: float = pause_s) -> bool:
            await asyncio.sleep(pause_s)
            return await archiver.remove_input(old)

        *won, _, _ = await asyncio.gather(
            *map(remove, archivers), *(person.put_input(tmp_path / "in", sha256) for person in people)
        )
        removed, kept = removed + any(won), kept + (not any(won))
        await people[1].get_input(sha256, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == data
    assert removed > 0, "else this tests nothing"
    assert kept > 0, "else this tests nothing"


async def test_what_a_broken_upload_left_goes_once_it_is_old(
    cluster: Stores, store: JetStreamStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = await put(store, tmp_path / "whole", content(2 * CHUNK))
    (tmp_path / "broken").write_bytes(content(2 * CHUNK, seed=1))
    connection = await cluster.connection()
    is_sent = asyncio.Event()

    async def stand_still() -> None:
        is_sent.set()
        await asyncio.Event().wait()

    before_call(monkeypatch, "put_meta", 1, stand_still)
    sending = asyncio.create_task(store.put_input(tmp_path / "broken", digest(content(2 * CHUNK, seed=1))))
    await is_sent.wait()
    sending.cancel()
    await asyncio.wait([sending])
    assert len(await subjects(connection, "inputs", "C.>")) == 2
    assert await store.remove_unnamed_inputs(LONG_S) == 0
    assert len(await subjects(connection, "inputs", "C.>")) == 2
    assert await store.remove_unnamed_inputs(0.0) == 1
    [left] = await subjects(connection, "inputs", "C.>")
    assert left.startswith(f"$O.inputs.C.{sha256}.")
    await store.get_input(sha256, tmp_path / "out")


async def test_what_is_no_meta_is_left_alone(cluster: Stores, store: JetStreamStore, tmp_path: Path) -> None:
    """Anybody can write anything there."""
    sha256 = await put(store, tmp_path / "in", b"in")
    connection, names = await cluster.connection(), ("a" * 64, "b" * 64)
    for name, payload in zip(names, (b"{", b'{"deleted": true}'), strict=True):
        await connection.request(store._inputs.meta_subject(name), payload)
        await connection.request(f"$O.inputs.C.{name}.1", b"chunk")
    assert [each.sha256 for each in await unused(store)] == [sha256]
    assert await store.remove_unnamed_inputs(0.0) == 1
    left = {subject.split(".")[3] for subject in await subjects(connection, "inputs", "C.>")}
    assert left == {sha256, names[0]}
