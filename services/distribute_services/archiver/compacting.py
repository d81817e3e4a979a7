"""Move the events of a closed batch out of the stream, into an archive in the store.

The archive is written, stored and read back before `compacted` is appended, and the events are removed
some minutes after that, if the archive can be read then. So a crash in between loses nothing: either no event
names the archive, and the next try writes the same file again, or the archiver finds `compacted` after its
next start, and removes what is left.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import orjson

from distribute.archives import fetch_archive
from distribute.codec import decode_in_slices
from distribute.core.errors import Conflict, IntegrityError, Refused
from distribute.core.folding.waits import waiters_for
from distribute.core.ids import BatchId, check_name
from distribute.core.log.events import ARCHIVER, Compacted
from distribute.core.log.recorded import Append, Guard, Recorded, time_of
from distribute.core.state.packed import ClosedBatch
from distribute.core.state.state import BatchState, State
from distribute.core.telling.listing import rfc3339
from distribute.ports import Cluster, Only, Raw
from distribute.saved.lines import Header
from distribute.saved.reading import SavedFile
from distribute.saved.writing import save
from distribute.scratch import scratch_folder


class Archive(NamedTuple):
    """A file of events in the store: its digest and size, and which events it has."""

    sha256: str
    size_bytes: int
    events: int
    first_seq: int
    last_seq: int


class Wish(NamedTuple):
    """A person wants a batch to be compacted, if it was over before a time, in seconds since 1970."""

    batch: BatchId
    over_before: float
    by: str

    @classmethod
    def read(cls, payload: bytes) -> Wish:
        """The wish in a query. Raises `Refused` if there is none."""
        try:
            asked = orjson.loads(payload)
            batch = BatchId(check_name(asked["namespace"]), check_name(asked["batch"]))
            return cls(batch, float(asked["over_before"]), str(asked["by"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(f"not a question: {error!r}") from error


def closed_batch(state: State, wish: Wish) -> BatchState | ClosedBatch:
    """The batch, if it can be compacted.

    Raises:
        Refused: it can't, and the message says why.
    """
    batch = state.find(wish.batch)
    if batch is None:
        raise Refused(f"{wish.batch} was deleted meanwhile")
    if batch.compacted_at is not None:
        raise Refused(f"{wish.batch} was compacted at {rfc3339(batch.compacted_at)}")
    if batch.end is None or not batch.archived:
        raise Refused(f"{wish.batch} runs again: only a batch that is over and archived can be compacted")
    if (batch.finished_at or 0.0) >= wish.over_before:
        raise Refused(f"{wish.batch} ended again meanwhile, at {rfc3339(batch.finished_at)}")
    waiters = [waiter for waiter in waiters_for(state, wish.batch) if not _is_over(state, waiter)]
    if waiters:
        raise Refused(f"{wish.batch} can't be compacted yet: {waiters[0]} waits for it")
    return batch


def _is_over(state: State, batch: BatchId) -> bool:
    """Is a batch over? If one that it waited for failed, it never began, and is still noted as its waiter."""
    found = state.find(batch)
    return found is None or found.end is not None


def compacted(
    wish: Wish, batch: BatchState | ClosedBatch, archive: Archive, now: float, new_id: Callable[[], str]
) -> Append:
    """The event to append once the archive is stored. Its guard covers everything under the batch."""
    event = Compacted(
        id=new_id(),
        time=time_of(now),
        author=ARCHIVER,
        namespace=wish.batch.namespace,
        batch=wish.batch.batch,
        submission=batch.submission,
        by=wish.by,
        archive=archive.sha256,
        events=archive.events,
        first_seq=archive.first_seq,
        last_seq=archive.last_seq,
    )
    return Append(event, Guard(archive.last_seq, batch.seq))


async def store_archive(cluster: Cluster, batch: BatchState | ClosedBatch) -> Archive:
    """Store the events under a batch's name, also those of deleted batches of that name, and read them back.

    Nothing in the file depends on when it is written: to store it once more takes no more room.

    Raises:
        Refused: the events that an older batch of this name left in an archive can't be read.
        IntegrityError: what was read back is not what was written.
    """
    header = Header(
        cluster=str(batch.id),
        saved_at=rfc3339(batch.finished_at) or "",
        version=version("distribute-lab"),
        batch=list(batch.id),
    )
    with scratch_folder("compacting") as folder:
        written, read_back = folder / "written.gz", folder / "read-back.gz"
        last = await save(cluster.log, written, header, only=Only(batch=batch.id))
        sha256 = await asyncio.to_thread(_digest, written)
        await cluster.store.put_input(written, sha256)
        await cluster.store.get_input(sha256, read_back)
        events, first = await asyncio.to_thread(_checked, read_back)
        if events != last.events or first is None:
            raise IntegrityError(f"the archive of {batch.id} has {events} events, and not {last.events}")
        is_named = await cluster.log.last(batch.id, "compacted") is not None
        if is_named and isinstance(await decode_in_slices(first.payload), Compacted):
            # All before that were removed, and their archive could not be read. If we went on, nobody would
            # look for it any more, even if a backup of it were restored.
            raise Refused(
                f"{batch.id} can't be compacted: the archive of an older batch of this name is damaged or "
                "gone from the store: have a backup of the head's folder restored"
            )
        return Archive(sha256, written.stat().st_size, events, first.seq, last.last_seq)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(path: Path) -> tuple[int, Raw | None]:
    """The number of events in a saved log, and the first, if each line has its digest."""
    events, first = 0, None
    for raws in SavedFile(path).check_chain():
        first = first or (raws[0] if raws else None)
        events += len(raws)
    return events, first


async def compact(
    cluster: Cluster, state: State, wish: Wish, clock: Callable[[], float], new_id: Callable[[], str]
) -> tuple[Archive, int]:
    """Store the archive of a batch, and append `compacted`. Returns that event's sequence, too.

    Raises:
        Refused: the batch can't be compacted, or something happened to it meanwhile.
        IntegrityError: the store does not give back what it was given.
        StorageFull: the store has no room.
    """
    batch = closed_batch(state, wish)
    archive = await store_archive(cluster, batch)
    event, guard, _ = compacted(wish, batch, archive, clock(), new_id)
    try:
        if closed_batch(state, wish).under_seq != archive.last_seq:
            raise _changed(wish)
        return archive, await cluster.log.append(event, guard)
    except (Refused, Conflict) as error:
        other = await cluster.log.last(wish.batch, "compacted")
        if other is not None and isinstance(other.event, Compacted) and other.event.archive == archive.sha256:
            return archive, other.seq  # of two archivers, the other one was faster
        raise error if isinstance(error, Refused) else _changed(wish) from None


async def remove_archived(cluster: Cluster, recorded: Recorded) -> None:
    """Remove from the stream what the archive has that this `compacted` names.

    Raises:
        IntegrityError: the archive can't be read, and nothing is removed: the store lost it, or the event is
            forged.
        StorageFull: this computer's disk is full.
        OSError: this computer's disk can't be written.
    """
    event = recorded.event
    assert isinstance(event, Compacted), "nothing else names an archive"
    with scratch_folder("compacting") as folder:
        await fetch_archive(cluster.store, event, folder)
    await cluster.log.purge(event.scope, before=event.last_seq + 1)


def _changed(wish: Wish) -> Refused:
    return Refused(f"something happened to {wish.batch} meanwhile: try again")
