"""`ports.ArtifactStore` in a folder, for one process. Every digest is checked.

<folder>/inputs/<sha256>      an input
<folder>/results/<nuid>       a result, committed or not
<folder>/snapshots/<name>     a snapshot
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from distribute.core.errors import IntegrityError, Refused, StorageFull
from distribute.core.files.manifest import StoredObject, job_of
from distribute.core.ids import BatchId
from distribute.core.os_words import why
from distribute.inputs.sources import Source, as_source
from distribute.ports import OnDone, StoredInput, tell_nobody

PIECE_BYTES = 1 << 20

_CAN_NOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}


class FileStore:
    """A store in `folder`.

    With `links`, whoever gets a file gets a hard link to the store's where the file system has these: it
    must not change it.
    """

    def __init__(self, folder: Path, *, links: bool = False) -> None:
        self._inputs = folder / "inputs"
        self._results = folder / "results"
        self._snapshots = folder / "snapshots"
        for each in (self._inputs, self._results, self._snapshots):
            each.mkdir(parents=True, exist_ok=True)
        self._links = links
        self._nuids = (f"{number:022d}" for number in itertools.count(1))
        self._names: dict[str, str] = {}
        """The name of each result, by its nuid."""

    async def put_input(self, content: Path | Source, sha256: str, on_done: OnDone = tell_nobody) -> None:
        """As `ports.ArtifactStore.put_input`."""
        target = self._inputs / sha256
        if target.exists():
            # The time of last access alone: whoever has a link to it looks at the other one.
            os.utime(target, ns=(time.time_ns(), target.stat().st_mtime_ns))
        else:
            await _copy_checked(as_source(content), target, sha256, on_done)

    async def get_input(self, sha256: str, path: Path) -> None:
        """As `ports.ArtifactStore.get_input`."""
        source = self._inputs / sha256
        if not source.exists():
            raise IntegrityError(f"input {sha256} is not in the store")
        if not (self._links and _linked(source, path)):
            await _copy_checked(as_source(source), path, sha256, tell_nobody)

    async def inputs_unused_for(self, unused_s: float) -> AsyncGenerator[StoredInput, None]:
        """As `ports.ArtifactStore.inputs_unused_for`."""
        before = time.time() - unused_s
        for path in sorted(self._inputs.iterdir()):
            found = path.stat()
            if found.st_atime < before:
                yield StoredInput(path.name, found.st_size, found.st_atime_ns)

    async def remove_input(self, unused: StoredInput) -> bool:
        """As `ports.ArtifactStore.remove_input`."""
        path = self._inputs / unused.sha256
        if not path.exists() or path.stat().st_atime_ns != unused.revision:
            return False
        path.unlink()
        return True

    async def remove_unnamed_inputs(self, unused_s: float) -> int:
        """As `ports.ArtifactStore.remove_unnamed_inputs`. Here a broken upload leaves nothing."""
        return 0

    async def put_result(self, name: str, node: str, source: AsyncIterator[bytes]) -> StoredObject:
        """As `ports.ArtifactStore.put_result`."""
        nuid = next(self._nuids)
        path = self._results / nuid
        digest = hashlib.sha256()
        size = 0
        try:
            with _told_if_full(name), path.open("wb") as file:
                async for piece in source:
                    digest.update(piece)
                    size += await asyncio.to_thread(file.write, piece)
        except BaseException:  # no part of it takes room
            path.unlink(missing_ok=True)
            raise
        self._names[nuid] = name
        return StoredObject(name=name, nuid=nuid, size_bytes=size, chunks=1, sha256=digest.hexdigest())

    async def has_result(self, stored: StoredObject) -> bool:
        """As `ports.ArtifactStore.has_result`."""
        return self._size_of(stored) == stored.size_bytes

    async def commit_result(self, stored: StoredObject) -> None:
        """As `ports.ArtifactStore.commit_result`."""
        if (found := self._size_of(stored)) != stored.size_bytes:
            raise IntegrityError(
                f"result {stored.name}: {stored.size_bytes} bytes were announced, {found} are in the store"
            )

    async def get_result(self, stored: StoredObject) -> AsyncGenerator[bytes, None]:
        """As `ports.ArtifactStore.get_result`."""
        digest = hashlib.sha256()
        if self._size_of(stored) is not None:
            with self._path(stored).open("rb") as file:
                while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                    digest.update(piece)
                    yield piece
        if digest.hexdigest() != stored.sha256:
            raise IntegrityError(f"result {stored.name} is missing or damaged in the store")

    async def fetch_result(self, stored: StoredObject, path: Path, on_done: OnDone = tell_nobody) -> None:
        """As `ports.ArtifactStore.fetch_result`."""
        unfinished = path.with_name(f"{path.name}.part")
        unfinished.unlink(missing_ok=True)
        done = 0
        try:
            linked = self._links and await self.has_result(stored) and _linked(self._path(stored), unfinished)
            with _told_if_full(stored.name), unfinished.open("rb" if linked else "wb") as file:
                async for piece in self.get_result(stored):
                    done += len(piece) if linked else await asyncio.to_thread(file.write, piece)
                    on_done(done)
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)

    async def delete_results(self, batch: BatchId, before: float, but: Container[str] = ()) -> None:
        """As `ports.ArtifactStore.delete_results`."""
        for nuid, name in list(self._names.items()):
            path = self._results / nuid
            if not name.startswith(f"{batch}/") or job_of(name) in but:
                continue
            if path.stat().st_mtime < before:
                path.unlink()
                del self._names[nuid]

    async def put_snapshot(self, name: str, data: bytes) -> None:
        """As `ports.ArtifactStore.put_snapshot`."""
        unfinished = self._snapshots / f"{name}.part"
        with _told_if_full(name):
            unfinished.write_bytes(data)
        unfinished.rename(self._snapshots / name)

    async def replace_snapshot(self, name: str, old: bytes | None, new: bytes) -> None:
        """As `ports.ArtifactStore.replace_snapshot`."""
        if await self.get_snapshot(name) != old:
            raise Refused(f"snapshot {name}: another process has replaced it, and its own stands")
        await self.put_snapshot(name, new)

    async def get_snapshot(self, name: str) -> bytes | None:
        """As `ports.ArtifactStore.get_snapshot`."""
        path = self._snapshots / name
        return path.read_bytes() if path.exists() else None

    def _path(self, stored: StoredObject) -> Path:
        return self._results / stored.nuid

    def _size_of(self, stored: StoredObject) -> int | None:
        """How many bytes the store has of a result. None: it does not have it."""
        if self._names.get(stored.nuid) != stored.name:
            return None
        try:
            return self._path(stored).stat().st_size
        except FileNotFoundError:
            return None


@contextmanager
def _told_if_full(name: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(f"{name}: there is no room for it: {why(error)}") from error
        raise


def _linked(source: Path, path: Path) -> bool:
    """Make `path` a hard link to `source`. Returns False if the file system can't."""
    try:
        os.link(source, path)
    except OSError as error:
        if error.errno in _CAN_NOT_LINK:
            return False
        raise
    return True


async def _copy_checked(source: Source, target: Path, sha256: str, on_done: OnDone) -> None:
    """Copy a file; the copy gets its name only if its digest is right."""
    unfinished = target.with_name(f"{target.name}.part")
    digest = hashlib.sha256()
    done = 0
    try:
        pieces = source.pieces(PIECE_BYTES)
        with _told_if_full(target), unfinished.open("wb") as copy:
            while piece := await asyncio.to_thread(next, pieces, b""):
                digest.update(piece)
                done += await asyncio.to_thread(copy.write, piece)
                on_done(done)
        if digest.hexdigest() != sha256:
            raise IntegrityError(f"{source.label}: its content has changed since it was listed")
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)
