"""Remove inputs from the store that no batch names any more.

An input is removed if nobody has sent or renewed it for a long time, no batch of the state names it, and both
were so at the look before, too. Each submission sends or renews its inputs before it names them. So one that
we don't know yet has renewed them lately, or does so meanwhile: then the store refuses the removal, or has
the submission send them again. The look before guards against a clock that jumps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import aclosing
from typing import NamedTuple

from distribute.archives import Archives
from distribute.codec import decode_without_jobs
from distribute.core.errors import DistributeError, IntegrityError, LogReplaced, Refused
from distribute.core.ids import BatchId
from distribute.core.spec.named_inputs import job_files, shared_files
from distribute.core.state.packed import ClosedBatch
from distribute.core.state.state import BatchState, State
from distribute.core.words import counted, format_duration, format_size
from distribute.inputs.laying_out import objects_of
from distribute.limited_log import Trouble
from distribute.ports import Cluster, Only, Raw, StoredInput
from distribute.scratch import scratch_folder
from distribute.slices import in_slices
from distribute.submissions import decode_block, inflate_block

log = logging.getLogger(__name__)

LOOK_EVERY_S = 3 * 3600.0

_SUBMITTED = frozenset({"submitted"})


class Removed(NamedTuple):
    """What was removed: so many inputs, of so many bytes, and what so many broken uploads had left."""

    inputs: int
    size_bytes: int
    uploads: int


class UnusedInputs:
    """Looks for inputs that no batch of `state` names, and removes those unused for `keep_s` seconds.

    `read_on` returns once the state has every event that the log had when it was called.
    """

    def __init__(
        self, cluster: Cluster, state: State, keep_s: float, read_on: Callable[[], Awaitable[None]]
    ) -> None:
        self._cluster = cluster
        self._state = state
        self._keep_s = keep_s
        self._read_on = read_on
        self._seen: dict[str, int] = {}
        """The revisions of the inputs that were found unused at the last look, by SHA-256."""

    async def run(self, look_every_s: float = LOOK_EVERY_S) -> None:
        """Look again and again, without end. Raises `LogReplaced`."""
        trouble = Trouble(log)
        while True:
            await asyncio.sleep(look_every_s)
            try:
                removed = await self.look()
            except LogReplaced:
                raise
            except (DistributeError, OSError) as error:
                trouble.occurs("inputs that no batch names stay in the store: %s", error)
                continue
            trouble.is_over("inputs that no batch names are removed again")
            if removed.inputs:
                log.info(
                    "removed %s (%s) that no batch has named for %s",
                    counted(removed.inputs, "input"),
                    format_size(removed.size_bytes),
                    format_duration(self._keep_s),
                )
            if removed.uploads:
                log.info("removed what %s of inputs had left", counted(removed.uploads, "broken upload"))

    async def look(self) -> Removed:
        """Remove what was found unused at the last look, and is found so again.

        Raises:
            IntegrityError, Refused: nobody knows what some batch names. Nothing is removed.
            StorageFull, OSError: this computer's disk has no room for a list of a folder's contents.
        """
        store = self._cluster.store
        unused = {each.sha256: each async for each in store.inputs_unused_for(self._keep_s)}
        await self._read_on()  # only now: whoever submits later has renewed what he names since
        await self._spare_named(unused)
        again = [each for each in unused.values() if self._seen.get(each.sha256) == each.revision]
        self._seen = {each.sha256: each.revision for each in unused.values()}
        removed = [each.size_bytes for each in again if await store.remove_input(each)]
        return Removed(len(removed), sum(removed), await store.remove_unnamed_inputs(self._keep_s))

    async def _spare_named(self, unused: dict[str, StoredInput]) -> None:
        """Take out of `unused` what is named by a batch that may run, or is an archive of events.

        A compacted batch never runs again, so nobody fetches its inputs. Archives stay even if their batches
        are deleted: they are a part of the log.
        """
        if not unused:
            return
        for moved in await Archives(self._cluster.stream, lambda: self._cluster.store).every():
            for naming in moved.namings:
                unused.pop(naming.event.archive, None)
        listings: dict[str, BatchId] = {}
        state = self._state
        batches: list[BatchState | ClosedBatch] = [*state.batches.values(), *state.packed.values()]
        for batch in batches:
            async with aclosing(self._submissions_of(batch)) as submissions:
                async for raw in submissions:
                    folders = await in_slices(_spare(unused, raw.payload, batch.submissions))
                    if batch.ran_at is None:  # else no node needs it, and it may never have been stored
                        listings |= dict.fromkeys(folders, batch.id)
        for sha256, batch_id in listings.items():
            if unused:
                for contents in await self._objects_in(sha256, batch_id):
                    unused.pop(contents, None)

    async def _submissions_of(self, batch: BatchState | ClosedBatch) -> AsyncGenerator[Raw, None]:
        """The submission of a batch, and those before it that it may continue."""
        stream = self._cluster.stream
        try:
            yield await stream.get_raw(batch.seq)
        except KeyError:
            raise Refused(f"{batch.id} was compacted meanwhile, or the log was replaced") from None
        if batch.continues:
            after, only = batch.first_seq - 1, Only(types=_SUBMITTED, batch=batch.id)
            reading = stream.follow_raw(after=after, until=batch.seq - 1, only=only)
            async with aclosing(reading):
                async for raws in reading:
                    for raw in raws:
                        yield raw

    async def _objects_in(self, listing: str, batch: BatchId) -> Iterable[str]:
        """The SHA-256 of every object that has contents of a folder, by its listing."""
        with scratch_folder("inputs") as folder:
            try:
                await self._cluster.store.get_input(listing, folder / listing)
                return await asyncio.to_thread(objects_of, folder / listing)
            except IntegrityError as error:
                raise IntegrityError(
                    f"the list of an input folder of {batch}, which tells what it needs, is damaged or gone: "
                    f"submit that batch again, or delete it ({error})"
                ) from error


def _spare(
    unused: dict[str, StoredInput], payload: bytes, submissions: tuple[str, ...]
) -> Generator[None, None, list[str]]:
    """Take what a submission names out of `unused`, if it is one of these. Returns its folders' listings.

    Yields after each block of jobs.
    """
    event, blocks = decode_without_jobs(payload)
    if event.id not in submissions:
        return []
    for file in shared_files(event.spec):
        unused.pop(file.stored.sha256, None)
    listings = [folder.sha256 for folder in event.spec.folders or ()]
    for block in blocks:
        yield
        for job in decode_block(event.spec.work.kind, inflate_block(block)):
            for file in job_files(job):
                unused.pop(file.stored.sha256, None)
            listings += [folder.sha256 for folder in job.folders or ()]
    for listing in listings:
        unused.pop(listing, None)
    return listings
