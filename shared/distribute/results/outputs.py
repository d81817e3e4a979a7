"""Upload what a job left to the results bucket, and list it in a manifest.

Small files share objects (packs); a large file has its own. Files are read as streams, whatever their
size. The captured output is always in the manifest, as `stdout.txt`. A file of that name in the job's own
results is archived as `distribute_save/stdout.txt` or, if the job has a `distribute_save` there, too, as
`distribute_save-2/stdout.txt`, and so on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

from distribute.core.files.manifest import (
    INLINE_ENTRIES,
    STDOUT_NAME,
    Manifest,
    Outputs,
    Outside,
    StoredFile,
    StoredFolder,
    StoredLink,
    StoredObject,
)
from distribute.core.files.manifest_text import ManifestText
from distribute.core.files.path_text import shown
from distribute.core.os_words import why
from distribute.ports import ArtifactStore
from distribute.results.leavings import (
    Found,
    LeftOut,
    Source,
    look_through,
    source,
    unlock,
)

SMALL_BYTES = 1 << 20
"""A file of at least this size has an object of its own."""

PACK_BYTES = 8 << 20
"""Max. bytes of a pack."""

PACK_FILES = 8192
"""Max. files of a pack."""

_PIECE_BYTES = 1 << 20
_AT_ONCE_BYTES = 64 << 10
"""Reading up to this size takes less time than a switch to a thread."""

_AHEAD = 1000
"""Max. files that are listed ahead of sending."""

_EMPTY_SHA256 = hashlib.sha256().hexdigest()


@cache
def nothing() -> Outputs:
    """The outputs of a job that left no file and printed nothing: one object for all of them."""
    printed = StoredFile(path=STDOUT_NAME, size_bytes=0, sha256=_EMPTY_SHA256)
    return Outputs(inline=Manifest(entries=(printed,)), files=1)


async def collect(
    save: Path,
    stdout: Path,
    store: ArtifactStore,
    name_prefix: str,
    node: str,
    seen_as: Sequence[str] = (),
    outside: Outside | None = None,
) -> Outputs:
    """Upload the files in `save`, and the captured output, as objects `<name_prefix>/<n>` of `node`.

    `seen_as` are the absolute paths under which the job saw `save`: its links may have them. The manifest's
    `left_out` names what can't be archived (sockets, links that lead out, files that change meanwhile), with
    the reason; `outside` is passed on. Call this when the job's processes are gone. If there is nothing to
    upload or to tell, it returns `nothing()` within 10 µs.

    Raises:
        DistributeError: the store gave up.
    """
    found, printed = None, _printed(STDOUT_NAME, stdout)
    if not _is_empty(save):
        found = _look_through(save, stdout.parent, [os.fsencode(path) for path in seen_as])
    elif not printed.size_bytes and outside is None:
        return nothing()
    outputs = await _send(printed, found, store, name_prefix, node)
    return outputs.model_copy(update={"outside": outside})


async def collect_pulled(folder: Path, store: ArtifactStore, name_prefix: str, node: str) -> Outputs:
    """As `collect`, of a folder as `pull` writes it: its `stdout.txt` is what the job printed."""
    found = look_through(os.fsencode(os.path.realpath(folder)), is_pulled=True)
    return await _send(None, found, store, name_prefix, node)


async def collect_build(
    stdout: Path, name: str, store: ArtifactStore, name_prefix: str, node: str
) -> Outputs:
    """Upload the output of a build, as the file `name`. Raises as `collect`."""
    return await _send(_printed(name, stdout), None, store, name_prefix, node)


async def _send(
    printed: Source | None,
    found: Iterator[Found] | None,
    store: ArtifactStore,
    name_prefix: str,
    node: str,
) -> Outputs:
    sender = _Sender(store, name_prefix, node)
    if printed is not None:
        await sender.take(printed)
    # A thread lists files, a limited number ahead of those that are sent.
    while found and (some := await asyncio.to_thread(lambda: list(islice(found, _AHEAD)))):
        for one in some:
            await sender.take(one)
    return await sender.outputs()


def _look_through(save: Path, slot: Path, seen_as: Sequence[bytes]) -> Iterator[Found]:
    """List what lies in `save`. If the job made that a link, it must lead into the job's own slot."""
    folder = os.path.realpath(save)
    if folder.startswith(f"{os.path.realpath(slot.parent)}/{slot.name}/"):
        return look_through(os.fsencode(folder), seen_as)
    return iter([LeftOut(os.fsencode(save.name), f"a link that leads out, to {folder!r}")])


def _is_empty(save: Path) -> bool:
    try:
        return not any(save.iterdir())
    except OSError:
        return False  # the job removed it or its permissions: `look_through` reports or mends that


def _printed(name: str, stdout: Path) -> Source:
    """The captured output as a file to send. A job that could not be started has none."""
    path = os.fsencode(stdout)
    return source(name.encode(), path, stdout.stat()) if stdout.exists() else Source(name.encode(), path, 0)


class _LeftOutError(Exception):
    """A file can't be archived. The message says why."""


class _Sender:
    """Sends files as objects, and writes the manifest meanwhile. Holds at most one pack in memory."""

    def __init__(self, store: ArtifactStore, name_prefix: str, node: str) -> None:
        self._store = store
        self._prefix = name_prefix
        self._node = node
        self._manifest = ManifestText()
        self._pack: list[Source] = []
        self._pack_bytes = 0
        self._sent = 0
        self._files = 0
        self._size_bytes = 0

    async def take(self, found: Found) -> None:
        """Send a file, now or with the next pack. Enter anything else in the manifest."""
        match found:
            case LeftOut():
                self._manifest.left_out.add(found.line)
            case StoredLink() | StoredFolder():
                self._manifest.entries.add(found)
            case Source(size_bytes=0):
                self._add(found, 0, _EMPTY_SHA256, None)
            case Source(size_bytes=size) if size >= SMALL_BYTES:
                await self._send_alone(found)
            case Source(size_bytes=size):
                if self._pack_bytes + size > PACK_BYTES or len(self._pack) == PACK_FILES:
                    await self._send_pack()
                self._pack.append(found)
                self._pack_bytes += size

    async def outputs(self) -> Outputs:
        """Return the manifest, inline or, if it is long, as one more object. Call this last."""
        if self._pack:
            await self._send_pack()
        manifest, stored = self._manifest, None
        if len(manifest.entries) + len(manifest.left_out) > INLINE_ENTRIES:
            stored = await self._put(_each(manifest.pieces()))
        return Outputs(
            inline=manifest.manifest() if stored is None else None,
            stored=stored,
            objects=len(manifest.objects),
            files=self._files,
            size_bytes=self._size_bytes,
            left_out=len(manifest.left_out) or None,
        )

    async def _put(self, source: AsyncIterator[bytes]) -> StoredObject:
        number = self._sent
        self._sent += 1
        return await self._store.put_result(f"{self._prefix}/{number}", self._node, source)

    async def _send_alone(self, file: Source) -> None:
        try:
            stored = await self._put(_read_large(file))
        except _LeftOutError as why:
            self._manifest.left_out.add(LeftOut(file.name, str(why)).line)
        else:
            self._add(file, 0, stored.sha256, len(self._manifest.objects))
            self._manifest.objects.add(stored)

    async def _send_pack(self) -> None:
        pack = _Pack(self._pack)
        self._pack, self._pack_bytes = [], 0
        stored = await self._put(pack.pieces())
        for file, offset, sha256 in pack.read:
            self._add(file, offset, sha256, len(self._manifest.objects))
        for line in pack.left_out:
            self._manifest.left_out.add(line)
        self._manifest.objects.add(stored)

    def _add(self, file: Source, offset: int, sha256: str, number: int | None) -> None:
        path, raw = shown(file.name)
        entry = StoredFile(
            path=path,
            raw_path=raw,
            size_bytes=file.size_bytes,
            sha256=sha256,
            executable=bool(file.mode and file.mode & stat.S_IXUSR),
            mode=file.mode,
            mtime_ns=file.mtime_ns,
            object=number,
            offset=offset,
        )
        self._manifest.entries.add(entry)
        self._files += 1
        self._size_bytes += file.size_bytes


class _Pack:
    """Several small files as one stream of bytes. `read` has each file with its offset and digest."""

    def __init__(self, files: list[Source]) -> None:
        self._todo = iter(files)
        self._at_once = sum(file.size_bytes for file in files) <= _AT_ONCE_BYTES
        self._end = 0
        self.read: list[tuple[Source, int, str]] = []
        self.left_out: list[str] = []

    async def pieces(self) -> AsyncIterator[bytes]:
        while piece := self._next() if self._at_once else await asyncio.to_thread(self._next):
            yield piece

    def _next(self) -> bytes:
        """The bytes of the next files, together about `_PIECE_BYTES`; empty after the last."""
        parts: list[bytes] = []
        size = 0
        for file in self._todo:
            try:
                content = _read_small(file)
            except _LeftOutError as why:
                self.left_out.append(LeftOut(file.name, str(why)).line)
                continue
            self.read.append((file, self._end, hashlib.sha256(content).hexdigest()))
            self._end += len(content)
            parts.append(content)
            size += len(content)
            if size >= _PIECE_BYTES:
                break
        return b"".join(parts)


def _read_small(file: Source) -> bytes:
    with _opened(file) as fd:
        content = os.read(fd, file.size_bytes + 1)
        _check_unchanged(file, fd, len(content))
    return content


async def _read_large(file: Source) -> AsyncIterator[bytes]:
    with _opened(file) as fd:
        size = 0
        while size <= file.size_bytes and (piece := await asyncio.to_thread(os.read, fd, _PIECE_BYTES)):
            size += len(piece)
            yield piece
        _check_unchanged(file, fd, size)


async def _each(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@contextlib.contextmanager
def _opened(file: Source) -> Iterator[int]:
    """Open a file for reading. Translates OSErrors in the block to `_LeftOutError`."""
    try:
        fd = _open(file.path)
        try:
            yield fd
        finally:
            os.close(fd)
    except OSError as error:
        raise _LeftOutError(f"can't be read: {why(error)}") from error


def _open(path: bytes) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # the job may have replaced it by a link or a pipe
    try:
        return os.open(path, flags)
    except PermissionError:
        unlock(path)
        return os.open(path, flags)


def _check_unchanged(file: Source, fd: int, read_bytes: int) -> None:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or not read_bytes == status.st_size == file.size_bytes:
        raise _LeftOutError("changed while it was read")
