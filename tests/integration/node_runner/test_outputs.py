"""All that a job left is archived under its name; the manifest lists what can't be archived."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import subprocess
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distribute.core.errors import StorageFull
from distribute.core.manifest import (
    INLINE_ENTRIES,
    Manifest,
    Outputs,
    StoredFile,
    StoredFolder,
    StoredLink,
    StoredObject,
    entry_bytes,
)
from distribute.testing.file_store import FileStore
from distribute_services.node_runner.results.outputs import NOTHING, collect, collect_build

MIB = 1 << 20


class Left:
    """A job's folder, and the outputs collected from it."""

    def __init__(self, folder: Path, store: FileStore) -> None:
        self.save = folder / "save"
        self.save.mkdir()
        self.stdout = folder / "stdout"
        self.stdout.touch()
        self.store = store

    async def collect(self) -> Outputs:
        return await collect(self.save, self.stdout, self.store, "lab/sweep/job/1", "ws07")

    async def manifest(self) -> Manifest:
        """Collect, and return the manifest after comparing every stored file with its original."""
        outputs = await self.collect()
        manifest = outputs.inline
        if manifest is None:
            assert outputs.stored is not None
            manifest = Manifest.model_validate_json(await self._bytes_of(outputs.stored))
        files = [entry for entry in manifest.entries if isinstance(entry, StoredFile)]
        assert (outputs.objects, outputs.files) == (len(manifest.objects), len(files))
        assert outputs.size_bytes == sum(file.size_bytes for file in files)
        objects = [await self._bytes_of(stored) for stored in manifest.objects]
        for file in files:
            content = b""
            if file.object is not None:
                content = objects[file.object][file.offset : file.offset + file.size_bytes]
            assert len(content) == file.size_bytes
            assert hashlib.sha256(content).hexdigest() == file.sha256
            assert content == self._original(file).read_bytes()
        return manifest

    async def _bytes_of(self, stored: StoredObject) -> bytes:
        await self.store.commit_result(stored)
        return b"".join([chunk async for chunk in self.store.get_result(stored)])

    def _original(self, file: StoredFile) -> Path:
        if file.path == "stdout.txt":
            return self.stdout
        if file.path == "distribute_save/stdout.txt":
            return self.save / "stdout.txt"
        return Path(os.fsdecode(os.path.join(os.fsencode(self.save), entry_bytes(file))))  # noqa: PTH118


@pytest.fixture
def left(tmp_path: Path, store: FileStore) -> Left:
    return Left(tmp_path, store)


def paths(manifest: Manifest) -> set[str]:
    return {entry.path for entry in manifest.entries}


async def test_a_job_that_left_nothing_sends_nothing(left: Left) -> None:
    assert await left.collect() is NOTHING
    assert paths(await left.manifest()) == {"stdout.txt"}
    begun, count = time.process_time(), 300
    for _ in range(count):
        await left.collect()
    assert (time.process_time() - begun) / count < 0.3e-3  # twenty times what we measured


async def test_a_missing_output_file_is_no_error(left: Left) -> None:
    left.stdout.unlink()
    assert await left.collect() is NOTHING


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


async def test_folders_and_links_are_archived(left: Left) -> None:
    (left.save / "plots" / "re100").mkdir(parents=True)
    (left.save / "plots" / "u.png").write_text("u")
    (left.save / "empty" / "deeper").mkdir(parents=True)
    (left.save / "latest").symlink_to("plots")
    (left.save / "plots" / "up").symlink_to("../plots/u.png")
    (left.save / "dangling").symlink_to("not there")
    manifest = await left.manifest()
    assert {entry.path for entry in manifest.entries if isinstance(entry, StoredFolder)} == {
        "plots/re100",
        "empty/deeper",
    }
    links = {entry.path: entry.target for entry in manifest.entries if isinstance(entry, StoredLink)}
    assert links == {"latest": "plots", "plots/up": "../plots/u.png", "dangling": "not there"}
    assert manifest.left_out == ()


async def test_what_can_not_be_archived_is_named(left: Left) -> None:
    (left.save / "home").symlink_to("/home")
    (left.save / "up").symlink_to("../stdout")
    (left.save / "sub").mkdir()
    (left.save / "sub" / "root").symlink_to("..")
    (left.save / "out by another").symlink_to("sub/root/../stdout")
    os.mkfifo(left.save / "fifo")
    os.symlink(b"\xff", os.fsencode(left.save / "link"))  # noqa: PTH211 (bytes)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(left.save / "socket"))
        manifest = await left.manifest()
    assert manifest.left_out == (
        "fifo: a pipe, not a file",
        "home: a link that leads out, to '/home'",
        "link: a link to '\\\\xff', a name that is no valid UTF-8",
        "out by another: a link that leads out, to 'sub/root/../stdout'",
        "socket: a socket, not a file",
        "up: a link that leads out, to '../stdout'",
    )
    assert paths(manifest) == {"sub/root", "stdout.txt"}


async def test_odd_file_names_are_kept(left: Left) -> None:
    names = [
        b"new\nline",
        b"sp ace",
        b"-rf",
        b"quote'\"",
        "grün".encode(),
        b"\xff\xfe latin",
        b"\\xff\\xfe latin",
    ]
    for name in [*names, b"folder \xe9", b"folder \xe9/inner"]:
        path = os.path.join(os.fsencode(left.save), name)  # noqa: PTH118 (bytes)
        if name == b"folder \xe9":
            os.mkdir(path)  # noqa: PTH102
        else:
            Path(os.fsdecode(path)).write_bytes(b"of " + name)
    manifest = await left.manifest()
    files = [entry for entry in manifest.entries if isinstance(entry, StoredFile)]
    assert {entry_bytes(file) for file in files} == {*names, b"folder \xe9/inner", b"stdout.txt"}
    raw = {file.path: file.raw_path for file in files if file.raw_path is not None}
    assert raw == {
        "\\xff\\xfe latin": base64.b64encode(b"\xff\xfe latin").decode(),
        "folder \\xe9/inner": base64.b64encode(b"folder \xe9/inner").decode(),
    }


async def test_a_jobs_own_stdout_txt_is_left_out_and_named(left: Left) -> None:
    left.stdout.write_text("captured")
    (left.save / "stdout.txt").write_text("the job's own")
    assert paths(await left.manifest()) == {"stdout.txt", "distribute_save/stdout.txt"}
    (left.save / "distribute_save").mkdir()
    manifest = await left.manifest()
    assert paths(manifest) == {"stdout.txt", "distribute_save"}
    assert manifest.left_out == ("stdout.txt: the captured output has this name; use another one",)


async def test_files_that_a_job_locked_are_read(left: Left) -> None:
    (left.save / "closed").mkdir()
    (left.save / "closed" / "file").write_text("content")
    (left.save / "closed" / "file").chmod(0)
    (left.save / "closed").chmod(0)
    manifest = (await left.collect()).inline
    assert manifest is not None
    assert paths(manifest) == {"closed/file", "stdout.txt"}


async def test_long_manifests_are_stored(left: Left) -> None:
    for number in range(INLINE_ENTRIES + 1):
        (left.save / f"{number}").write_text(f"{number}")
    outputs = await left.collect()
    assert outputs.inline is None
    assert len((await left.manifest()).entries) == INLINE_ENTRIES + 2


def make_deep_folders(folder: Path) -> None:
    deep = "import os\nfor _ in range(30):\n    os.mkdir('d' * 200); os.chdir('d' * 200)\n"
    subprocess.run(["python3", "-c", deep], cwd=folder, check=True)


async def test_paths_too_long_are_named(left: Left) -> None:
    make_deep_folders(left.save)
    (left.save / "file").write_text("content")
    manifest = await left.manifest()
    assert "file" in paths(manifest)
    assert [line.split(": ", 1)[1] for line in manifest.left_out] == [
        "this folder can't be read: File name too long"
    ]


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


async def test_a_results_folder_that_is_a_link_inside_the_job_is_followed(left: Left) -> None:
    """A job may replace its results folder by a link to another folder of its own."""
    (left.save.parent / "run7").mkdir()
    (left.save.parent / "run7" / "result").write_text("42")
    left.save.rmdir()
    left.save.symlink_to("run7")
    assert paths(await left.manifest()) == {"result", "stdout.txt"}


@pytest.mark.parametrize("target", ["/usr/share", "../..", "."])
async def test_a_link_out_of_the_jobs_folder_is_not_followed(left: Left, target: str) -> None:
    left.save.rmdir()
    left.save.symlink_to(target)
    manifest = await left.manifest()
    assert paths(manifest) == {"stdout.txt"}
    assert "save: a link that leads out, to " in manifest.left_out[0]


async def test_many_tiny_files_are_cheap(left: Left, tmp_path: Path) -> None:
    """The bound is five times what we measured. It catches quadratic cost, which delays the heartbeats."""
    (tmp_path / "tiny").write_text("tiny")
    for number in range(20_000):
        (left.save / f"{number}").hardlink_to(tmp_path / "tiny")
    begun = time.process_time()
    assert (await left.collect()).files == 20_001
    assert time.process_time() - begun < 4


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
