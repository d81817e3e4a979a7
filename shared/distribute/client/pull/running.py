"""Fetch the files of jobs that run, as they are now.

They are no results: the note says so, and a later pull replaces them by what the jobs left in the end. Of a
file that its job only adds to comes what there was when its fetch began.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.pull.listing import StoredContent, WantedFile
from distribute.client.pull.local_batch import PARTS_NAME
from distribute.client.pull.new_file import NEW, Content, part_name
from distribute.client.pull.target_folder import Found, Kind, Parts, TargetFolder, shown
from distribute.core.errors import InputError, IntegrityError
from distribute.core.os_words import message_of
from distribute.core.spec.visits import CHUNK_BYTES, MAX_PIECES, Got, Piece

if TYPE_CHECKING:
    from distribute.client.pull.fetching import Pulled
    from distribute.client.pull.local_batch import LocalBatch
    from distribute.client.pull.settling import Settling

TRIES = 3
"""How often a file is fetched that is replaced or cut meanwhile."""

_SMALL_BYTES = 64 << 10
_ZEROS = bytes(1 << 20)

Read = Callable[[Sequence[Piece]], Awaitable[list[tuple[Got, memoryview]]]]
"""Reads parts of files from the node: the first of them, at least one."""


class RunningFile(NamedTuple):
    """A file of a job that runs, and where it goes. `path` is its path at the node."""

    parts: Parts
    path: str
    size_bytes: int
    mtime_ns: int
    mode: int
    inode: int


@dataclass(slots=True)
class Fetched:
    """What became of the files of jobs that run."""

    changed: list[Parts] = field(default_factory=list)
    """What was written to while it was fetched: parts of it may be older than others."""
    gone: list[Parts] = field(default_factory=list)
    """What the job has removed meanwhile."""


class RunningFetch:
    """Fetches the files of one job."""

    def __init__(
        self,
        local: LocalBatch,
        settling: Settling,
        pulled: Pulled,
        fetched: Fetched,
        on_bytes: Callable[[int], None],
    ) -> None:
        """`on_bytes` is told how many more bytes are done."""
        self._local = local
        self._settling = settling
        self._pulled = pulled
        self._fetched = fetched
        self._on_bytes = on_bytes
        self._parts_in = (*local.base, PARTS_NAME)

    async def fetch(self, files: Iterable[RunningFile], read: Read) -> None:
        """Fetch files: small ones together, a large one in pieces."""
        some: list[RunningFile] = []
        for file in files:
            if self._is_here(file):
                self._pulled.kept += 1
                self._on_bytes(file.size_bytes)
            elif file.size_bytes > _SMALL_BYTES:
                await self._fetch_one(file, read)
            else:
                some.append(file)
                size_bytes = sum(one.size_bytes for one in some)
                if len(some) == MAX_PIECES or size_bytes > CHUNK_BYTES - _SMALL_BYTES:
                    await self._fetch_small(some, read)
                    some = []
        await self._fetch_small(some, read)

    def _is_here(self, file: RunningFile) -> bool:
        """Was it fetched before, and has not changed since? Then its size and time are the same."""
        if self._local.target.size_at(file.parts) != file.size_bytes:
            return False
        found = self._local.target.look(file.parts)
        if found is None or found.kind is not Kind.FILE or found.stamp[4] != file.mtime_ns:
            return False
        return self._local.is_ours(file.parts, found)

    async def _fetch_small(self, files: list[RunningFile], read: Read) -> None:
        if not files:
            return
        pieces = [Piece(path=file.path, offset=0, until=file.size_bytes, inode=file.inode) for file in files]
        answers = await read(pieces)
        again = files[len(answers) :]
        with ExitStack() as parts:
            whole: list[tuple[RunningFile, _Part, Got]] = []
            for file, (got, data) in zip(files, answers, strict=False):
                if got.problem or got.is_other or got.is_hole or got.length != got.size_bytes:
                    again.append(file)
                    continue
                with self._named(file):
                    part = parts.enter_context(_Part(self._local.target, self._parts_in, file))
                    part.add(got, data)
                    part.close()
                    self._on_bytes(got.length)
                    whole.append((file, part, got))
            await self._put(whole)
        for file in again:
            await self._fetch_one(file, read)

    async def _fetch_one(self, file: RunningFile, read: Read) -> None:
        """Fetch a file in pieces. If it is replaced or cut meanwhile, begin again."""
        inode = file.inode
        with self._named(file):
            for _ in range(TRIES):
                with _Part(self._local.target, self._parts_in, file) as part:
                    got = await self._read_whole(file, part, inode, read)
                    if got.problem:
                        raise IntegrityError(got.problem)
                    if got.is_other and not inode and part.begun is None:
                        self._fetched.gone.append(file.parts)
                        return
                    if not got.is_other and part.size_bytes in {part.until, got.size_bytes}:
                        await self._put([(file, part, got)])
                        return
                    inode = 0
            raise IntegrityError("it is replaced or cut faster than it can be fetched; pull again")

    async def _read_whole(self, file: RunningFile, part: _Part, inode: int, read: Read) -> Got:
        """Read a file as it was listed or, if it has changed since, as it is now.

        Returns what the node said last of it.
        """
        piece = Piece(path=file.path, offset=0, until=file.size_bytes, inode=inode)
        while True:
            [(got, data), *_] = await read([piece])
            if got.is_other or got.problem:
                return got
            if got.length > piece.until - piece.offset:
                raise IntegrityError("its node answers with more than it was asked for")
            if part.begun is None:
                part.begun = got
                part.until = file.size_bytes if got.mtime_ns == file.mtime_ns else got.size_bytes
            part.add(got, data)
            self._on_bytes(got.length)
            if part.size_bytes >= part.until or not got.length:
                return got
            names = {"inode": got.inode, "born_ns": got.born_ns}
            piece = Piece(path=file.path, offset=part.size_bytes, until=part.until, **names)

    async def _put(self, whole: list[tuple[RunningFile, _Part, Got]]) -> None:
        """Give files their places, but where a person's are there."""
        placed: list[tuple[RunningFile, _Part, Parts, StoredContent]] = []
        for file, part, got in whole:
            begun = part.begun or got
            if got.mtime_ns != begun.mtime_ns and got.size_bytes <= begun.size_bytes:
                self._fetched.changed.append(file.parts)
            mode = file.mode & 0o777
            content = StoredContent(part.size_bytes, part.digest, bool(mode & 0o100), mode, got.mtime_ns)
            with self._named(file):
                settled = await self._settling.file(WantedFile(file.parts, content))
                if settled is not None and settled.found is None:
                    placed.append((file, part, settled.place, content))
                elif settled is not None:
                    self._pulled.kept += 1
        self._settling.record()
        for file, part, place, content in placed:
            with self._named(file):
                part.put(place, content, self._settling.over.get(place))
                self._pulled.fetched += 1
                self._pulled.size_bytes += part.size_bytes

    @contextmanager
    def _named(self, file: RunningFile) -> Iterator[None]:
        """Turn an error about one file into a problem that names it."""
        try:
            yield
        except (InputError, IntegrityError, OSError) as error:
            name, why = shown(file.parts), message_of(error)
            self._pulled.problems.append(why if name in why else f"{name}: {why}")


class _Part:
    """A file that is not complete yet, in the folder for such."""

    def __init__(self, target: TargetFolder, parts_in: Parts, file: RunningFile) -> None:
        self.size_bytes = 0
        self.until = 0
        """Where the file ends, as far as it is fetched."""
        self.begun: Got | None = None
        self._target = target
        self._parts_in = parts_in
        self._file = file
        self._name = part_name()
        self._digest = hashlib.sha256()
        self._descriptor: int | None = None

    def __enter__(self) -> _Part:
        with self._target.opened(self._parts_in) as folder, self._target.translated(self._file.parts):
            self._descriptor = os.open(self._name, NEW, 0o666, dir_fd=folder)
        return self

    def close(self) -> None:
        """Close the file: nothing more is added."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __exit__(self, *_: object) -> None:
        self.close()
        with suppress(FileNotFoundError), self._target.opened(self._parts_in, make=False) as folder:
            os.unlink(self._name, dir_fd=folder)

    def add(self, got: Got, data: memoryview) -> None:
        """Add what came. A hole stays one."""
        assert self._descriptor is not None, "it is open while something comes"
        with self._target.translated(self._file.parts):
            if got.is_hole:
                for at in range(0, got.length, len(_ZEROS)):
                    self._digest.update(memoryview(_ZEROS)[: min(len(_ZEROS), got.length - at)])
                self.size_bytes += got.length
                os.ftruncate(self._descriptor, self.size_bytes)
                return
            self._digest.update(data)
            while data:
                written = os.pwrite(self._descriptor, data, self.size_bytes)
                self.size_bytes += written
                data = data[written:]

    @property
    def digest(self) -> str:
        """The SHA-256 of what came."""
        return self._digest.hexdigest()

    def put(self, place: Parts, content: Content, over: Found | None) -> None:
        """Give it its place, with the mode and the time of `content`."""
        with (
            self._target.large_file(place, content, over) as path,
            self._target.opened(self._parts_in) as folder,
        ):
            os.rename(self._name, path, src_dir_fd=folder)
