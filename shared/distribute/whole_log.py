"""The log of a cluster with the events that were compacted out of its stream: readers miss nothing.

When a batch is compacted, its events go into a saved log in the store, and `compacted` names the file. So
what the stream lacks, the archives have, and the two together are the log as it was written.

If the archive of a batch is gone, readers of that batch are told so, and all others read on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from distribute.archives import Archives, Moved
from distribute.by_time import between
from distribute.core.errors import IntegrityError, LogReplaced
from distribute.core.ids import Assignments, BatchId, BuildId, Guarded, JobId, NodeId, Under
from distribute.core.log.events import Event, NodeEvent, types_of
from distribute.core.log.recorded import Guard, Recorded
from distribute.merging import Reading, merged
from distribute.ports import ArtifactStore, EventLog, Garbage, Only, Place, Raw

if TYPE_CHECKING:
    from distribute.saved.log import SavedLog

T = TypeVar("T", Recorded, Raw)

ALL = Only()

_OF_NODES = types_of(NodeEvent)
_FIRST_SEQ = attrgetter("first_seq")

_log = logging.getLogger(__name__)


class WholeLog:
    """`ports.EventLog` of a stream, and of the archives of batches that were compacted out of it."""

    def __init__(self, stream: EventLog, store: Callable[[], ArtifactStore]) -> None:
        self._stream = stream
        self._archives = Archives(stream, store)

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
        archives = await self._wanted(only, after, until)
        if archives:
            end = await self._stream.end()
            read_until = _least(end.seq, until)
            reading = self._merged(
                self._stream.follow(after=after, at=at, only=only, until=read_until),
                archives,
                after,
                lambda log, last_seq: log.follow(after=after, only=only, until=min(last_seq, read_until)),
                is_one=_batch_of(only) is not None,
            )
            async with aclosing(reading):
                async for records in reading:
                    yield records
            await self._refuse_what_was_removed(archives, only, after, read_until)
            if until is not None and until <= end.seq:
                return
            after, at = end
        async with aclosing(self._stream.follow(after=after, at=at, only=only, until=until)) as following:
            async for records in following:
                yield records
        if until is not None:
            await self._refuse_what_was_removed(archives, only, after, until)

    async def follow_raw(
        self, *, after: int, until: int, only: Only = ALL
    ) -> AsyncGenerator[Sequence[Raw], None]:
        """As `ports.EventLog.follow_raw`. Raises as `follow`."""
        archives = await self._wanted(only, after, until)
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
        await self._refuse_what_was_removed(archives, only, after, until)

    async def last(self, scope: Guarded, event_type: str | None = None) -> Recorded | None:
        """As `ports.EventLog.last`. Raises `IntegrityError` if an archive is gone or damaged."""
        found = await self._stream.last(scope, event_type)
        archive = await self._moved_of(scope) if found is None else None
        if archive is None:
            return found
        async with self._archives.opened(archive) as log:
            return None if log is None else await log.last(scope, event_type)

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

    async def last_before(self, time: float) -> int:
        """A sequence up to which all events were logged before a time, and behind which none was.

        `time` is in seconds since 1970, by the log's clock. Opens only archives in which the moment may lie:
        each once, and of those that lie one behind the other, only as many as it takes to halve them.
        """
        low, high = await between(self._stream, time)
        archives = sorted(await self._archives.every(), key=_FIRST_SEQ)
        while archives := [one for one in archives if one.last_seq > low and one.first_seq <= high]:
            archive = archives.pop(len(archives) // 2)
            with suppress(IntegrityError):  # whoever reads its events is told that it is gone
                async with self._archives.opened(archive) as log:
                    if log is not None:
                        before, until = await asyncio.to_thread(log.between, time)
                        low, high = max(low, before), min(high, until)
        return low

    async def _get_archived(self, seq: int, get: Callable[[SavedLog], Awaitable[T]]) -> T:
        archives = await self._wanted(ALL, seq - 1, seq)
        gone: IntegrityError | None = None
        for archive in reversed(archives):  # often it is the event with which one of them begins
            try:
                async with self._archives.opened(archive) as log:
                    if log is not None:
                        with suppress(KeyError):
                            return await get(log)
            except IntegrityError as error:
                gone = error  # another one may have it
        raise gone or KeyError(seq)

    # --- archives --------------------------------------------------------------------------------------

    async def _wanted(self, only: Only, after: int, until: int | None) -> list[Moved]:
        """What was moved that may have wanted events in a range, sorted by the first sequence."""
        if not _may_be_archived(only):
            return []
        batch = _batch_of(only)
        if batch is None:
            found = await self._archives.every()
        else:
            moved = await self._archives.of(batch)
            found = [] if moved is None else [moved]
        end = inf if until is None else until
        return sorted((one for one in found if one.last_seq > after and one.first_seq <= end), key=_FIRST_SEQ)

    async def _moved_of(self, scope: Guarded) -> Moved | None:
        """What was moved that has events of a scope. None: nothing."""
        batch = _batch_under(scope)
        return await self._archives.of(batch) if batch is not None else None

    async def _refuse_what_was_removed(
        self, known: Sequence[Moved], only: Only, after: int, until: int
    ) -> None:
        """Raise `LogReplaced` if events that were to be read were removed meanwhile."""
        first_of = {moved.batch: moved.namings[0].seq for moved in known}
        for moved in await self._wanted(only, after, until):
            newest = moved.namings[0]
            # What is removed is removed from the first event on.
            first_seq = first_of.get(moved.batch, newest.event.first_seq)
            if first_seq == newest.seq or first_seq > until or not newest.is_possible:
                continue
            try:
                await self._stream.get_raw(first_seq)
            except KeyError:
                raise LogReplaced(
                    f"{moved.batch} was compacted while its events were read: read again"
                ) from None

    def _merged(
        self,
        stream: AsyncGenerator[Sequence[T], None],
        archives: Sequence[Moved],
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
        archive: Moved,
        read: Callable[[SavedLog, int], AsyncGenerator[Sequence[T], None]],
        *,
        is_one: bool,
    ) -> AsyncGenerator[Sequence[T], None]:
        """Yield events of an archive. If it is one of many, no reader fails because it is gone."""
        try:
            async with self._archives.opened(archive) as log:
                if log is not None:
                    async with aclosing(read(log, await log.last_seq())) as reading:
                        async for events in reading:
                            yield events
        except IntegrityError as error:
            if is_one:
                raise
            _log.warning("%s; what happened to %s is left out", error, archive.batch)


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
