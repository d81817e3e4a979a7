"""The log of a cluster with the events that were compacted out of its stream: readers miss nothing.

When a batch is compacted, its events go into a saved log in the store, and `compacted` names the file. So
what the stream lacks, the archives have, and the two together are the log as it was written.

Anyone can write a `compacted` that names no archive. If the stream still has the events of its batch, readers
pass it by. Otherwise, readers of that batch are told that its archive is gone, and all others read on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from distribute.core.errors import InputError, IntegrityError, LogReplaced
from distribute.core.events import Compacted, Event, NodeEvent, Submitted, types_of
from distribute.core.ids import Assignments, BatchId, BuildId, Guarded, JobId, NodeId, Scope, Under
from distribute.core.recorded import Guard, Recorded
from distribute.merging import Reading, merged
from distribute.ports import ArtifactStore, EventLog, Garbage, Only, Place, Raw

if TYPE_CHECKING:
    from distribute.saved.log import SavedLog
    from distribute.saved.reading import SavedFile

T = TypeVar("T", Recorded, Raw)

ALL = Only()

_COMPACTED = frozenset({"compacted"})
_OF_NODES = types_of(NodeEvent)
_FIRST_SEQ = attrgetter("first_seq")

_NOW = 2**63 - 1
"""A sequence behind all events: who reads up to it reads what is there by now."""

_log = logging.getLogger(__name__)


class WholeLog:
    """`ports.EventLog` of a stream, and of the archives of batches that were compacted out of it."""

    def __init__(self, stream: EventLog, store: Callable[[], ArtifactStore]) -> None:
        self._stream = stream
        self._store = store

    # --- as the stream has it ------------------------------------------------------------------------

    @property
    def garbage(self) -> Garbage:
        """As `ports.EventLog.garbage`."""
        return self._stream.garbage

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        """As `ports.EventLog.append`."""
        return self._stream.append(event, guard)

    def begin_anew(self) -> None:
        """As `ports.EventLog.begin_anew`."""
        self._stream.begin_anew()

    async def end(self) -> Place:
        """As `ports.EventLog.end`."""
        return await self._stream.end()

    async def last_seq(self) -> int:
        """As `ports.EventLog.last_seq`."""
        return await self._stream.last_seq()

    async def purge(self, batch: BatchId, *, before: int) -> None:
        """As `ports.EventLog.purge`."""
        await self._stream.purge(batch, before=before)

    # --- with what the archives have -----------------------------------------------------------------

    async def follow(
        self, *, after: int, at: float | None = None, only: Only = ALL, until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """As `ports.EventLog.follow`.

        Raises:
            LogReplaced: what is read was compacted meanwhile, so something may be missing.
            IntegrityError: the archive of the one batch that is read is gone or damaged.
        """
        archives = await self._archives(only, after)
        if archives:
            end = await self._stream.end()
            reading = self._merged(
                self._stream.follow(after=after, at=at, only=only, until=_least(end.seq, until)),
                archives,
                after,
                lambda log, last_seq: log.follow(after=after, only=only, until=last_seq),
                is_one=_batch_of(only) is not None,
            )
            async with aclosing(reading):
                async for records in reading:
                    yield records
            await self._refuse_later_archives(archives, only, after, end.seq)
            if until is not None and until <= end.seq:
                return
            after, at = end
        async with aclosing(self._stream.follow(after=after, at=at, only=only, until=until)) as following:
            async for records in following:
                yield records
        if until is not None:
            await self._refuse_later_archives(archives, only, after, until)

    async def follow_raw(
        self, *, after: int, until: int, only: Only = ALL
    ) -> AsyncGenerator[Sequence[Raw], None]:
        """As `ports.EventLog.follow_raw`. Raises as `follow`."""
        archives = await self._archives(only, after)
        reading = self._merged(
            self._stream.follow_raw(after=after, only=only, until=until),
            archives,
            after,
            lambda log, last_seq: log.follow_raw(after=after, only=only, until=min(last_seq, until)),
            is_one=_batch_of(only) is not None,
        )
        async with aclosing(reading):
            async for raws in reading:
                yield raws
        await self._refuse_later_archives(archives, only, after, until)

    async def last(self, scope: Guarded, event_type: str | None = None) -> Recorded | None:
        """As `ports.EventLog.last`. Raises `IntegrityError` if an archive is gone or damaged."""
        found = await self._stream.last(scope, event_type)
        archive = await self._archive_of(scope) if found is None else None
        if archive is None:
            return found
        async with self._opened(archive) as log:
            return None if log is None else await log.last(scope, event_type)

    async def last_raw(self, scope: Scope, event_type: str) -> Raw | None:
        """As `ports.EventLog.last_raw`. Raises `IntegrityError` if an archive is gone or damaged."""
        found = await self._stream.last_raw(scope, event_type)
        archive = await self._archive_of(scope) if found is None else None
        if archive is None:
            return found
        async with self._opened(archive) as log:
            return None if log is None else await log.last_raw(scope, event_type)

    async def get(self, seq: int) -> Recorded:
        """As `ports.EventLog.get`. Raises `IntegrityError` if an archive is gone or damaged."""
        try:
            return await self._stream.get(seq)
        except KeyError:
            return await self._get_archived(seq, lambda log: log.get(seq))

    async def get_raw(self, seq: int) -> Raw:
        """As `ports.EventLog.get_raw`. Raises `IntegrityError` if an archive is gone or damaged."""
        try:
            return await self._stream.get_raw(seq)
        except KeyError:
            return await self._get_archived(seq, lambda log: log.get_raw(seq))

    async def _get_archived(self, seq: int, get: Callable[[SavedLog], Awaitable[T]]) -> T:
        archives = [one for one in await self._archives(ALL, seq - 1) if one.first_seq <= seq]
        gone: IntegrityError | None = None
        for archive in reversed(archives):  # often it is the event with which one of them begins
            try:
                async with self._opened(archive) as log:
                    if log is not None:
                        with suppress(KeyError):
                            return await get(log)
            except IntegrityError as error:
                gone = error  # another one may have it
        raise gone or KeyError(seq)

    # --- archives --------------------------------------------------------------------------------------

    async def _archives(self, only: Only, after: int) -> list[Compacted]:
        """The archives that may have wanted events behind a sequence, by their first events.

        Of two batches that had one name, the later archive has the events of the earlier one, too.
        """
        if not _may_be_archived(only):
            return []
        batch = _batch_of(only)
        newest: dict[BatchId, Compacted] = {}
        if batch is not None:
            found = await self._archive_of(batch)
            newest |= {} if found is None else {batch: found}
        else:
            async for records in self._stream.follow(after=0, only=Only(types=_COMPACTED), until=_NOW):
                newest |= {one.event.scope: one.event for one in records if isinstance(one.event, Compacted)}
        return sorted((one for one in newest.values() if one.last_seq > after), key=_FIRST_SEQ)

    async def _archive_of(self, scope: Guarded) -> Compacted | None:
        """The archive that has events of a scope; None: there is none."""
        batch = _batch_under(scope)
        found = await self._stream.last(batch, "compacted") if batch is not None else None
        return found.event if found is not None and isinstance(found.event, Compacted) else None

    async def _refuse_later_archives(
        self, known: Sequence[Compacted], only: Only, after: int, until: int
    ) -> None:
        """Raise `LogReplaced` if events that were to be read may have been removed meanwhile."""
        for archive in await self._archives(only, after):
            if archive not in known and archive.first_seq <= until:
                raise LogReplaced(f"{archive.scope} was compacted while its events were read: read again")

    def _merged(
        self,
        stream: AsyncGenerator[Sequence[T], None],
        archives: Sequence[Compacted],
        after: int,
        read: Callable[[SavedLog, int], AsyncGenerator[Sequence[T], None]],
        *,
        is_one: bool,
    ) -> AsyncGenerator[Sequence[T], None]:
        """The events of the stream and of these archives. `is_one`: all are of one batch."""
        readings: list[Reading[T]] = [Reading(after + 1, stream)]
        for archive in archives:
            first_seq = max(archive.first_seq, after + 1)
            readings.append(Reading(first_seq, self._read(archive, read, is_one=is_one)))
        return merged(readings)

    async def _read(
        self,
        archive: Compacted,
        read: Callable[[SavedLog, int], AsyncGenerator[Sequence[T], None]],
        *,
        is_one: bool,
    ) -> AsyncGenerator[Sequence[T], None]:
        """Yield events of an archive. If it is one of many, no reader fails because it is gone."""
        try:
            async with self._opened(archive) as log:
                if log is not None:
                    async with aclosing(read(log, archive.last_seq)) as reading:
                        async for events in reading:
                            yield events
        except IntegrityError as error:
            if is_one:
                raise
            _log.warning("%s; what happened to %s is left out", error, archive.scope)

    @asynccontextmanager
    async def _opened(self, archive: Compacted) -> AsyncIterator[SavedLog | None]:
        """An archive as a log, as long as the block runs. None: there is none, and nobody needs it.

        Raises:
            IntegrityError: there is none, and the stream lacks its events.
        """
        # Imported here: few readers need an archive.
        from distribute.saved.log import SavedLog
        from distribute.scratch import scratch_folder

        with scratch_folder("archive") as folder:
            path = folder / f"{archive.archive}.gz"
            try:
                await self._store().get_input(archive.archive, path)
                log = SavedLog(await asyncio.to_thread(_archive_in, path, archive))
            except (IntegrityError, InputError) as error:
                why = str(error).removeprefix(f"{path}: ").removeprefix(f"input {archive.archive}: ")
                why = why.removesuffix("; submit the batch again")  # as an input's error advises
                if await self._is_deleted(archive.scope):
                    _log.warning("%s; what happened to %s is left out", _gone(archive, why), archive.scope)
                elif await self._lacks_beginning(archive.scope):
                    raise IntegrityError(_gone(archive, why)) from error
                else:
                    _log.warning(
                        "an event says that those of %s were moved into an archive, %s: they were not, so "
                        "it does not count; the archive: %s",
                        archive.scope, archive.archive, why,
                    )  # fmt: skip
                log = None
            yield log

    async def _is_deleted(self, batch: BatchId) -> bool:
        """Was the batch deleted that was compacted last? Its name can be used again."""
        moved = await self._stream.last(batch, "compacted")
        deleted = await self._stream.last(batch, "deleted")
        return moved is not None and deleted is not None and deleted.seq > moved.seq

    async def _lacks_beginning(self, batch: BatchId) -> bool:
        """Were events of a batch removed from the stream? Then its first there is no submission."""
        async with aclosing(self._stream.follow(after=0, only=Only(batch=batch), until=_NOW)) as reading:
            async for records in reading:
                return not isinstance(records[0].event, Submitted)
        return True


def _archive_in(path: Path, archive: Compacted) -> SavedFile:
    """The archive that `compacted` names. Raises `InputError` or `IntegrityError` if that is another file."""
    from distribute.saved.reading import SavedFile

    file = SavedFile(path)
    found = tuple(file.header.batch or ()), file.last.events, file.last.last_seq
    if found != (archive.scope, archive.events, archive.last_seq):
        raise IntegrityError("it is a saved log, but not of these events")
    return file


def _gone(archive: Compacted, why: str) -> str:
    batch = archive.scope
    return (
        f"the archive of {batch}, {archive.archive}, is damaged or gone from the store, and the events in it "
        f"({why}): have a backup of the head's folder restored; if there is none, "
        f"`distribute delete {batch}` frees the name"
    )


def _least(seq: int, until: int | None) -> int:
    return seq if until is None else min(seq, until)


def _may_be_archived(only: Only) -> bool:
    """Can an archive have events that a reader wants?"""
    if isinstance(only.scope, NodeId):
        return False
    return only.types is None or not (only.types | only.also) <= _OF_NODES


def _batch_of(only: Only) -> BatchId | None:
    """The batch of all wanted events that an archive may have; None: they are of several."""
    if only.scope is not None:
        return _batch_under(only.scope)
    return only.batch if only.also <= _OF_NODES else None


def _batch_under(scope: Guarded) -> BatchId | None:
    """The batch of a scope; None: it is a node."""
    match scope:
        case BatchId():
            return scope
        case JobId() | BuildId():
            return scope.batch_id
        case Under():
            return scope.batch
        case Assignments():
            return scope.of.batch
        case NodeId():
            return None
