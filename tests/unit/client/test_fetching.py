"""Files are pulled from packs unchanged. Each object is fetched once; files that exist are not fetched."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from distribute.client.pull.fetching import RESUMED_FROM_BYTES, Pulled, fetch
from distribute.client.pull.listing import Listing, StoredContent, WantedFile
from distribute.core.files.manifest import StoredObject
from distribute.memory.store import FileStore

NAME = "jane/sweep/job/1/0"


class CountingStore(FileStore):
    """A store that counts how often each object was requested."""

    asked = 0

    async def get_result(self, stored: StoredObject) -> AsyncGenerator[bytes, None]:
        self.asked += 1
        async for piece in super().get_result(stored):
            yield piece


async def pack(store: FileStore, content: bytes) -> StoredObject:
    async def pieces() -> AsyncIterator[bytes]:
        size = 7 if len(content) < 1000 else 1 << 20
        for start in range(0, len(content), size):
            yield content[start : start + size]

    stored = await store.put_result(NAME, "ws1", pieces())
    await store.commit_result(stored)
    return stored


def wanted_file(name: str, content: bytes, start: int, stop: int) -> WantedFile:
    part = content[start:stop]
    digest = hashlib.sha256(part).hexdigest()
    return WantedFile(
        (b"job", name.encode()),
        StoredContent(len(part), digest, offset=start),
    )


async def pull(store: FileStore, stored: StoredObject, files: list[WantedFile], folder: Path) -> Pulled:
    wanted = Listing(files=[(stored if file.file.size_bytes else None, file) for file in files])
    told = [(0, wanted.size_bytes)]
    pulled = await fetch(store, wanted, folder, lambda done, total: told.append((done, total)))
    assert told[-1] == (wanted.size_bytes, wanted.size_bytes)
    return pulled


RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), min_size=1, max_size=6)


@given(content=st.binary(min_size=60, max_size=60), ranges=RANGES)
def test_every_file_of_a_pack_is_pulled_right_even_if_files_overlap(
    tmp_path_factory, content: bytes, ranges: list[list[int]]
) -> None:
    folder = tmp_path_factory.mktemp("pull")
    files = [wanted_file(f"f{n}", content, start, stop) for n, (start, stop) in enumerate(ranges)]

    async def run() -> Pulled:
        store = CountingStore(folder / "store")
        return await pull(store, await pack(store, content), files, folder / "out")

    pulled = asyncio.run(run())
    assert (pulled.fetched, pulled.problems) == (len(files), [])
    for n, (start, stop) in enumerate(ranges):
        assert (folder / "out" / "job" / f"f{n}").read_bytes() == content[start:stop]


async def test_a_pack_is_fetched_once_and_only_for_missing_files(tmp_path: Path) -> None:
    content = bytes(range(100))
    files = [wanted_file(f"f{n}", content, 10 * n, 10 * n + 10) for n in range(10)]
    store = CountingStore(tmp_path / "store")
    stored = await pack(store, content)
    first = await pull(store, stored, files, tmp_path / "out")
    assert (first.fetched, first.kept, store.asked) == (10, 0, 1)
    second = await pull(store, stored, files, tmp_path / "out")
    assert (second.fetched, second.kept, store.asked) == (0, 10, 1)
    (tmp_path / "out/job/f3").unlink()
    third = await pull(store, stored, files, tmp_path / "out")
    assert (third.fetched, third.kept, store.asked) == (1, 9, 2)
    assert (tmp_path / "out/job/f3").read_bytes() == content[30:40]


async def test_a_damaged_object_is_reported_and_the_other_files_are_pulled(tmp_path: Path) -> None:
    content = b"0123456789"
    store = FileStore(tmp_path / "store")
    stored = await pack(store, content)
    lie = wanted_file("lie", b"9876543210", 0, 10)
    pulled = await pull_despite(store, stored, [wanted_file("right", content, 0, 5), lie], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/job").iterdir()] == ["right"]
    assert len(pulled.problems) == 1
    assert "job/lie" in pulled.problems[0]


async def pull_despite(
    store: FileStore, stored: StoredObject, files: list[WantedFile], folder: Path
) -> Pulled:
    """Pull although some files can't be fetched, so that the progress does not reach its total."""
    wanted = Listing(files=[(stored, file) for file in files])
    return await fetch(store, wanted, folder)


async def test_large_and_small_files_have_the_mode_and_the_time_that_the_job_left(tmp_path: Path) -> None:
    small, large = b"index", b"\x07" * RESUMED_FROM_BYTES
    store = FileStore(tmp_path / "store")
    listing = Listing()
    for number, content in enumerate((large, small)):
        stored = await pack(store, content)
        digest = hashlib.sha256(content).hexdigest()
        left = StoredContent(len(content), digest, mode=0o440 + number, mtime_ns=10**18 + number)
        listing.files.append((stored, WantedFile((b"job", b"%d" % number), left)))
    assert (await fetch(store, listing, tmp_path / "out")).problems == []
    for number in range(2):
        status = (tmp_path / "out" / "job" / f"{number}").stat()
        assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o440 + number, 10**18 + number)


async def test_progress_counts_the_bytes_of_a_large_file_as_they_come(tmp_path: Path) -> None:
    store = CountingStore(tmp_path / "store")
    content = bytes(RESUMED_FROM_BYTES)
    wanted = Listing(files=[(await pack(store, content), wanted_file("big", content, 0, len(content)))])
    told: list[int] = []
    await fetch(store, wanted, tmp_path / "out", lambda done, total: told.append(done))
    assert told == sorted(told)
    assert told[-1] == len(content)
    assert max(after - before for before, after in zip([0, *told], told, strict=False)) <= 1 << 20
