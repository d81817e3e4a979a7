"""Bringing files here: what is there already stays, the rest comes in parallel, each object once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.core.errors import IntegrityError
from distribute.core.manifest import StoredFile, StoredObject
from distribute_cli.object_stream import ObjectStream
from distribute_cli.output import Bar, Document
from distribute_cli.safe_files import TargetFolder, shown
from distribute_cli.wanted import Wanted, WantedFile

if TYPE_CHECKING:
    from distribute.ports import ArtifactStore

PARALLEL_OBJECTS = 8

RESUMED_FROM_BYTES = 8 << 20
"""Files of this size that are cut off are gone on with; smaller ones begin again."""


@dataclass(slots=True)
class Pulled:
    """How a pull went: files brought, files that were there already, and what could not be had."""

    fetched: int = 0
    kept: int = 0
    size_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    def document(self, where: Path) -> Document:
        return {
            "folder": str(where),
            "fetched": self.fetched,
            "kept": self.kept,
            "size_bytes": self.size_bytes,
            "problems": self.problems,
        }


async def fetch(store: ArtifactStore, wanted: Wanted, folder: Path, bar: Bar) -> Pulled:
    """Bring what is wanted below `folder`. What is there with the right digest stays.

    Raises:
        StorageFull: there is no room in the folder.
        InputError: something in the folder is in the way.
    """
    run = _Run(store, TargetFolder(folder), bar, wanted.size_bytes)
    for parts in wanted.folders:
        run.target.make_folder(parts)
    missing = await run.find_missing(wanted)
    await run.fetch(missing)
    for parts, link_target in wanted.links:  # last, so that nothing is written through them
        run.target.make_link(parts, link_target)
    return run.pulled


Missing = dict[StoredObject, list[WantedFile]]


class _Run:
    """One pull, under way."""

    def __init__(self, store: ArtifactStore, target: TargetFolder, bar: Bar, total_bytes: int) -> None:
        self.target = target
        self.pulled = Pulled()
        self._store = store
        self._bar = bar
        self._total_bytes = total_bytes
        self._done_bytes = 0

    async def find_missing(self, wanted: Wanted) -> Missing:
        """The files that are not there yet, by the object that holds them. Empty ones are made at once."""
        missing: Missing = {}
        for stored, file in wanted.files:
            if await asyncio.to_thread(self.target.holds, file.parts, file.file):
                self.pulled.kept += 1
                self._advance(file.file.size_bytes)
            elif stored is not None:
                missing.setdefault(stored, []).append(file)
            else:
                with self.target.new_file(file.parts, file.file):
                    pass
                self._count(file)
        return missing

    async def fetch(self, missing: Missing) -> None:
        """Fetch objects, several at a time, each once."""
        queue = iter(missing.items())
        workers = [self._work(queue) for _ in range(min(PARALLEL_OBJECTS, len(missing)))]
        await asyncio.gather(*workers)

    async def _work(self, queue: Iterator[tuple[StoredObject, list[WantedFile]]]) -> None:
        for stored, files in queue:
            try:
                if len(files) == 1 and _is_whole(stored, files[0].file):
                    await self._download(stored, files[0])
                else:
                    for lane in _lanes(files):
                        await self._unpack(stored, lane)
            except IntegrityError as error:
                self.pulled.problems.append(f"{shown(files[0].parts)}: {error}")

    async def _download(self, stored: StoredObject, file: WantedFile) -> None:
        """Fetch a large file, from where an earlier pull was cut off."""
        with self.target.place(file.parts) as path:
            await self._store.fetch_result(stored, path)
        if file.file.executable:
            await asyncio.to_thread(self.target.make_executable, file.parts)
        self._count(file)
        self._advance(file.file.size_bytes)

    async def _unpack(self, stored: StoredObject, files: list[WantedFile]) -> None:
        """Cut an object, as it comes, into the files that are wanted of it."""
        async with aclosing(self._store.get_result(stored)) as chunks:
            stream = ObjectStream(chunks, shown(files[0].parts))
            for file in files:
                await stream.skip_to(file.file.offset)
                with self.target.new_file(file.parts, file.file) as new:
                    async for piece in stream.take(file.file.size_bytes):
                        new.write(piece)
                        self._advance(len(piece))
                self._count(file)

    def _count(self, file: WantedFile) -> None:
        self.pulled.fetched += 1
        self.pulled.size_bytes += file.file.size_bytes

    def _advance(self, size_bytes: int) -> None:
        self._done_bytes += size_bytes
        self._bar.update(self._done_bytes, self._total_bytes)


def _is_whole(stored: StoredObject, file: StoredFile) -> bool:
    """Is the file all of the object, and worth going on with where it is cut off?"""
    same = (stored.size_bytes, stored.sha256) == (file.size_bytes, file.sha256)
    return same and file.size_bytes >= RESUMED_FROM_BYTES


def _lanes(files: list[WantedFile]) -> Iterator[list[WantedFile]]:
    """Split files of one object into lists in which none overlaps another: as a rule, one list."""
    waiting = sorted(files, key=lambda wanted: wanted.file.offset)
    while waiting:
        lane: list[WantedFile] = []
        overlapping: list[WantedFile] = []
        end = 0
        for wanted in waiting:
            if wanted.file.offset >= end:
                lane.append(wanted)
                end = wanted.file.offset + wanted.file.size_bytes
            else:
                overlapping.append(wanted)
        yield lane
        waiting = overlapping
