"""Files in JetStream's object store: inputs by digest, results by name, and snapshots.

| bucket | name of an object | its chunks, behind `$O.<bucket>.C.` |
|---|---|---|
| inputs | the sha256 | `<sha256>.<ulid>` |
| results | `NAMESPACE/BATCH/JOB/ATTEMPT/N` | `<node>.<namespace>.<batch>.<job>.<attempt>.<n>.<ulid>` |
| snapshots | any | `<name>.<ulid>` |

So permissions can confine a node to its own subjects, one wildcard matches all chunks of a batch, and a
chunk's subject tells the name of its object, committed or not. Every method waits while the broker is away,
however long that lasts.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Container
from contextlib import aclosing
from math import inf
from pathlib import Path
from weakref import WeakValueDictionary

from distribute.core.errors import IntegrityError, Refused, StorageFull
from distribute.core.files.manifest import StoredObject, job_of
from distribute.core.ids import BatchId
from distribute.core.spec.named_inputs import RENEW_INPUTS_AFTER_S
from distribute.inputs.sources import Source, as_source
from distribute.nats.client.connection import Connection
from distribute.nats.objects.bucket import Bucket, Meta, Named, Superseded
from distribute.nats.objects.chunk_reader import ChunkReader
from distribute.nats.objects.chunk_sender import ChunkSender, Sent
from distribute.nats.objects.fetch import Wanted, fetch
from distribute.nats.objects.result_names import check_nuid, chunks_of_batch, name_of, place_of
from distribute.nats.stream.publisher import Publisher
from distribute.nats.stream.tokens import escape
from distribute.ports import OnDone, StoredInput, tell_nobody

_SMALL_AT_ONCE = 64
"""Maximum number of one-chunk files in transfer at once: enough to hide the latency of each."""
_LARGE_AT_ONCE = 3
"""Maximum number of larger files in transfer. Each fills the connection and holds a window of memory."""
_PURGES_AT_ONCE = 32


class JetStreamStore:
    """`ports.ArtifactStore` on JetStream."""

    def __init__(self, connection: Connection) -> None:
        self._publisher = Publisher(connection)
        self._reader = ChunkReader(connection)
        self._sender = ChunkSender(connection, self._publisher, self._reader)
        self._inputs = Bucket(connection, self._publisher, "inputs")
        self._results = Bucket(connection, self._publisher, "results")
        # A job must not fail because the broker hangs, so transfers of inputs and results wait for ever.
        self._inputs_awaited = Bucket(connection, self._publisher, "inputs", give_up_after_s=inf)
        self._results_awaited = Bucket(connection, self._publisher, "results", give_up_after_s=inf)
        self._snapshots = Bucket(connection, self._publisher, "snapshots")
        self._small = asyncio.Semaphore(_SMALL_AT_ONCE)
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._input_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def close(self) -> None:
        """Abort the transfers under way. Transfers that the caller awaited before are stored."""
        await self._publisher.close()
        self._sender.close()
        self._reader.close()

    # --- inputs ---

    async def put_input(self, content: Path | Source, sha256: str, on_done: OnDone = tell_nobody) -> None:
        """Store a content under its digest, unless the store has all of its chunks already.

        What it has is renewed: its meta is stored again, if it is older than `RENEW_INPUTS_AFTER_S`. May be
        called any number of times at once. The number of concurrent transfers is limited, and each digest is
        sent once.

        Raises:
            IntegrityError: the content has another digest.
            StorageFull: the broker has no room.
            InputError: a file of which it is a part was changed.
            OSError: a file can't be read.
        """
        source = as_source(content)
        lock = self._input_locks.setdefault(sha256, asyncio.Lock())
        large = source.size_bytes > self._sender.chunk_bytes
        async with lock, self._slot(large):
            found = await self._inputs.meta(sha256, latest=False)
            while True:
                try:
                    if found is None or not await self._renewed(found):
                        # A store that lost a chunk gets the whole input again.
                        replacing = found.seq if found is not None else 0
                        await self._send_input(source, sha256, replacing, on_done)
                except Superseded:
                    # Another writer stored or renewed the same content, or the archiver removed it.
                    found = await self._inputs.meta(sha256, latest=True)
                else:
                    return

    async def _renewed(self, found: Named) -> bool:
        """Make an input count as just sent, if the store has all of it. Returns False if it has not.

        Raises `Superseded` if it was removed or replaced meanwhile, or a replica did not know the newest.
        """
        chunks, now = await self._inputs.count_now(found.meta.nuid)
        if chunks != found.meta.chunks:
            return False
        if now - found.time >= RENEW_INPUTS_AFTER_S:
            await self._inputs.put_meta(found.meta, replacing=found.seq, wait_for_room=False)
        return True

    async def _send_input(self, source: Source, sha256: str, replacing: int, on_done: OnDone) -> None:
        """Send an input and give it its name. Raises `Superseded` if its name was given meanwhile."""
        async with aclosing(_pieces_of(source, self._sender.chunk_bytes)) as pieces:
            sent = await self._sender.send(self._inputs, sha256, pieces, wait_for_room=False, on_done=on_done)
        if sent.sha256 != sha256:
            await self._inputs.purge(self._inputs.chunk_subject(sent.nuid))
            raise IntegrityError(
                f"{source.label}: its content has the digest {sent.sha256}, not {sha256}: "
                "it was changed after it was listed; submit again"
            )
        await self._give_name(self._inputs, sha256, sent, replacing=replacing)

    async def get_input(self, sha256: str, path: Path) -> None:
        """Write an input to `path`, which appears only once the digest is right.

        Waits for a broker that does not answer, however long that lasts.

        Raises:
            IntegrityError: it is not there, or damaged.
            StorageFull: this computer's disk is full.
            OSError: `path` can't be written.
        """
        found = await self._inputs_awaited.meta(sha256, latest=False) or await self._inputs_awaited.meta(
            sha256, latest=True
        )
        if found is None:
            raise IntegrityError(
                f"input {sha256}: the cluster's store does not have it; submit the batch again"
            )
        meta = found.meta
        wanted = Wanted(self._inputs_awaited, f"input {sha256}", meta.nuid, meta.chunks, sha256)
        async with self._slot(meta.chunks > 1):
            await fetch(self._reader, wanted, path)

    async def inputs_unused_for(self, unused_s: float) -> AsyncGenerator[StoredInput, None]:
        """As `ports.ArtifactStore.inputs_unused_for`."""
        before = await self._inputs.now() - unused_s
        async with aclosing(self._inputs.metas()) as metas:
            async for meta, seq, time in metas:
                if time >= before:
                    return
                yield StoredInput(meta.name, meta.size_bytes, seq)

    async def remove_input(self, unused: StoredInput) -> bool:
        """As `ports.ArtifactStore.remove_input`.

        First its meta goes, unless a newer one stands there. A renewal that comes after that is refused,
        because the meta that it replaces is gone. So nobody can have renewed it when its chunks go. Who sends
        it again has other chunks.
        """
        inputs = self._inputs
        found = await inputs.meta(unused.sha256, latest=True)
        if found is None or found.seq != unused.revision:
            return False
        await inputs.purge(inputs.meta_subject(unused.sha256), before_seq=found.seq + 1)
        newer = await inputs.meta(unused.sha256, latest=True)
        if newer is not None and newer.meta.nuid == found.meta.nuid:
            return False  # it was renewed just before
        await inputs.purge(inputs.chunk_subject(found.meta.nuid))
        return True

    async def remove_unnamed_inputs(self, unused_s: float) -> int:
        """As `ports.ArtifactStore.remove_unnamed_inputs`."""
        inputs, at_once = self._inputs, asyncio.Semaphore(_PURGES_AT_ONCE)
        before_seq = await inputs.seq_at(await inputs.now() - unused_s)
        prefix = inputs.chunk_subject("")

        async def is_removed(nuid: str) -> bool:
            async with at_once:
                try:
                    named = await inputs.meta(nuid.partition(".")[0], latest=True)
                except IntegrityError:
                    return False  # what somebody else wrote there may be about it
                if named is not None and named.meta.nuid == nuid:
                    return False
                if await inputs.last_seq(nuid) >= before_seq:
                    return False  # somebody may be sending it
                await inputs.purge(inputs.chunk_subject(nuid), before_seq=before_seq)
                return True

        found = [subject.removeprefix(prefix) for subject in await inputs.subjects(f"{prefix}>")]
        return sum(await asyncio.gather(*map(is_removed, found)))

    # --- results ---

    async def put_result(self, name: str, node: str, source: AsyncIterator[bytes]) -> StoredObject:
        """Send a result's chunks. The object gets its name only by `commit_result`.

        Waits while the broker has no room, so that no result is lost.
        """
        sent = await self._sender.send(
            self._results_awaited, place_of(name, node), source, wait_for_room=True
        )
        return StoredObject(
            name=name, nuid=sent.nuid, size_bytes=sent.size_bytes, chunks=sent.chunks, sha256=sent.sha256
        )

    async def has_result(self, stored: StoredObject) -> bool:
        """As `ports.ArtifactStore.has_result`. It counts the chunks, and reads none."""
        check_nuid(stored)
        async with self._small:
            return await self._results.count(stored.nuid) == stored.chunks

    async def commit_result(self, stored: StoredObject) -> None:
        """Check that every chunk is there and give the object its name. May be repeated.

        Raises:
            IntegrityError: there are too few or too many chunks, or they lie on a subject of another object.
        """
        check_nuid(stored)
        found = await self._results.count(stored.nuid)
        if found != stored.chunks:
            raise IntegrityError(f"result {stored.name}: {found} chunks are stored, not {stored.chunks}")
        meta = Meta(
            name=stored.name,
            nuid=stored.nuid,
            size_bytes=stored.size_bytes,
            chunks=stored.chunks,
            sha256=stored.sha256,
            chunk_bytes=self._sender.chunk_bytes,
        )
        await self._results.put_meta(meta)

    async def get_result(self, stored: StoredObject) -> AsyncGenerator[bytes, None]:
        """Read the bytes of a result.

        Raises:
            IntegrityError: chunks are missing; or, at the end, the bytes differ from the digest.
        """
        check_nuid(stored)
        async with aclosing(self._verified(self._results, f"result {stored.name}", stored)) as pieces:
            async for piece in pieces:
                yield piece

    async def fetch_result(self, stored: StoredObject, path: Path, on_done: OnDone = tell_nobody) -> None:
        """Write a result to `path`, which appears only once the digest is right. Resumes an earlier try.

        Raises:
            IntegrityError: it is not there, or damaged.
            StorageFull: this computer's disk is full.
            OSError: `path` can't be written.
        """
        check_nuid(stored)
        wanted = Wanted(self._results, f"result {stored.name}", stored.nuid, stored.chunks, stored.sha256)
        async with self._slot(stored.chunks > 1):
            await fetch(self._reader, wanted, path, on_done)

    async def delete_results(self, batch: BatchId, before: float, but: Container[str] = ()) -> None:
        """As `ports.ArtifactStore.delete_results`."""
        before_seq = await self._results.seq_at(before)
        chunks = self._results.chunk_subject(chunks_of_batch(batch))
        prefix = self._results.chunk_subject("")
        found = {
            subject: name_of(subject.removeprefix(prefix)) for subject in await self._results.subjects(chunks)
        }
        gone = {subject: name for subject, name in found.items() if job_of(name) not in but}
        at_once = asyncio.Semaphore(_PURGES_AT_ONCE)

        async def forget(name: str) -> None:
            async with at_once:
                found = await self._results.meta(name, latest=True)
                # The name may belong to a later object by now, so we look at the age of its chunks. The
                # meta may be younger than `before`, if an old object was committed late.
                if found is not None and await self._results.last_seq(found.meta.nuid) < before_seq:
                    await self._results.purge(self._results.meta_subject(name), before_seq=found.seq + 1)

        async def purge(subject: str) -> None:
            async with at_once:
                await self._results.purge(subject, before_seq=before_seq)

        # The chunks tell the names, so they go last: then an interrupted deletion can be repeated.
        async with asyncio.TaskGroup() as group:
            for name in set(gone.values()):
                group.create_task(forget(name))
        async with asyncio.TaskGroup() as group:
            for subject in gone if len(gone) < len(found) else [chunks]:
                group.create_task(purge(subject))

    # --- snapshots ---

    async def put_snapshot(self, name: str, data: bytes) -> None:
        """Replace a snapshot. A reader gets either the whole old or the whole new one.

        Raises:
            Refused: another process replaced it meanwhile, and its snapshot stays.
            StorageFull: the broker has no room.
        """
        await self._put_snapshot(name, data, await self._snapshots.meta(name, latest=True))

    async def replace_snapshot(self, name: str, old: bytes | None, new: bytes) -> None:
        """As `ports.ArtifactStore.replace_snapshot`. It compares digests, and reads no chunk."""
        found = await self._snapshots.meta(name, latest=True)
        expected = None if old is None else hashlib.sha256(old).hexdigest()
        if expected != (found.meta.sha256 if found is not None else None):
            raise Refused(f"snapshot {name}: another process has replaced it, and its own stands")
        await self._put_snapshot(name, new, found)

    async def _put_snapshot(self, name: str, data: bytes, old: Named | None) -> None:
        source = _whole(data)
        sent = await self._sender.send(self._snapshots, escape(name), source, wait_for_room=False)
        try:
            await self._give_name(self._snapshots, name, sent, replacing=old.seq if old is not None else 0)
        except Superseded:
            raise Refused(
                f"snapshot {name}: another process replaced it meanwhile, and its own stands"
            ) from None

    async def get_snapshot(self, name: str) -> bytes | None:
        """Read the last snapshot of a name. Returns None if there is none.

        Raises:
            IntegrityError: it is damaged.
        """
        found = await self._snapshots.meta(name, latest=True)
        while found is not None:
            meta = found.meta
            try:
                async with aclosing(self._verified(self._snapshots, f"snapshot {name}", meta)) as pieces:
                    return b"".join([piece async for piece in pieces])
            except IntegrityError:
                # If another process replaced it meanwhile, its chunks are gone, and we read the new one.
                found = await self._snapshots.meta(name, latest=True)
                if found is not None and found.meta.nuid == meta.nuid:
                    raise
        return None

    # --- all of them ---

    def _slot(self, large: bool) -> asyncio.Semaphore:
        return self._large if large else self._small

    async def _give_name(self, bucket: Bucket, name: str, sent: Sent, *, replacing: int) -> None:
        """Store the meta of sent chunks, unless another writer did so first, and remove unused chunks.

        Unused are the chunks of the object that it replaces, of writers that died, and of writers that are
        still sending. Those began before the name was given, so their guard will fail.
        """
        own = bucket.chunk_subject(sent.nuid)
        siblings = bucket.chunk_subject(f"{sent.nuid.rpartition('.')[0]}.*")
        # For a small new object, looking for unused chunks costs more than they could free.
        found = await bucket.subjects(siblings) if sent.chunks > 1 or replacing else []
        meta = Meta(name, sent.nuid, sent.size_bytes, sent.chunks, sent.sha256, sent.chunk_bytes)
        try:
            await bucket.put_meta(meta, replacing=replacing, wait_for_room=False)
        except (Superseded, StorageFull):
            await bucket.purge(own)
            raise
        for useless in found:
            if useless != own:
                await bucket.purge(useless)

    async def _verified(
        self, bucket: Bucket, label: str, stored: StoredObject | Meta
    ) -> AsyncGenerator[bytes, None]:
        """Read an object's bytes, and hash them in a thread meanwhile."""
        hasher = hashlib.sha256()
        loop = asyncio.get_running_loop()
        async with aclosing(self._reader.read(bucket, stored.nuid, stored.chunks)) as arrivals:
            async for chunks in arrivals:
                pieces = [chunk.data for chunk in chunks]
                hashing = loop.run_in_executor(None, lambda pieces: [*map(hasher.update, pieces)], pieces)
                for piece in pieces:
                    yield piece
                await hashing
        if hasher.hexdigest() != stored.sha256:
            raise IntegrityError(f"{label}: the bytes stored do not have the digest {stored.sha256}")


async def _pieces_of(source: Source, piece_bytes: int) -> AsyncGenerator[bytes, None]:
    """The bytes of a source, read in a thread. An empty one has one empty piece."""
    pieces = source.pieces(piece_bytes)
    piece = await asyncio.to_thread(next, pieces, b"")
    yield piece
    while len(piece) == piece_bytes and (piece := await asyncio.to_thread(next, pieces, b"")):
        yield piece


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
