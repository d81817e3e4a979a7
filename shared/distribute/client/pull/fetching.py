"""Fetch the files that are missing here, in parallel, each object once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.client.pull.listing import Listing, WantedFile
from distribute.client.pull.local_batch import held
from distribute.client.pull.new_file import Content, NewFile
from distribute.client.pull.object_stream import ObjectStream
from distribute.client.pull.settling import Edited, Settling
from distribute.client.pull.target_folder import Parts, TargetFolder, shown
from distribute.client.workers import for_each
from distribute.core.errors import InputError, IntegrityError
from distribute.core.files.manifest import StoredObject
from distribute.core.os_words import message_of

if TYPE_CHECKING:
    from distribute.ports import ArtifactStore

PARALLEL_OBJECTS = 8

RESUMED_FROM_BYTES = 8 << 20
"""An interrupted download of a file of at least this size is resumed. Smaller ones begin again."""

OnBytes = Callable[[int, int], None]
"""Is told how many bytes are done, and of how many."""

Missing = dict[StoredObject | None, list[WantedFile]]


@dataclass(slots=True)
class Pulled:
    """The result of a pull: files fetched, files that were there already, and problems."""

    fetched: int = 0
    kept: int = 0
    size_bytes: int = 0
    edited: list[Parts] = field(default_factory=list)
    """Files and links that a person changed here. They were kept."""
    beside: list[Parts] = field(default_factory=list)
    """Where the archive's were written instead."""
    leftovers: list[Parts] = field(default_factory=list)
    """What earlier attempts left that the last one does not have. It is still here."""
    removed: int = 0
    """The number of leftovers that were removed."""
    unreadable: int = 0
    """The number of lines of the folder's note that can't be read."""
    problems: list[str] = field(default_factory=list)


async def fetch(
    store: ArtifactStore,
    listing: Listing,
    folder: Path,
    on_bytes: OnBytes = lambda done, total: None,
    *,
    edited: Edited = Edited.KEPT,
    replace: bool = False,
) -> Pulled:
    """Write the listed files below `folder`. A file that is there with the right digest stays.

    Files that can't be fetched or written are named in `problems`; the others are still pulled.

    Args:
        store: where the files are.
        listing: which.
        folder: where they go.
        on_bytes: is told of progress.
        edited: what becomes of files that a person changed.
        replace: first remove what was pulled there of another batch, or of earlier attempts.

    Raises:
        StorageFull: the folder's disk is full.
        InputError: the folder can't be made or opened.
        Refused: another batch was pulled there, or another program pulls there now.
    """
    if not (listing.files or listing.folders or listing.links):
        return Pulled()
    with held(folder, listing.base) as local:
        local.take(listing.origin, replace=replace)
        local.clean_parts(all_of_them=False)
        settling = Settling(local, listing, edited)
        run = _Run(store, local.target, settling, on_bytes, listing.size_bytes)
        left = await settling.find_leftovers(replace=replace)
        run.pulled.leftovers, run.pulled.removed = left.here, left.removed
        run.pulled.problems += left.problems
        run.pulled.unreadable = local.note.unreadable
        for parts in listing.folders:
            async with run.named(parts):
                run.make_folder(parts)
        missing = await run.find_missing(listing)
        links = await run.find_missing_links(listing)
        await asyncio.to_thread(settling.record)
        await run.fetch(missing)
        for parts, target in links:  # last, so that nothing is written through them
            async with run.named(parts):
                run.make_link(parts, target)
        local.clean_parts(all_of_them=True)
    return run.pulled


class _Run:
    """One pull under way."""

    def __init__(
        self,
        store: ArtifactStore,
        target: TargetFolder,
        settling: Settling,
        on_bytes: OnBytes,
        total_bytes: int,
    ) -> None:
        self.pulled = Pulled(edited=settling.edited, beside=settling.beside)
        self._store = store
        self._target = target
        self._settling = settling
        self._on_bytes = on_bytes
        self._total_bytes = total_bytes
        self._done_bytes = 0

    @asynccontextmanager
    async def named(self, parts: Parts) -> AsyncGenerator[None, None]:
        """Turn an error about one file into a problem that names it. Then let other tasks run.

        Otherwise Ctrl-C would wait for the last of 100,000 small files, which need no await.
        """
        try:
            yield
        except (InputError, IntegrityError, OSError) as error:
            name, why = shown(parts), message_of(error)
            self.pulled.problems.append(why if name in why else f"{name}: {why}")
        await asyncio.sleep(0)

    def make_folder(self, parts: Parts) -> None:
        """Make a folder of a job."""
        self._settling.folder(parts)
        self._target.make_folder(parts)

    async def find_missing(self, listing: Listing) -> Missing:
        """The files that are to be written, by the object that holds them. Empty ones have none."""
        missing: Missing = {}
        for stored, wanted in listing.files:
            async with self.named(wanted.parts):
                settled = await self._settling.file(wanted)
                if settled is not None and settled.found is None:
                    missing.setdefault(stored, []).append(WantedFile(settled.place, wanted.file))
                    continue
                if settled is not None and settled.found is not None:
                    self.pulled.kept += 1
                    if settled.found.lacks_time_or_mode(wanted.file):
                        self._target.touch_up(settled.place, wanted.file)
                self._advance(wanted.file.size_bytes)
        return missing

    async def find_missing_links(self, listing: Listing) -> list[tuple[Parts, str]]:
        """The links that are to be made."""
        missing: list[tuple[Parts, str]] = []
        for parts, target in listing.links:
            async with self.named(parts):
                settled = await self._settling.link(parts, target)
                if settled is not None and settled.found is None:
                    missing.append((settled.place, target))
        return missing

    def make_link(self, parts: Parts, target: str) -> None:
        """Make a link of a job."""
        self._target.make_link(parts, target, self._settling.over.get(parts))

    async def fetch(self, missing: Missing) -> None:
        """Write the missing files. Fetches objects, several at a time, each once."""
        for file in missing.pop(None, []):
            async with self.named(file.parts):
                with self._new_file(file):
                    pass
                self._count(file)
        at_once = min(PARALLEL_OBJECTS, len(missing))
        await for_each(missing.items(), self._fetch_object, at_once=at_once)

    async def _fetch_object(self, wanted: tuple[StoredObject | None, list[WantedFile]]) -> None:
        stored, files = wanted
        assert stored is not None, "files without an object are written already"
        if len(files) == 1 and _is_whole(stored, files[0].file):
            async with self.named(files[0].parts):
                await self._download(stored, files[0])
        else:
            for lane in _lanes(files):
                await self._unpack(stored, lane)

    async def _download(self, stored: StoredObject, file: WantedFile) -> None:
        """Fetch a large file. Resumes an earlier pull that was interrupted."""
        counted = 0

        def advance(done_bytes: int) -> None:
            nonlocal counted
            self._advance(done_bytes - counted)
            counted = done_bytes

        with self._target.large_file(file.parts, file.file, self._settling.over.get(file.parts)) as path:
            await self._store.fetch_result(stored, path, advance)
        self._count(file)

    async def _unpack(self, stored: StoredObject, files: list[WantedFile]) -> None:
        """Cut an object into the wanted files as it arrives."""
        async with aclosing(self._store.get_result(stored)) as chunks:
            stream = ObjectStream(chunks, shown(files[0].parts))
            for file in files:
                async with self.named(file.parts):
                    await stream.skip_to(file.file.offset)
                    with self._new_file(file) as new:
                        async for piece in stream.take(file.file.size_bytes):
                            new.write(piece)
                            self._advance(len(piece))
                    self._count(file)

    def _new_file(self, file: WantedFile) -> AbstractContextManager[NewFile]:
        return self._target.new_file(file.parts, file.file, self._settling.over.get(file.parts))

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
