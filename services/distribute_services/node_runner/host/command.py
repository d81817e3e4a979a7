"""A command in a job that runs: a process of the job's unit, and the pipes that it prints to."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distribute_services.node_runner.host.keeping import Keeping, Message

_WRITABLE = 0o622
"""A command of another user may open its outputs anew, as /dev/stderr. Others can't get there."""
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def pipes(folder: Path, number: str) -> Iterator[tuple[tuple[Path, Path], tuple[int, int]]]:
    """Two named pipes for a command's outputs, and the descriptors to read from them.

    Their names are gone at the end of the block. If it raises, they are closed, too.
    """
    paths = folder / f"{number}.out", folder / f"{number}.err"
    readers: list[int] = []
    try:
        for path in paths:
            os.mkfifo(path)
            path.chmod(_WRITABLE)
            readers.append(os.open(path, _READ))
        yield paths, (readers[0], readers[1])
    except BaseException:
        for reader in readers:
            os.close(reader)
        raise
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


class RunningCommand:
    """As `distribute.host.Command`."""

    def __init__(
        self,
        keeping: Keeping,
        unit: str,
        number: str,
        readers: tuple[int, int],
        ended: asyncio.Future[Message],
    ) -> None:
        self._keeping = keeping
        self._unit = unit
        self._number = number
        self._readers = readers
        self._open = set(readers)
        """Those that have not come to their end."""
        self._ended = ended

    async def printed(self, room: int) -> tuple[bytes, bytes]:
        """As `Command.printed`."""
        while True:
            is_over = self._ended.done()
            out = self._read(self._readers[0], room)
            errors = self._read(self._readers[1], room - len(out))
            if out or errors or is_over:
                return out, errors
            await self._readable()

    def _read(self, reader: int, room: int) -> bytes:
        if reader not in self._open or room <= 0:
            return b""
        try:
            data = os.read(reader, room)
        except BlockingIOError:
            return b""
        if not data:
            self._open.discard(reader)
        return data

    async def _readable(self) -> None:
        """Wait until a pipe has something or is at its end, or the command has ended."""
        loop = asyncio.get_running_loop()
        news: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not news.done():
                news.set_result(None)

        for reader in self._open:
            loop.add_reader(reader, tell)
        try:
            events: set[asyncio.Future[Any]] = {news, self._ended}
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for reader in self._open:
                loop.remove_reader(reader)

    async def ended(self) -> tuple[int | None, int | None]:
        """As `Command.ended`."""
        ended = await asyncio.shield(self._ended)
        return ended["exit_code"], ended["signal"]

    def signal(self, number: int) -> None:
        """As `Command.signal`."""
        self._keeping.signal_command(self._unit, self._number, number)

    def close(self) -> None:
        """As `Command.close`."""
        for reader in self._readers:
            os.close(reader)
        self._open.clear()
        self._keeping.forget_command(self._unit, self._number)
