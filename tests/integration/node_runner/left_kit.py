"""A job's folder of results, and what is archived of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from distribute.core.files.manifest import (
    Manifest,
    Outputs,
    StoredFile,
    StoredLink,
    StoredObject,
    entry_bytes,
)
from distribute.memory.store import FileStore
from distribute.results.outputs import collect


class Left:
    """A job's folder, and the outputs collected from it."""

    def __init__(self, folder: Path, store: FileStore) -> None:
        self.save = folder / "save"
        self.save.mkdir()
        self.stdout = folder / "stdout"
        self.stdout.touch()
        self.store = store

    async def collect(self, seen_as: Sequence[str] = ()) -> Outputs:
        return await collect(self.save, self.stdout, self.store, "lab/sweep/job/1", "ws07", seen_as)

    async def manifest(self, seen_as: Sequence[str] = ()) -> Manifest:
        """Collect, and return the manifest after comparing every stored file with its original."""
        outputs = await self.collect(seen_as)
        manifest = outputs.inline
        if manifest is None:
            assert outputs.stored is not None
            manifest = Manifest.model_validate_json(await self._bytes_of(outputs.stored))
        files = [entry for entry in manifest.entries if isinstance(entry, StoredFile)]
        assert (outputs.objects, outputs.files) == (len(manifest.objects), len(files))
        assert outputs.left_out == (len(manifest.left_out) or None)
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
        for aside in ("distribute_save", "distribute_save-2"):
            if file.path.startswith(f"{aside}/stdout.txt"):
                return self.save / file.path.removeprefix(f"{aside}/")
        return Path(os.fsdecode(os.path.join(os.fsencode(self.save), entry_bytes(file))))  # noqa: PTH118


def paths(manifest: Manifest) -> set[str]:
    return {entry.path for entry in manifest.entries}


def links(manifest: Manifest) -> dict[str, str]:
    return {entry.path: entry.target for entry in manifest.entries if isinstance(entry, StoredLink)}
