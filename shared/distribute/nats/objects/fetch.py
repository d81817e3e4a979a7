"""Download an object to a file. A large download that was interrupted is resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from distribute.core.errors import IntegrityError
from distribute.nats.objects.bucket import Bucket
from distribute.nats.objects.chunk_reader import Chunk, ChunkReader
from distribute.nats.objects.part_file import KEEP_FROM_BYTES, PartFile
from distribute.ports import OnDone, tell_nobody

_WRITE_INLINE_BYTES = 32 << 10
"""Up to this size, writing and hashing take less time than a switch to a thread."""

P = ParamSpec("P")
T = TypeVar("T")


class Wanted(NamedTuple):
    """An object to be fetched: its bucket, its label in errors, and its number of chunks, size and digest."""

    bucket: Bucket
    label: str
    nuid: str
    chunks: int
    sha256: str


async def fetch(reader: ChunkReader, wanted: Wanted, path: Path, on_done: OnDone = tell_nobody) -> None:
    """Write the object to `path`, which gets its name once the digest is right.

    `on_done` hears how many bytes are there, with those of an earlier try.

    Raises:
        IntegrityError: chunks are missing, or the bytes are not those of the digest.
        StorageFull: this computer's disk is full.
        OSError: the file can't be written for another reason.
    """
    with PartFile(path, wanted.sha256) as part:
        resumed = await _resume(reader, wanted, part, on_done)
        if resumed and not part.is_right():
            # The part that an earlier try left was damaged.
            await in_thread(part.keep, 0)
            resumed = False
        if not resumed:
            await _append(reader, wanted, part, 1, wanted.chunks, on_done)
        if not part.is_right():
            raise IntegrityError(f"{wanted.label}: the bytes stored do not have the digest {wanted.sha256}")
        await in_thread(part.finish)


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `asyncio.to_thread`, but after a cancellation still wait for the thread, which uses open files."""
    future = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


async def _append(
    reader: ChunkReader, wanted: Wanted, part: PartFile, first_seq: int, count: int, on_done: OnDone
) -> None:
    on_done(part.size_bytes)
    reading = reader.read(wanted.bucket, wanted.nuid, wanted.chunks, first_seq=first_seq, count=count)
    async with aclosing(reading) as arrivals:
        async for chunks in arrivals:
            pieces = [chunk.data for chunk in chunks]
            if sum(map(len, pieces)) <= _WRITE_INLINE_BYTES:
                part.write(pieces)
            else:
                await in_thread(part.write, pieces)
            on_done(part.size_bytes)


async def _resume(reader: ChunkReader, wanted: Wanted, part: PartFile, on_done: OnDone) -> bool:
    """Resume the part file of an earlier try if it is large enough. Otherwise empty it and return False."""
    found_bytes = part.found_bytes()
    if found_bytes >= KEEP_FROM_BYTES and wanted.chunks > 1:
        finder = _Finder(reader, wanted)
        chunk_bytes = len((await finder.chunk_from(1))[1].data)
        done = min(found_bytes // chunk_bytes, wanted.chunks - 1)
        first_seq = await finder.seq_of(done)
        if first_seq is not None:
            await in_thread(part.keep, done * chunk_bytes)
            await _append(reader, wanted, part, first_seq, wanted.chunks - done, on_done)
            return True
    if found_bytes:
        await in_thread(part.keep, 0)
    return False


class _Finder:
    """Finds a chunk's sequence by its index.

    An object's chunks lie mostly, but not always, directly behind each other, so we interpolate and search.
    """

    def __init__(self, reader: ChunkReader, wanted: Wanted) -> None:
        self._reader = reader
        self._wanted = wanted

    async def chunk_from(self, seq: int) -> tuple[int, Chunk]:
        """The first chunk at or after a sequence, and its index."""
        wanted = self._wanted
        reading = self._reader.read(wanted.bucket, wanted.nuid, wanted.chunks, first_seq=seq, count=1)
        async with aclosing(reading) as arrivals:
            [chunk] = await anext(arrivals)
        return wanted.chunks - 1 - chunk.following, chunk

    async def seq_of(self, index: int) -> int | None:
        """The sequence of the chunk at `index`; None if a lagging replica misled the search."""
        low_index, first = await self.chunk_from(1)
        low_seq = first.seq
        high_index, high_seq = self._wanted.chunks - 1, await self._wanted.bucket.last_seq(self._wanted.nuid)
        step = 0
        while low_index < index and low_seq < high_seq:
            spread = (high_seq - low_seq) * (index - low_index) // max(1, high_index - low_index)
            # Every other step halves the range, so that the search is short for every layout.
            step += 1
            guess = low_seq + max(1, spread if step % 2 else (high_seq - low_seq + 1) // 2)
            found_index, found = await self.chunk_from(guess)
            if found_index <= index:
                low_index, low_seq = found_index, found.seq
            else:
                high_index, high_seq = found_index, guess - 1
        return low_seq if low_index == index else None
