"""People who look into the jobs of a modelled computer: `distribute.host.Visits`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from distribute.core.spec.recipe import SAVE
from distribute.core.spec.visits import CHUNK_BYTES, Entry, FilesFound, Got, Piece
from distribute.host import Unit
from distribute.sim.computer import Process

PROGRESS = f"{SAVE}/progress"
"""The only file of a modelled job: the lines that it has printed."""

COMMAND_WITHIN_S = 30.0


class ModelledVisits:
    """A modelled job has one file. A command in it prints its own arguments, and ends after a while."""

    async def list_files(self, running: Process, folder: str | None) -> FilesFound:
        """As `Visits.list_files`."""
        content = b"".join(running.place.printed)
        entry = Entry("file", PROGRESS, len(content), 0, 0o644, 1)
        return FilesFound(
            results=SAVE,
            entries=(entry,),
            printed_bytes=len(content),
            paused=running.frozen_at is not None,
        )

    async def read_files(
        self, running: Process, pieces: Sequence[Piece]
    ) -> tuple[Sequence[Got], Sequence[bytes]]:
        """As `Visits.read_files`."""
        content = b"".join(running.place.printed)
        data = [content[piece.offset : min(piece.until, piece.offset + CHUNK_BYTES)] for piece in pieces]
        return [Got(length=len(some), size_bytes=len(content)) for some in data], data

    async def start_command(self, unit: Unit, running: Process, argv: Sequence[str]) -> ModelledCommand:
        """As `Visits.start_command`."""
        return ModelledCommand(running, argv)


class ModelledCommand:
    """As `distribute.host.Command`."""

    def __init__(self, process: Process, argv: Sequence[str]) -> None:
        self._process = process
        self._unprinted = " ".join(argv).encode() + b"\n"
        loop = process.host.runner.loop
        self._ended: asyncio.Future[tuple[int | None, int | None]] = loop.create_future()
        process.ended.add_done_callback(lambda _: self._end(None, 15))
        loop.after(loop.random.uniform(0, COMMAND_WITHIN_S), lambda: self._end(0, None))

    async def printed(self, room: int) -> tuple[bytes, bytes]:
        """As `Command.printed`."""
        if not self._unprinted:
            await asyncio.shield(self._ended)
        some, self._unprinted = self._unprinted[:room], self._unprinted[room:]
        return some, b""

    async def ended(self) -> tuple[int | None, int | None]:
        """As `Command.ended`."""
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> None:
        """As `Command.signal`."""
        self._end(None, number)

    def close(self) -> None:
        """As `Command.close`."""

    def _end(self, code: int | None, signal: int | None) -> None:
        if not self._ended.done():
            self._ended.set_result((code, signal))
