"""`ports.ArtifactStore` in a folder. Every byte is written to disk, and every digest is checked.

<folder>/inputs/<sha256>                                  an input
<folder>/results/<namespace>/<batch>/…/<nuid>/<number>    a chunk of a result
<folder>/results/<namespace>/<batch>/…/committed          the nuid of the committed one
<folder>/snapshots/<name>                                 a snapshot
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from distribute.core.errors import IntegrityError, StorageFull
from distribute.core.ids import BatchId
from distribute.core.manifest import StoredObject
from distribute.core.os_words import why
from distribute.ports import OnDone, tell_nobody

CHUNK_BYTES = 128 << 10

_NUID = re.compile(r"\d{22}")


class FileStore:
    """A store in `folder`, for one process."""

    def __init__(self, folder: Path) -> None:
        self._inputs = folder / "inputs"
        self._results = folder / "results"
        self._snapshots = folder / "snapshots"
        self._inputs.mkdir(parents=True, exist_ok=True)
        self._results.mkdir(exist_ok=True)
        self._snapshots.mkdir(exist_ok=True)
        known = sum(1 for path in self._results.rglob("*") if _NUID.fullmatch(path.name))
        self._nuids = (f"{number:022d}" for number in itertools.count(known + 1))

    async def put_input(self, path: Path, sha256: str, on_done: OnDone = tell_nobody) -> None:
        target = self._inputs / sha256
        if target.exists():
            return
        _copy_checked(path, target, sha256)
        on_done(target.stat().st_size)

    async def get_input(self, sha256: str, path: Path) -> None:
        source = self._inputs / sha256
        if not source.exists():
            raise IntegrityError(f"input {sha256} is not in the store")
        _copy_checked(source, path, sha256)

    async def put_result(self, name: str, node: str, source: AsyncIterator[bytes]) -> StoredObject:
        nuid = next(self._nuids)
        folder = self._named(name) / nuid
        folder.mkdir(parents=True)
        digest = hashlib.sha256()
        size = chunks = 0
        async for piece in source:
            digest.update(piece)
            size += len(piece)
            for start in range(0, len(piece), CHUNK_BYTES):
                (folder / str(chunks)).write_bytes(piece[start : start + CHUNK_BYTES])
                chunks += 1
        return StoredObject(name=name, nuid=nuid, size_bytes=size, chunks=chunks, sha256=digest.hexdigest())

    async def has_result(self, stored: StoredObject) -> bool:
        return len(self._chunks(stored)) == stored.chunks

    async def commit_result(self, stored: StoredObject) -> None:
        sizes = [chunk.stat().st_size for chunk in self._chunks(stored)]
        if (len(sizes), sum(sizes)) != (stored.chunks, stored.size_bytes):
            raise IntegrityError(
                f"result {stored.name}: {stored.chunks} chunks of {stored.size_bytes} bytes were announced,"
                f" {len(sizes)} of {sum(sizes)} are in the store"
            )
        (self._named(stored.name) / "committed").write_text(stored.nuid)

    async def get_result(self, stored: StoredObject) -> AsyncGenerator[bytes, None]:
        digest = hashlib.sha256()
        for chunk in self._chunks(stored):
            content = chunk.read_bytes()
            digest.update(content)
            yield content
        if digest.hexdigest() != stored.sha256:
            raise IntegrityError(f"result {stored.name} is missing or damaged in the store")

    async def fetch_result(self, stored: StoredObject, path: Path, on_done: OnDone = tell_nobody) -> None:
        unfinished = path.with_name(f"{path.name}.part")
        try:
            with unfinished.open("wb") as content:
                async for piece in self.get_result(stored):
                    content.write(piece)
                    on_done(content.tell())
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)

    async def delete_results(self, batch: BatchId, before: float) -> None:
        for stored in list(self._named(str(batch)).rglob("*")):
            if _NUID.fullmatch(stored.name) and stored.stat().st_mtime < before:
                shutil.rmtree(stored)

    async def put_snapshot(self, name: str, data: bytes) -> None:
        unfinished = self._snapshots / f"{name}.part"
        unfinished.write_bytes(data)
        unfinished.rename(self._snapshots / name)

    async def get_snapshot(self, name: str) -> bytes | None:
        path = self._snapshots / name
        return path.read_bytes() if path.exists() else None

    def _named(self, name: str) -> Path:
        # The name of a build's result has an empty part, which a folder's name can't be.
        return self._results.joinpath(*(f"_{part}" for part in name.split("/")))

    def _chunks(self, stored: StoredObject) -> list[Path]:
        folder = self._named(stored.name) / stored.nuid
        return sorted(folder.glob("*"), key=lambda chunk: int(chunk.name))


def _copy_checked(source: Path, target: Path, sha256: str) -> None:
    """Copy a file; the copy gets its name only if its digest is right."""
    unfinished = target.with_name(f"{target.name}.part")
    try:
        with source.open("rb") as content, unfinished.open("wb") as copy:
            shutil.copyfileobj(content, copy)
        with unfinished.open("rb") as copied:
            found = hashlib.file_digest(copied, "sha256").hexdigest()
        if found != sha256:
            raise IntegrityError(f"{source}: its digest is {found}, not {sha256}")
        unfinished.rename(target)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(f"{target}: no room for an input: {why(error)}") from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)
