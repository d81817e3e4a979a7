"""Save a log, or a part of it, in a file."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import zlib
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

from distribute.core.errors import InputError, Refused
from distribute.core.os_words import why
from distribute.ports import BEGINNING, EventLog, OnDone, Only, Place, Raw, tell_nobody
from distribute.saved.lines import GZIP_HEADER, Chain, Header, Last, event_body, last_member

_COMPRESSED_AT_ONCE = 1 << 20
"""Bytes of lines that are compressed together, in a thread."""

_LEVEL = 3
"""Measured: half the time of zlib's default, and a tenth more bytes."""


async def save(
    log: EventLog,
    path: Path,
    header: Header,
    *,
    only: Only = Only(),  # noqa: B008 - it is frozen
    replace: bool = False,
    on_done: OnDone = tell_nobody,
) -> Last:
    """Write the events that are in the log by now to a new file, which is there only once it is whole.

    `on_done` is told the sequence that is reached, again and again.

    Raises:
        Refused: the file is there already, and is not to be replaced.
        InputError: the file can't be written.
    """
    if not path.name:
        raise InputError(f"{path}: is a folder; name a file in it")
    if os.path.lexists(path):
        if path.exists() and not path.is_file():
            raise Refused(f"{path} is there already, and is no plain file: name another one")
        if not replace:
            raise Refused(f"{path} is there already: name another file, or replace it with --force")
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            writer = _Writer(file, header)
            until = await log.last_seq()
            if until:
                async with aclosing(log.follow_raw(after=0, until=until, only=only)) as reading:
                    async for raws in reading:
                        await writer.add(raws)
                        on_done(raws[-1].seq)
            last = await writer.finish()
            await asyncio.to_thread(os.fsync, file.fileno())
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: can't be written: {why(error)}") from error
    finally:
        if os.path.lexists(part):
            part.unlink()
    return last


class _Writer:
    """Writes the lines of a saved log to an open file."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._chain = Chain()
        self._deflater = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
        self._crc = self._length = self._events = 0
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = [self._chain.seal(header.body())]
        self._waiting_bytes = len(self._waiting[0])
        self._end: Place = BEGINNING
        self._write(GZIP_HEADER)

    async def add(self, raws: Sequence[Raw]) -> None:
        """Write the lines of these events."""
        for raw in raws:
            line = self._chain.seal(event_body(raw))
            self._waiting.append(line)
            self._waiting_bytes += len(line)
        self._events += len(raws)
        self._end = Place(raws[-1].seq, raws[-1].time)
        if self._waiting_bytes >= _COMPRESSED_AT_ONCE:
            await self._compress()

    async def finish(self) -> Last:
        """Write what waits, and the last line."""
        await self._compress()
        self._write(self._deflater.flush())
        self._write(self._crc.to_bytes(4, "little") + (self._length % (1 << 32)).to_bytes(4, "little"))
        last = Last(self._events, self._end.seq, self._end.time or 0.0, self._digest.hexdigest())
        self._file.write(last_member(self._chain.seal(last.body())))
        self._file.flush()
        return last

    async def _compress(self) -> None:
        """Compress and write the lines that wait, while the event loop goes on."""
        text = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        await asyncio.to_thread(self._write_text, text)

    def _write_text(self, text: bytes) -> None:
        self._crc = zlib.crc32(text, self._crc)
        self._length += len(text)
        self._write(self._deflater.compress(text))

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)
