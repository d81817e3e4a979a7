"""Where each file of a listing is to be: in its place, or beside what a person put there, or nowhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from enum import Enum, auto
from functools import cached_property, partial
from itertools import chain
from typing import NamedTuple

from distribute.client.pull.listing import Listing, WantedFile
from distribute.client.pull.local_batch import OWN_NAMES, LocalBatch
from distribute.client.pull.note import JOBS_FOLDER, Attempt, Contents
from distribute.client.pull.target_folder import Found, Kind, Parts
from distribute.core.errors import InputError

READ_AT_ONCE_BYTES = 1 << 20
"""A file of this size is read at once, a larger one in a thread."""

THEIRS = b".theirs"


class Edited(Enum):
    """What becomes of a file that is here with a content that no pull wrote."""

    KEPT = auto()
    OVERWRITTEN = auto()
    BESIDE = auto()
    """It is kept, and the archive's is written beside it, with `THEIRS` behind its name."""


class Settled(NamedTuple):
    """Where a file or link is to be, and what is there if that is it already."""

    place: Parts
    found: Found | None


class Leftovers(NamedTuple):
    """What is left of earlier attempts, how many files of such were removed, and which could not be."""

    here: list[Parts]
    removed: int
    problems: list[str]


class Settling:
    """Settles the files and links of a listing, one by one, and notes them."""

    def __init__(self, local: LocalBatch, listing: Listing, edited: Edited) -> None:
        self.over: dict[Parts, Found] = {}
        """What is here where something is to be written."""
        self.edited: list[Parts] = []
        """What a person changed here. It was kept."""
        self.beside: list[Parts] = []
        """Where the archive's is instead."""
        self._local = local
        self._listing = listing
        self._choice = edited
        self._contents: dict[Attempt, Contents] = {}
        """What is settled, as the archive has it."""

    def folder(self, parts: Parts) -> None:
        """Settle a folder.

        Raises:
            InputError: it can't be there.
        """
        self._check_name(parts)
        job, *path = self._local.below(parts)
        self._contents_at(job).folders.add(b"/".join(path) or JOBS_FOLDER)

    async def file(self, wanted: WantedFile) -> Settled | None:
        """Settle a file. None: a person's stays in its place.

        Raises:
            InputError: it can't be there.
        """
        settled = await self._settle(wanted.parts, lambda found: found.is_file(wanted.file))
        if settled is not None:
            contents, path = self._contents_of(settled.place)
            contents.files[path] = bytes.fromhex(wanted.file.sha256)
        return settled

    async def link(self, parts: Parts, target: str) -> Settled | None:
        """Settle a symbolic link; see `file`."""
        content = os.fsencode(target)
        settled = await self._settle(parts, lambda found: found.is_link(content))
        if settled is not None:
            contents, path = self._contents_of(settled.place)
            contents.links[path] = content
        return settled

    def record(self) -> None:
        """Note what was settled. Call it before anything is written."""
        self._local.record(self._contents.items())
        self._contents.clear()

    async def find_leftovers(self, *, replace: bool) -> Leftovers:
        """Find what earlier attempts left here that the last ones do not have. `replace` removes it.

        What is left of an earlier batch is removed in any case: its folder was taken.
        """
        note = self._local.note
        attempts = self._listing.attempts
        leftovers = partial(self._local.leftovers, attempts=attempts, current=lambda: self._every_path)
        gone = await leftovers(note.of_earlier_batches())
        left = await leftovers(note.of_earlier_attempts(attempts))
        to_go = dict([*gone, *left] if replace else gone)
        problems = await self._local.remove(to_go.items())
        here = [parts for parts, _ in left if parts not in to_go]
        return Leftovers(here, len(to_go) - len(problems), problems)

    async def _settle(self, parts: Parts, is_wanted: Callable[[Found], bool]) -> Settled | None:
        self._check_name(parts)
        found = await self._look(parts)
        if found is None or is_wanted(found):
            return Settled(parts, found)
        if found.kind is Kind.FOLDER:
            at = self._local.target.at(parts)
            raise InputError(f"{at}: a folder is where a file belongs; move it away")
        if self._choice is Edited.OVERWRITTEN or self._local.is_ours(parts, found):
            self.over[parts] = found
            return Settled(parts, None)
        self.edited.append(parts)
        return await self._settle_beside(parts, is_wanted) if self._choice is Edited.BESIDE else None

    async def _settle_beside(self, parts: Parts, is_wanted: Callable[[Found], bool]) -> Settled:
        place = (*parts[:-1], parts[-1] + THEIRS)
        found = await self._look(place)
        if place in self._every_path or not (
            found is None or is_wanted(found) or self._local.is_ours(place, found)
        ):
            at = self._local.target.at(place)
            raise InputError(f"{at}: it is where the archive's belongs; move it away")
        self.beside.append(place)
        if found is not None and not is_wanted(found):
            self.over[place] = found
            found = None
        return Settled(place, found)

    async def _look(self, parts: Parts) -> Found | None:
        size_bytes = self._local.target.size_at(parts)
        if size_bytes is None:
            return None
        if size_bytes <= READ_AT_ONCE_BYTES:
            return self._local.target.look(parts)
        return await asyncio.to_thread(self._local.target.look, parts)

    @cached_property
    def _every_path(self) -> frozenset[Parts]:
        """The paths of all files and links of the jobs that were listed, wanted or not."""
        files = (wanted.parts for _, wanted in self._listing.files)
        links = (parts for parts, _ in self._listing.links)
        return frozenset(chain(files, links, self._listing.filtered))

    def _check_name(self, parts: Parts) -> None:
        if self._local.below(parts)[0] in OWN_NAMES:
            at = self._local.target.at(parts)
            raise InputError(f"{at}: pull needs this name in the batch's folder for itself")

    def _contents_of(self, parts: Parts) -> tuple[Contents, bytes]:
        """Where a file or link is noted, and its path there."""
        job, *path = self._local.below(parts)
        return (self._contents_at(job), b"/".join(path)) if path else (self._contents_at(b""), job)

    def _contents_at(self, job: bytes) -> Contents:
        attempt = Attempt(job, self._listing.attempts.get(job))
        return self._contents.setdefault(attempt, Contents())
