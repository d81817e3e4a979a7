"""The input cache fetches each input once, stays within its bound, and checks digests."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from distribute.core.errors import IntegrityError, StorageFull
from distribute.core.spec.specs import InputFile
from distribute.memory.store import FileStore
from distribute_services.node_runner.disk.cache import InputCache
from distribute_services.node_runner.disk.limit import Limit

from .conftest import AddInput
from .costs import cpu_s_of
from .small_disk import small_disk

KIB = 1 << 10


class CountingStore(FileStore):
    """Counts fetches, and lets other tasks run during a fetch, as a network does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.fetched: list[str] = []

    async def get_input(self, sha256: str, path: Path) -> None:
        self.fetched.append(sha256)
        await asyncio.sleep(0.01)
        await super().get_input(sha256, path)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path / "store")


async def get(cache: InputCache, file: InputFile) -> bytes:
    return (await cache.get(file.sha256, file.size_bytes)).read_bytes()


def in_cache(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache").glob("*/*")}


async def test_concurrent_requests_fetch_once(
    cache: InputCache, store: CountingStore, add_input: AddInput
) -> None:
    file = await add_input(b"shared")
    contents = await asyncio.gather(*(get(cache, file) for _ in range(20)))
    assert set(contents) == {b"shared"}
    assert await get(cache, file) == b"shared"
    assert store.fetched == [file.sha256]


async def test_a_cancelled_caller_does_not_cancel_the_fetch_of_others(
    cache: InputCache, store: CountingStore, add_input: AddInput
) -> None:
    file = await add_input(b"shared")
    first, second = (asyncio.create_task(get(cache, file)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"shared"
    assert store.fetched == [file.sha256]


async def test_the_cache_survives_a_restart(
    tmp_path: Path, cache: InputCache, store: CountingStore, add_input: AddInput
) -> None:
    file = await add_input(b"kept")
    await get(cache, file)
    (tmp_path / "cache" / file.sha256[:2] / f"{file.sha256}.half").write_bytes(b"ke")
    restarted = InputCache(tmp_path / "cache", store)
    assert await get(restarted, file) == b"kept"
    assert store.fetched == [file.sha256]
    assert in_cache(tmp_path) == {file.sha256}


@pytest.mark.parametrize("damage", [b"tampere", b"short", None])
@pytest.mark.parametrize("restart", [True, False])
async def test_damage_is_found_and_mended(
    tmp_path: Path,
    cache: InputCache,
    store: CountingStore,
    add_input: AddInput,
    damage: bytes | None,
    restart: bool,
) -> None:
    file = await add_input(b"content")
    path = await cache.get(file.sha256, file.size_bytes)
    path.chmod(0o644)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    if restart:
        cache = InputCache(tmp_path / "cache", store)
    assert await get(cache, file) == b"content"
    assert store.fetched == [file.sha256, file.sha256]


async def test_the_least_recently_used_file_is_evicted_first(
    tmp_path: Path, store: CountingStore, add_input: AddInput
) -> None:
    cache = InputCache(tmp_path / "cache", store, limit=Limit(100 * KIB))
    files = [await add_input(os.urandom(30 * KIB)) for _ in range(4)]
    for file in files[:3]:
        await get(cache, file)
    await get(cache, files[0])
    await get(cache, files[3])
    assert in_cache(tmp_path) == {files[n].sha256 for n in (0, 2, 3)}
    assert cache.size_bytes == 90 * KIB


async def test_order_of_use_survives_a_restart(
    tmp_path: Path, store: CountingStore, add_input: AddInput
) -> None:
    cache = InputCache(tmp_path / "cache", store)
    files = [await add_input(os.urandom(30 * KIB)) for _ in range(3)]
    for file in [*files, files[0]]:
        await get(cache, file)
    InputCache(tmp_path / "cache", store, limit=Limit(70 * KIB))
    assert in_cache(tmp_path) == {files[n].sha256 for n in (0, 2)}


async def test_a_leased_file_is_not_evicted(
    tmp_path: Path, store: CountingStore, add_input: AddInput
) -> None:
    cache = InputCache(tmp_path / "cache", store, limit=Limit(50 * KIB))
    used, wanted = [await add_input(os.urandom(40 * KIB)) for _ in range(2)]
    async with cache.lease({used.sha256: used.size_bytes}) as paths:
        await get(cache, wanted)
        assert paths[used.sha256].exists()
    assert cache.size_bytes <= 50 * KIB


async def test_a_lease_is_cheap_in_a_large_cache(
    tmp_path: Path, store: CountingStore, add_input: AddInput
) -> None:
    """The bound is ten times what we measured. It catches a scan of the whole cache."""
    for number in range(20_000):
        sha256 = hashlib.sha256(b"%d" % number).hexdigest()
        (tmp_path / "cache" / sha256[:2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / sha256[:2] / sha256).touch()
    cache = InputCache(tmp_path / "cache", store)
    file = await add_input(b"used by every job")
    await get(cache, file)

    async def lease() -> None:
        async with cache.lease({file.sha256: file.size_bytes}):
            pass

    assert await cpu_s_of(lease) < 0.4e-3


async def test_an_input_that_the_store_lacks_is_an_error(cache: InputCache, add_input: AddInput) -> None:
    with pytest.raises(IntegrityError, match="not in the store"):
        await cache.get("0" * 64, 1)
    file = await add_input(b"content")
    with pytest.raises(IntegrityError, match="has 7 bytes, its batch says 8"):
        await cache.get(file.sha256, 8)
    assert await get(cache, file) == b"content"


async def test_only_digests_become_paths(cache: InputCache) -> None:
    with pytest.raises(ValueError, match="no SHA-256 digest"):
        await cache.get("../" * 20 + "etc/passwd", 1)


async def test_a_full_disk_evicts_unused_files(
    tmp_path: Path, store: CountingStore, add_input: AddInput
) -> None:
    old, new, huge = [await add_input(os.urandom(size << 20)) for size in (3, 2, 5)]
    with small_disk(tmp_path / "disk", 4) as disk:
        cache = InputCache(disk / "cache", store)
        await get(cache, old)
        assert len(await get(cache, new)) == 2 << 20
        assert cache.size_bytes == 2 << 20
        with pytest.raises(StorageFull):
            await get(cache, huge)
