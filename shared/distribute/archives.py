"""The archives of compacted batches: what the stream says of them, and each as a log.

Anyone can write a `compacted`, and only the fold knows which ones count. So of several that name archives of
one batch, the newest counts whose archive is there, and is of the events that it tells of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from distribute.core.errors import InputError, IntegrityError
from distribute.core.ids import BatchId
from distribute.core.log.events import Compacted
from distribute.ports import ArtifactStore, EventLog, Only

if TYPE_CHECKING:
    from distribute.saved.log import SavedLog
    from distribute.saved.reading import SavedFile

_COMPACTED = frozenset({"compacted"})

NOW = 2**63 - 1
"""A sequence behind all events: who reads up to it reads what is there by now."""

_log = logging.getLogger(__name__)


class Naming(NamedTuple):
    """A `compacted` in the stream: its sequence, and what it says."""

    seq: int
    event: Compacted

    @property
    def is_possible(self) -> bool:
        """Can an archive have what it tells of: events that were there before it?"""
        return 0 < self.event.first_seq <= self.event.last_seq < self.seq


class Moved(NamedTuple):
    """What was moved out of the stream under one batch's name, as one or several `compacted` say.

    The newest comes first. Of two batches that had one name, the later archive has the events of both.
    """

    namings: tuple[Naming, ...]

    @property
    def batch(self) -> BatchId:
        return self.namings[0].event.scope

    @property
    def first_seq(self) -> int:
        """No archive has an event before this sequence."""
        return min(naming.event.first_seq for naming in self.namings)

    @property
    def last_seq(self) -> int:
        """No archive has an event behind this sequence."""
        return max(naming.event.last_seq for naming in self.namings)


class Archives:
    """Finds and opens the archives that a stream names."""

    def __init__(self, stream: EventLog, store: Callable[[], ArtifactStore]) -> None:
        self._stream = stream
        self._store = store

    async def of(self, batch: BatchId) -> Moved | None:
        """What was moved of one batch's name. None: nothing."""
        if await self._stream.last(batch, "compacted") is None:
            return None
        return next(iter(await self._found(Only(types=_COMPACTED, batch=batch))), None)

    async def every(self) -> list[Moved]:
        """What was moved of all batches."""
        return await self._found(Only(types=_COMPACTED))

    async def _found(self, only: Only) -> list[Moved]:
        found: dict[BatchId, list[Naming]] = {}
        async with aclosing(self._stream.follow(after=0, only=only, until=NOW)) as reading:
            async for records in reading:
                for seq, _, event in records:
                    if isinstance(event, Compacted):
                        found.setdefault(event.scope, []).insert(0, Naming(seq, event))
        return [Moved(tuple(namings)) for namings in found.values()]

    @asynccontextmanager
    async def opened(self, moved: Moved) -> AsyncIterator[SavedLog | None]:
        """The archive that counts, as long as the block runs. None: there is none, and nobody needs it.

        Raises:
            IntegrityError: there is none, and the stream lacks its events.
        """
        # Imported here: few readers need an archive.
        from distribute.saved.log import SavedLog
        from distribute.scratch import scratch_folder

        with scratch_folder("archive") as folder:
            file = await self._file(moved, folder)
            yield None if file is None else SavedLog(file)

    async def _file(self, moved: Moved, folder: Path) -> SavedFile | None:
        lost: list[tuple[Naming, str]] = []
        for naming in moved.namings:
            why = await self._why_refused(naming)
            if why is not None:
                _log.warning("%s", _does_not_count(naming.event, why))
                continue
            try:
                file = await fetch_archive(self._store(), naming.event, folder)
            except IntegrityError as error:
                lost.append((naming, str(error)))
            else:
                for other, why in lost:
                    _log.warning("%s", _does_not_count(other.event, why))
                return file
        if not lost:
            return None
        newer = await self.of(moved.batch)
        if newer is not None and newer.namings[0].seq > moved.namings[0].seq:
            # The batch was compacted meanwhile, and what refuted a forgery is perhaps in that archive by now.
            return await self._file(newer, folder)
        for naming, why in lost:
            await self._do_without(naming, why)
        return None

    async def _do_without(self, naming: Naming, why: str) -> None:
        """Log that an archive is not there. Raises `IntegrityError` if somebody needs it.

        All events under the batch's name that come before a `compacted` are removed. So if the stream has one
        of them, it has all that this one names: it is forged, or nothing was removed yet.
        """
        event = naming.event
        if await self._has_event_before(naming):
            _log.warning("%s", _does_not_count(event, why))
        elif await self._is_name_used_again(naming):
            _log.warning("%s; what happened to %s is left out", _gone(event, why), event.scope)
        else:
            raise IntegrityError(_gone(event, why))

    async def _why_refused(self, naming: Naming) -> str | None:
        """Why the fold refuses it: other events of the batch follow those that it names. None: they don't."""
        event = naming.event
        if not naming.is_possible:
            return "there can't be such events"
        between = self._stream.follow(after=event.last_seq, only=Only(batch=event.scope), until=naming.seq)
        async with aclosing(between) as reading:
            async for records in reading:
                if records[0].seq < naming.seq:
                    return f"event {records[0].seq} is not one of those that it names"
                break
        return None

    async def _has_event_before(self, naming: Naming) -> bool:
        """Does the stream have an event under the batch's name that comes before this one?"""
        only = Only(batch=naming.event.scope)
        async with aclosing(self._stream.follow(after=0, only=only, until=naming.seq)) as reading:
            async for records in reading:
                return records[0].seq < naming.seq
        return False

    async def _is_name_used_again(self, naming: Naming) -> bool:
        """Was the batch deleted since, or one submitted under its name? Nobody can while it is there."""
        lasts = [await self._stream.last(naming.event.scope, kind) for kind in ("deleted", "submitted")]
        return any(last is not None and last.seq > naming.seq for last in lasts)


async def fetch_archive(store: ArtifactStore, event: Compacted, folder: Path) -> SavedFile:
    """Fetch the archive that an event names into a folder, and check that it is of the events it tells of.

    Raises:
        IntegrityError: the store does not have it, or it is damaged, no saved log, or of other events.
        StorageFull: this computer's disk is full.
        OSError: the folder can't be written.
    """
    path = folder / f"{event.archive}.gz"
    try:
        await store.get_input(event.archive, path)
        return await asyncio.to_thread(_checked, path, event)
    except (IntegrityError, InputError) as error:
        why = str(error).removeprefix(f"{path}: ").removeprefix(f"input {event.archive}: ")
        raise IntegrityError(why.removesuffix("; submit the batch again")) from error  # an input's advice


def _checked(path: Path, event: Compacted) -> SavedFile:
    from distribute.saved.reading import SavedFile

    file = SavedFile(path)
    found = tuple(file.header.batch or ()), file.last.events, file.last.last_seq
    if found != (event.scope, event.events, event.last_seq):
        raise IntegrityError("it is a saved log, but not of these events")
    return file


def _gone(event: Compacted, why: str) -> str:
    batch = event.scope
    return (
        f"the archive of {batch}, {event.archive}, is damaged or gone from the store, and the events in it "
        f"({why}): have a backup of the head's folder restored; if there is none, "
        f"`distribute delete {batch}` frees the name"
    )


def _does_not_count(event: Compacted, why: str) -> str:
    return (
        f"an event says that those of {event.scope} were moved into an archive, {event.archive}: they were "
        f"not, so it does not count; the archive: {why}"
    )
