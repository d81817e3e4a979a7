"""A cache of inputs on this computer's disk, by digest. A file that many batches share is fetched once.

A file lies at `<folder>/<first two digits>/<sha256>`. The cache keeps no other record, so it survives a
restart: the time of last access is the time of last use. Only one process uses a folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from distribute.core.errors import IntegrityError, StorageFull
from distribute.ports import ArtifactStore
from distribute_services.node_runner.disk.limit import Limit

log = logging.getLogger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class _Entry:
    """`checked` has size and times of the file when this process last checked its digest; None: never."""

    size_bytes: int
    used_at: float
    checked: tuple[int, int, int] | None = None


class InputCache:
    """A bounded folder of inputs, filled from a store on demand."""

    def __init__(self, folder: Path, store: ArtifactStore, limit: Limit | None = None) -> None:
        self._folder = folder
        self._store = store
        self._limit = limit or Limit()
        self._limit.covers(self)
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # the one used last is the last
        self.size_bytes = 0
        self._leases: Counter[str] = Counter()
        self._fetches: dict[str, asyncio.Task[Path]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    async def get(self, sha256: str, size_bytes: int) -> Path:
        """The path of the file with this digest. Fetches the file if it is missing. Do not write to it.

        The cache may evict the file later, unless it is leased. It checks the digest again if an earlier run
        left the file, or its size or times have changed. Concurrent callers share one fetch.

        Raises:
            IntegrityError: the store's content is missing or damaged.
            StorageFull: this computer's disk has no room for it.
        """
        path = self._path(sha256)
        if self._is_trusted(sha256, path, size_bytes):
            self._touch(sha256, path)
            return path
        fetch = self._fetches.get(sha256)
        if fetch is None:
            fetch = asyncio.create_task(
                self._fetch(sha256, size_bytes, path), name=f"fetch input {sha256[:12]}"
            )
            self._fetches[sha256] = fetch
            fetch.add_done_callback(lambda done: self._fetched(sha256, done))
        return await asyncio.shield(fetch)  # a cancelled caller must not cancel the fetch of the others

    @contextlib.asynccontextmanager
    async def lease(self, wanted: Mapping[str, int]) -> AsyncIterator[dict[str, Path]]:
        """Get the paths of files by digest. None is evicted while the context lasts. See `get`.

        `wanted` are their sizes in bytes.
        """
        self._leases.update(wanted.keys())
        try:
            yield {sha256: await self.get(sha256, size) for sha256, size in wanted.items()}
        finally:
            self._let_go(wanted)

    @contextlib.contextmanager
    def hold(self, sha256: str) -> Iterator[Path]:
        """The path of a file that is in use since an earlier run. It is not evicted while this lasts."""
        self._leases[sha256] += 1
        try:
            yield self._path(sha256)
        finally:
            self._let_go([sha256])

    def _let_go(self, files: Iterable[str]) -> None:
        for sha256 in files:
            self._leases[sha256] -= 1
            if not self._leases[sha256]:
                del self._leases[sha256]
        self._limit.make_room()

    def _path(self, sha256: str) -> Path:
        if not _DIGEST.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is no SHA-256 digest")
        return self._folder / sha256[:2] / sha256

    def _load(self) -> None:
        """Take over the files of an earlier run, in order of last use. Remove incomplete ones."""
        found = []
        for path in self._folder.glob("*/*"):
            if _DIGEST.fullmatch(path.name) and path.parent.name == path.name[:2]:
                stat = path.stat()
                found.append((stat.st_atime, path.name, stat.st_size))
            else:
                path.unlink()
        for used_at, sha256, size_bytes in sorted(found):
            self._take_up(sha256, _Entry(size_bytes, used_at))
        self._limit.make_room()

    def _take_up(self, sha256: str, entry: _Entry) -> None:
        before = self._entries.pop(sha256, None)
        self._entries[sha256] = entry
        self.size_bytes += entry.size_bytes - (before.size_bytes if before is not None else 0)

    def _is_trusted(self, sha256: str, path: Path, size_bytes: int) -> bool:
        entry = self._entries.get(sha256)
        if entry is None or entry.checked is None or entry.size_bytes != size_bytes:
            return False
        return entry.checked == _looks(path)

    def _touch(self, sha256: str, path: Path) -> None:
        self._entries.move_to_end(sha256)
        now_ns = time.time_ns()
        self._entries[sha256].used_at = now_ns / 1e9
        os.utime(path, ns=(now_ns, path.stat().st_mtime_ns))

    async def _fetch(self, sha256: str, size_bytes: int, path: Path) -> Path:
        if sha256 in self._entries and not await asyncio.to_thread(_is_whole, path, sha256):
            log.warning("the cached input %s is gone or damaged: fetching it again", path)
            self._remove(sha256)
        if sha256 not in self._entries:
            self._limit.make_room(size_bytes)
            await self._fetch_from_store(sha256, path)
        found_bytes = self._enter(sha256, path)
        if found_bytes != size_bytes:
            raise IntegrityError(f"input {sha256}: it has {found_bytes} bytes, its batch says {size_bytes}")
        return path

    async def _fetch_from_store(self, sha256: str, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        try:
            await self._store.get_input(sha256, path)
        except StorageFull:
            if not self._limit.empty():
                raise
            log.warning("the disk is full: emptied the cache %s to make room", self._folder)
            await self._store.get_input(sha256, path)

    def _enter(self, sha256: str, path: Path) -> int:
        """Enter a file whose digest is right. Returns its size in bytes."""
        path.chmod(0o444)
        size_bytes = path.stat().st_size
        self._take_up(sha256, _Entry(size_bytes, time.time(), _looks(path)))
        return size_bytes

    def _fetched(self, sha256: str, done: asyncio.Task[Path]) -> None:
        del self._fetches[sha256]
        if not done.cancelled() and done.exception() is not None:
            log.debug("input %s could not be fetched", sha256, exc_info=done.exception())

    def oldest_use(self) -> float | None:
        """As `Shelf.oldest_use`."""
        oldest = self._oldest()
        return None if oldest is None else self._entries[oldest].used_at

    def remove_oldest(self) -> None:
        """As `Shelf.remove_oldest`."""
        oldest = self._oldest()
        if oldest is not None:
            self._remove(oldest)

    def _oldest(self) -> str | None:
        return next((sha256 for sha256 in self._entries if not self._leases[sha256]), None)

    def _remove(self, sha256: str) -> None:
        self._path(sha256).unlink(missing_ok=True)
        self.size_bytes -= self._entries.pop(sha256).size_bytes


def _looks(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False
