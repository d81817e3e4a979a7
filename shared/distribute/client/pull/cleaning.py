"""Remove local copies of results that can be had again, and nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.pull.listing import Listing
from distribute.client.pull.local_batch import LocalBatch, held
from distribute.client.pull.settling import THEIRS
from distribute.client.pull.target_folder import Found, Parts
from distribute.client.workers import for_each
from distribute.core.errors import InputError, IntegrityError
from distribute.core.files.manifest import StoredObject
from distribute.core.os_words import message_of

if TYPE_CHECKING:
    from distribute.ports import ArtifactStore

CHANGED = "changed"
"""It is not as it was pulled."""
NOT_LISTED = "not listed"
"""The batch's results have no such file, or another in its place, as after a retry."""
LOST = "lost"
"""The cluster has lost it."""

QUESTIONS_AT_ONCE = 64


class Removable(NamedTuple):
    """A file or link that can be had again, and where from: of links and empty files, nowhere."""

    parts: Parts
    found: Found
    size_bytes: int
    stored: StoredObject | None


@dataclass(slots=True)
class Cleaned:
    """What was removed of a batch's folder, or would be, and what stayed."""

    removed: list[Removable] = field(default_factory=list)
    kept: list[tuple[Parts, str]] = field(default_factory=list)
    """What a pull wrote, or its place has, and why it stays: `CHANGED`, `NOT_LISTED`, `LOST`."""
    others: list[Parts] = field(default_factory=list)
    """What no pull wrote."""
    problems: list[str] = field(default_factory=list)
    """What can't be removed, and why."""

    @property
    def size_bytes(self) -> int:
        """The size of what was removed."""
        return sum(removable.size_bytes for removable in self.removed)


async def clean(store: ArtifactStore, listing: Listing, folder: Path, *, dry: bool = False) -> Cleaned:
    """Remove what a pull wrote to the batch's folder, where it is as the archive has it and the store has it.

    Args:
        store: where the files are.
        listing: the results of the batch, all of them.
        folder: the target folder of the pull.
        dry: remove nothing.

    Raises:
        InputError: nothing was pulled there.
        Refused: another batch was pulled there, or another program pulls there now.
    """
    with held(folder, listing.base, make=False) as local:
        local.check(listing.origin)
        cleaned = Cleaned()
        noted = set(local.noted_paths())
        found = await _removable(local, listing, noted, cleaned)
        lost = await _lost(store, {removable.stored for removable in found if removable.stored is not None})
        cleaned.kept += [(removable.parts, LOST) for removable in found if removable.stored in lost]
        can_go = [removable for removable in found if removable.stored not in lost]
        await _remove(local, can_go, noted, cleaned, dry=dry)
    return cleaned


async def _removable(
    local: LocalBatch, listing: Listing, noted: set[Parts], cleaned: Cleaned
) -> list[Removable]:
    """What is here as the archive lists it. Notes what is here otherwise."""
    files = {wanted.parts: (stored, wanted.file) for stored, wanted in listing.files}
    links = {parts: os.fsencode(target) for parts, target in listing.links}
    removable: list[Removable] = []
    for parts in sorted(noted):
        found = await asyncio.to_thread(local.target.look, parts)
        if found is None:
            continue
        original = parts if parts in files or parts in links else _without_theirs(parts)
        stored, file = files.get(original, (None, None))
        if file is not None and found.is_file(file):
            removable.append(Removable(parts, found, file.size_bytes, stored))
        elif original in links and found.is_link(links[original]):
            removable.append(Removable(parts, found, 0, None))
        else:
            cleaned.kept.append((parts, NOT_LISTED if local.is_ours(parts, found) else CHANGED))
    return removable


def _without_theirs(parts: Parts) -> Parts:
    return (*parts[:-1], parts[-1].removesuffix(THEIRS))


async def _lost(store: ArtifactStore, wanted: Iterable[StoredObject]) -> set[StoredObject | None]:
    lost: set[StoredObject | None] = set()

    async def ask(stored: StoredObject) -> None:
        try:
            if await store.has_result(stored):
                return
        except IntegrityError:  # its list of files is forged
            pass
        lost.add(stored)

    await for_each(wanted, ask, at_once=QUESTIONS_AT_ONCE)
    return lost


async def _remove(
    local: LocalBatch, can_go: Iterable[Removable], noted: set[Parts], cleaned: Cleaned, *, dry: bool
) -> None:
    """Remove what can go, then folders that are empty, and the note if nothing else is left."""
    for removable in can_go:
        try:
            if not dry:
                await asyncio.to_thread(local.target.remove, removable.parts, removable.found)
            cleaned.removed.append(removable)
        except (InputError, OSError) as error:
            cleaned.problems.append(message_of(error))
    left = set(local.every_file())
    if not dry:
        local.clean_parts(all_of_them=True)
        local.remove_empty(local.noted_folders())
        if not left:
            local.forget()
    cleaned.others = sorted(left - noted)
