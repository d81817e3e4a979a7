"""Fetch the files that are missing here, in parallel, each object once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.client.pull.listing import Listing, WantedFile
from distribute.client.pull.object_stream import ObjectStream
from distribute.client.pull.target_folder import Content, Parts, TargetFolder, shown
from distribute.client.workers import for_each
from distribute.core.errors import InputError, IntegrityError
from distribute.core.manifest import StoredObject

if TYPE_CHECKING:
    from distribute.ports import ArtifactStore

PARALLEL_OBJECTS = 8

RESUMED_FROM_BYTES = 8 << 20
"""An interrupted download of a file of at least this size is resumed. Smaller ones begin again."""

OnBytes = Callable[[int, int], None]
"""Is told how many bytes are done, and of how many."""

Missing = dict[StoredObject, list[WantedFile]]


@dataclass(slots=True)
class Pulled:
    """The result of a pull: files fetched, files that were there already, and problems."""

    fetched: int = 0
    kept: int = 0
    size_bytes: int = 0
    problems: list[str] = field(default_factory=list)


async def fetch(
    store: ArtifactStore, listing: Listing, folder: Path, on_bytes: OnBytes = lambda done, total: None
) -> Pulled:
    """Write the listed files below `folder`. A file that is there with the right digest stays.

    Files that can't be fetched or written are named in `problems`; the others are still pulled.

    Raises:
        StorageFull: the folder's disk is full.
        InputError: the folder can't be made or opened.
    """
    run = _Run(store, TargetFolder(folder), on_bytes, listing.size_bytes)
    if listing.files or listing.folders or listing.links:
        run.target.make_folder(())
    for parts in listing.folders:
        with run.named(parts):
            run.target.make_folder(parts)
    await run.fetch(await run.find_missing(listing))
    for parts, link_target in listing.links:  # last, so that nothing is written through them
        with run.named(parts):
            run.target.make_link(parts, link_target)
    return run.pulled


class _Run:
    """One pull under way."""

    def __init__(
        self, store: ArtifactStore, target: TargetFolder, on_bytes: OnBytes, total_bytes: int
    ) -> None:
        self.target = target
        self.pulled = Pulled()
        self._store = store
        self._on_bytes = on_bytes
        self._total_bytes = total_bytes
        self._done_bytes = 0

    @contextmanager
    def named(self, parts: Parts) -> Iterator[None]:
        """Turn an error about one file into a problem that names it."""
        try:
            yield
        except (InputError, IntegrityError, OSError) as error:
            name, why = shown(parts), str(error)
            self.pulled.problems.append(why if name in why else f"{name}: {why}")

    async def find_missing(self, listing: Listing) -> Missing:
        """The files that are not there yet, by the object that holds them. Empty ones are made at once."""
        missing: Missing = {}
        for stored, file in listing.files:
            with self.named(file.parts):
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
        at_once = min(PARALLEL_OBJECTS, len(missing))
        await for_each(missing.items(), self._fetch_object, at_once=at_once)

    async def _fetch_object(self, wanted: tuple[StoredObject, list[WantedFile]]) -> None:
        stored, files = wanted
        if len(files) == 1 and _is_whole(stored, files[0].file):
            with self.named(files[0].parts):
                await self._download(stored, files[0])
        else:
            for lane in _lanes(files):
                await self._unpack(stored, lane)

    async def _download(self, stored: StoredObject, file: WantedFile) -> None:
        """Fetch a large file. Resumes an earlier pull that was interrupted."""
        with self.target.place(file.parts) as path:
            await self._store.fetch_result(stored, path)
        await asyncio.to_thread(self.target.finish, file.parts, file.file)
        self._count(file)
        self._advance(file.file.size_bytes)

    async def _unpack(self, stored: StoredObject, files: list[WantedFile]) -> None:
        """Cut an object into the wanted files as it arrives."""
        async with aclosing(self._store.get_result(stored)) as chunks:
            stream = ObjectStream(chunks, shown(files[0].parts))
            for file in files:
                with self.named(file.parts):
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
        self._on_bytes(self._done_bytes, self._total_bytes)


def _is_whole(stored: StoredObject, file: Content) -> bool:
    """Is the file the whole object, and large enough to resume an interrupted download?"""
    same = (stored.size_bytes, stored.sha256) == (file.size_bytes, file.sha256)
    return same and file.size_bytes >= RESUMED_FROM_BYTES


def _lanes(files: list[WantedFile]) -> Iterator[list[WantedFile]]:
    """Split files of one object into lists in which none overlaps another: usually one list."""
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
