"""All that a job left is archived under its name; the manifest lists what can't be archived."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distribute.core.errors import StorageFull
from distribute.core.files.manifest import (
    INLINE_ENTRIES,
    StoredFile,
    StoredObject,
)
from distribute.memory.store import FileStore
from distribute.results.outputs import collect_build, nothing
from integration.node_runner.left_kit import Left, paths

from .costs import cpu_s_of

MIB = 1 << 20


async def test_a_job_that_left_nothing_sends_nothing(left: Left) -> None:
    assert await left.collect() is nothing()
    assert paths(await left.manifest()) == {"stdout.txt"}
    assert await cpu_s_of(left.collect) < 0.3e-3  # twenty times what we measured


async def test_a_missing_output_file_is_no_error(left: Left) -> None:
    left.stdout.unlink()
    assert await left.collect() is nothing()


async def test_output_without_results_is_archived(left: Left) -> None:
    left.stdout.write_text("hello\n")
    manifest = await left.manifest()
    assert paths(manifest) == {"stdout.txt"}
    assert [stored.name for stored in manifest.objects] == ["lab/sweep/job/1/0"]


async def test_small_files_share_an_object_and_large_ones_have_their_own(left: Left) -> None:
    for number in range(40):
        (left.save / f"small{number}").write_bytes(os.urandom(300_000 + number))
    (left.save / "large").write_bytes(os.urandom(3 * MIB + 7))
    (left.save / "empty").touch()
    (left.save / "program").write_text("#!/bin/sh\n")
    (left.save / "program").chmod(0o755)
    manifest = await left.manifest()
    assert [stored.size_bytes for stored in manifest.objects if stored.size_bytes > 8 * MIB] == []
    assert len(manifest.objects) == 3
    assert {entry.path for entry in manifest.entries if getattr(entry, "executable", False)} == {"program"}
    assert paths(manifest) >= {"large", "empty", "small39", "stdout.txt"}


async def test_files_that_a_job_locked_are_read(left: Left) -> None:
    (left.save / "closed").mkdir()
    (left.save / "closed" / "file").write_text("content")
    (left.save / "closed" / "file").chmod(0)
    (left.save / "closed").chmod(0)
    manifest = (await left.collect()).inline
    assert manifest is not None
    assert paths(manifest) == {"closed/file", "stdout.txt"}


async def test_modes_and_times_are_archived(left: Left) -> None:
    """An index that is newer than its data stays newer."""
    (left.save / "x.bam").write_bytes(os.urandom(2 * MIB))
    (left.save / "x.bam.bai").write_text("i")
    (left.save / "empty").touch()
    modes = {"x.bam": 0o660, "x.bam.bai": 0o444, "empty": 0o611}
    for number, (name, mode) in enumerate(modes.items()):
        (left.save / name).chmod(mode)
        os.utime(left.save / name, ns=(0, 978_307_200_123_456_789 + number))
    files = {entry.path: entry for entry in (await left.manifest()).entries if isinstance(entry, StoredFile)}
    assert {name: files[name].mode for name in modes} == modes
    assert [files[name].mtime_ns for name in modes] == [978_307_200_123_456_789 + n for n in range(3)]
    assert files["stdout.txt"].mtime_ns == left.stdout.stat().st_mtime_ns


async def test_long_manifests_are_stored(left: Left) -> None:
    for number in range(INLINE_ENTRIES + 1):
        (left.save / f"{number}").write_text(f"{number}")
    outputs = await left.collect()
    assert outputs.inline is None
    assert len((await left.manifest()).entries) == INLINE_ENTRIES + 2


class Meddler(FileStore):
    """Changes the job's files while they are sent."""

    victim: Path

    async def put_result(self, name: str, node: str, source: AsyncIterator[bytes]) -> StoredObject:
        async def meddled() -> AsyncIterator[bytes]:
            async for piece in source:
                with self.victim.open("ab") as file:
                    file.write(b"more")
                yield piece

        return await super().put_result(name, node, meddled())


async def test_a_file_that_changes_meanwhile_is_left_out(tmp_path: Path) -> None:
    store = Meddler(tmp_path / "store")
    left = Left(tmp_path, store)
    (left.save / "large").write_bytes(os.urandom(3 * MIB))
    (left.save / "small").write_text("small")
    store.victim = left.save / "large"
    manifest = await left.manifest()
    assert paths(manifest) == {"small", "stdout.txt"}
    assert manifest.left_out == ("large: changed while it was read",)


async def test_many_tiny_files_are_cheap(left: Left, tmp_path: Path) -> None:
    """The bound is twenty times what we measured. It catches quadratic cost, which delays the heartbeats."""
    (tmp_path / "tiny").write_text("tiny")
    for number in range(20_000):
        (left.save / f"{number}").hardlink_to(tmp_path / "tiny")
    begun = time.process_time()
    assert (await left.collect()).files == 20_001
    assert time.process_time() - begun < 15


async def test_a_full_store_is_reported(left: Left) -> None:
    class Full(FileStore):
        async def put_result(self, name: str, node: str, source: AsyncIterator[bytes]) -> StoredObject:
            raise StorageFull("the broker has no room")

    left.store = Full(left.store._inputs.parent)
    left.stdout.write_text("printed")
    with pytest.raises(StorageFull):
        await left.collect()


async def test_memory_is_bounded(left: Left) -> None:
    with left.stdout.open("wb") as stdout:
        for _ in range(200):
            stdout.write(b"x" * MIB)
    tracemalloc.start()
    try:
        outputs = await left.collect()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outputs.size_bytes == 200 * MIB
    assert peak < 16 * MIB


async def test_many_files_take_little_memory(left: Left, tmp_path: Path) -> None:
    (tmp_path / "tiny").write_text("tiny")
    for number in range(40_000):
        (left.save / f"{number}").hardlink_to(tmp_path / "tiny")
    tracemalloc.start()
    try:
        outputs = await left.collect()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outputs.files == 40_001
    assert peak < 20 * MIB  # we measured 6, and 72 with one object per entry


async def test_a_builds_output_is_archived(left: Left) -> None:
    left.stdout.write_text("gcc: no input files\n")
    name = "sweep_build_output-ws07.txt"
    outputs = await collect_build(left.stdout, name, left.store, "lab/sweep//ws07", "ws07")
    assert outputs.inline is not None
    assert paths(outputs.inline) == {name}
    assert outputs.inline.objects[0].name == "lab/sweep//ws07/0"
