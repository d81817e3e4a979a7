"""Saved logs for tests: of the events of a log in memory, whole or altered."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from distribute.codec import encode
from distribute.core.log.events import Event
from distribute.memory.log import MemoryLog
from distribute.ports import Only, Raw
from distribute.saved.lines import TAIL_BYTES, Chain, Header, find_last, last_member
from distribute.saved.log import SavedCluster, SavedLog
from distribute.saved.reading import SavedFile
from distribute.saved.writing import save
from distribute.testing import builders as make

HEADER = Header(cluster="nats://head:4222", saved_at="2026-01-01T00:00:00.000Z", version="0.1.0")

STORY: tuple[Event, ...] = (
    make.joined("ws1"), make.joined("größe"), make.submitted(make.batch(2)), make.assigned(node="ws1"),
    make.claimed(), make.started(), make.finished(), make.job_archived(), make.assigned("job2"),
    make.submitted(make.batch(batch="other")), make.build_finished("ws1"), make.left("größe"),
)  # fmt: skip


def memory_log(events: Iterable[Event]) -> MemoryLog:
    """A log that stores one event each second."""
    seconds = count(1)
    log = MemoryLog(clock=lambda: make.EPOCH.timestamp() + next(seconds))
    for event in events:
        log.stored.store(encode(event), log._clock())
    return log


def saved(path: Path, events: Iterable[Event] = STORY) -> Path:
    """A saved log of these events."""
    asyncio.run(save(memory_log(events), path, HEADER, replace=True))
    return path


def saved_raws(path: Path, raws: list[Raw]) -> Path:
    """A saved log of whatever a forger may put in one, with the digests that it must have."""
    asyncio.run(save(_Forged(raws), path, HEADER, replace=True))
    return path


class CountedCluster(SavedCluster):
    """A saved log that counts how often it is read: each time, the whole file is."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._counted = _CountedFile(path)
        self.log = SavedLog(self._counted)

    @property
    def reads(self) -> int:
        """How often its events were read."""
        return self._counted.reads


class _CountedFile(SavedFile):
    reads = 0

    def events(self) -> Iterator[list[Raw]]:
        self.reads += 1
        return super().events()


class _Forged(MemoryLog):
    """A log that only a forger has."""

    def __init__(self, raws: list[Raw]) -> None:
        super().__init__()
        self._raws = raws

    async def last_seq(self) -> int:
        return len(self._raws)

    async def follow_raw(
        self,
        *,
        after: int,
        until: int,
        only: Only = Only(),  # noqa: B008 - it is frozen
    ) -> AsyncGenerator[Sequence[Raw], None]:
        yield self._raws


def lines_of(path: Path) -> list[bytes]:
    """The lines of a saved log, with their ends."""
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def write_lines(path: Path, lines: list[bytes]) -> None:
    """Write a file that is compressed in good order, with these lines. Only the chain tells what is wrong."""
    deflater = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    text = b"".join(lines[:-1])
    body = deflater.compress(text) + deflater.flush()
    ending = zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")
    header = path.read_bytes()[:10]
    path.write_bytes(header + body + ending + last_member(lines[-1]))


def chained(lines: Iterable[bytes]) -> list[bytes]:
    """The same lines, with the digests that they must have, as a forger would make them."""
    chain = Chain()
    return [chain.seal(line[: -TAIL_BYTES - 1]) for line in lines]


def last_line(path: Path) -> bytes:
    """The last line of a saved log."""
    return find_last(path.read_bytes())
