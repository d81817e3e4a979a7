"""The archiver's process: `logic` between the event log and the store.

A task that a crash cuts short is repeated after the next start. The state lists unarchived outputs of jobs.
For its other tasks, the archiver keeps a note of how far it has come.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing

import orjson
from pydantic import ValidationError

from distribute.client.about import serving_about
from distribute.core.errors import Conflict, DistributeError, IntegrityError, LogReplaced
from distribute.core.files.manifest import Manifest, StoredObject
from distribute.core.files.manifest_text import read_parts
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.spec.named_inputs import DEFAULT_INPUTS_KEEP_S
from distribute.core.state.packing import pack, packable
from distribute.core.state.state import State
from distribute.limited_log import Trouble
from distribute.ports import Cluster, Only
from distribute.restoring import restore
from distribute.runtime import Failure, new_id, supervise, unless_stopped
from distribute.snapshot_writer import write_batch
from distribute_services.archiver.compacting import Wish, compact, remove_archived
from distribute_services.archiver.logic import CHORES, Backlog, archived, foreign_names
from distribute_services.archiver.unused_inputs import LOOK_EVERY_S, UnusedInputs

log = logging.getLogger(__name__)

NOTE = "archiver"
"""The name of the snapshot that holds the note of how far the archiver has come."""
NOTE_EVERY_S = 5.0
MAX_TASKS = 256
MISSING_AFTER = 3
LOOK_AGAIN_S = 10.0
"""We look `MISSING_AFTER` times for missing outputs, `LOOK_AGAIN_S` seconds apart, before we give up. No
chunk can be late: the broker acknowledged each before the node wrote the event that names it."""
PACK_EVERY_EVENTS = 20_000
PACK_AFTER_S = 600.0
"""After this many events, pack the batches that ended this long ago."""
PATIENCE_S = 5.0
REMOVE_AFTER_S = 180.0
"""The events in an archive are removed so long after `compacted`: by then a broker that syncs its files every
two minutes, as NATS does by default, has that event on its disk, and readers that began before have ended."""
REMOVE_AGAIN_S = 60.0


class ArchiverService:
    """Commits the outputs of finished jobs and builds, and announces that they can be pulled, or are lost.

    `clock` gives seconds since 1970. The simulator passes its own clock and ids.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_id,
        pack_every_events: int = PACK_EVERY_EVENTS,
        pack_after_s: float = PACK_AFTER_S,
        remove_after_s: float = REMOVE_AFTER_S,
        inputs_keep_s: float = DEFAULT_INPUTS_KEEP_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._new_id = new_id
        self._pack_every_events = pack_every_events
        self._pack_after_s = pack_after_s
        self._remove_after_s = remove_after_s
        self._inputs_keep_s = inputs_keep_s
        self._look_every_s = look_every_s
        self._room = asyncio.Semaphore(MAX_TASKS)
        self._working: set[asyncio.Task[None]] = set()
        self._noted = 0
        self._no_note = Trouble(log)
        self._news = asyncio.Condition()
        """Notified when events were folded."""
        self._failure = Failure()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Unfinished tasks are done after the next start."""
        backlog = await unless_stopped(stop, self._begin())
        if backlog is None:
            return
        self._backlog = backlog
        log.info("archiving from event %d on", backlog.state.seq)
        unused = UnusedInputs(self._cluster, backlog.state, self._inputs_keep_s, self._read_on)
        try:
            await supervise(
                stop,
                {
                    "events": self._follow(),
                    "tasks": self._begin_tasks(),
                    "removals": self._remove_archived(),
                    "unused inputs": unused.run(self._look_every_s),
                    "notes": self._keep_note(),
                    "requests": self._serve(),
                    "failures": self._failure.raised(),
                },
            )
        finally:
            await self._end_tasks()
        self._failure.check()  # a task may fail while we wait for the others
        await self._note()

    # --- the state -----------------------------------------------------------------------------------

    async def _begin(self) -> Backlog:
        """The current state, and all open tasks."""
        cluster = self._cluster
        state, end = await restore(cluster), await cluster.log.last_seq()
        backlog = Backlog(state, catch_up_to=end)
        restored_seq = state.seq
        self._noted = min(await self._read_note(), restored_seq)
        backlog.begin(self._noted)
        if self._noted < restored_seq:
            recalling = cluster.log.follow(after=self._noted, only=Only(types=CHORES), until=restored_seq)
            async with aclosing(recalling) as chores:
                async for records in chores:
                    for recorded in records:
                        backlog.recall(recorded)
        if restored_seq < end:
            tail = cluster.log.follow(after=restored_seq, at=backlog.state.time, until=end)
            async with aclosing(tail):
                async for records in tail:
                    for recorded in records:
                        backlog.deliver(recorded)
        return backlog

    async def _follow(self) -> None:
        state = self._backlog.state
        packed_at_seq = state.seq
        async for records in self._cluster.log.follow(after=state.seq, at=state.time):
            for recorded in records:
                self._backlog.deliver(recorded)
            del recorded, records  # a submission may take 140 MB: free it before we wait
            async with self._news:
                self._news.notify_all()
            if state.seq >= packed_at_seq + self._pack_every_events:
                packed_at_seq = state.seq
                await self._pack(state)

    async def _pack(self, state: State) -> None:
        """Hold the batches that ended a while ago as bytes. Nothing is folded meanwhile."""
        for batch_id in packable(state, self._clock() - self._pack_after_s):
            pack(state, batch_id, *await write_batch(state.batches[batch_id]))

    async def _folded(self, seq: int) -> None:
        """Wait until the state has this sequence in it."""
        async with self._news:
            await self._news.wait_for(lambda: self._backlog.state.seq >= seq)

    async def _read_on(self) -> None:
        """Wait until the state has all that the log has now."""
        await self._folded(await self._cluster.log.last_seq())

    async def _read_note(self) -> int:
        try:
            data = await self._cluster.store.get_snapshot(NOTE)
            return int(orjson.loads(data)["done_until"]) if data else 0
        except (IntegrityError, ValueError, KeyError, TypeError) as error:
            log.warning(
                "the note of how far the archiver came can't be used, it looks at all again: %s", error
            )
            return 0

    async def _keep_note(self) -> None:
        while True:
            await asyncio.sleep(NOTE_EVERY_S)
            await self._note()

    async def _note(self) -> None:
        """Note how far the archiver has come. If that fails, the next start only takes longer."""
        done_until = self._backlog.done_until
        if done_until == self._noted:
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._cluster.store.put_snapshot(NOTE, orjson.dumps({"done_until": done_until}))
        except (DistributeError, TimeoutError) as error:
            self._no_note.occurs("can't note how far the archiver has come: %s", str(error) or "no answer")
        else:
            self._no_note.is_over("the note of how far the archiver has come is written again")
            self._noted = done_until

    # --- tasks ---------------------------------------------------------------------------------------

    async def _begin_tasks(self) -> None:
        """Begin tasks, a limited number at a time. The others wait in the backlog."""
        while True:
            await self._room.acquire()
            while (seq := self._backlog.next()) is None:
                async with self._news:
                    await self._news.wait()
            task = asyncio.create_task(self._see_to(seq), name=f"event {seq}")
            self._working.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure.report(error)

    async def _end_tasks(self) -> None:
        """Wait for running tasks for a limited time, then cancel them."""
        if not self._working:
            return
        _, late = await asyncio.wait(self._working, timeout=PATIENCE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _see_to(self, seq: int) -> None:
        """Do the task of the event at this sequence. Raises `LogReplaced` if the log does not have it."""
        recorded = self._backlog.take(seq) or await self._read(seq)
        event = recorded.event
        match event:
            case ev.Deleted():
                await self._cluster.store.delete_results(event.scope, recorded.time)
                log.info("deleted the results of %s", event.scope)
            case ev.Submitted() if event.replaces is not None:
                if self._backlog.is_wanted(recorded):  # else it is gone itself, and so is all that it kept
                    kept = self._backlog.kept(event.scope)
                    await self._cluster.store.delete_results(event.scope, recorded.time, kept)
                    log.info("deleted the results of %s, but for those of %d jobs", event.scope, len(kept))
            case ev.Finished() | ev.Yielded() | ev.Collected() | ev.BuildFinished() | ev.BuildCollected():
                await self._archive(recorded, event)
            case _:
                raise _other_log(seq)
        self._backlog.done(seq)

    async def _remove_archived(self) -> None:
        """Remove from the stream what archives have, one batch after another, each after a while."""
        trouble = Trouble(log)
        while True:
            while (recorded := self._backlog.next_compaction()) is None:
                async with self._news:
                    await self._news.wait()
            age_s = max(0.0, self._clock() - recorded.time)  # by two clocks
            await asyncio.sleep(max(0.0, self._remove_after_s - age_s))
            while True:
                if await self._removed(recorded, trouble):
                    break
                await asyncio.sleep(REMOVE_AGAIN_S)
            self._backlog.done(recorded.seq)

    async def _removed(self, recorded: Recorded, trouble: Trouble) -> bool:
        """Remove what an archive has, unless that can't be read. Returns False if it is to be tried again."""
        event = recorded.event
        assert isinstance(event, ev.Compacted), "only such events are held for this"
        try:
            await remove_archived(self._cluster, recorded)
        except IntegrityError as error:
            why = "the events of %s stay in the log, as their archive can't be read: %s"
            log.error(why, event.scope, error)  # noqa: TRY400 - the cause is in it
        except LogReplaced:
            raise
        except (DistributeError, OSError) as error:
            trouble.occurs("can't remove the events of %s, which are in an archive: %s", event.scope, error)
            return False
        else:
            trouble.is_over("the events in archives are removed again")
            log.info(
                "moved %d events of %s into an archive, as %s wanted", event.events, event.scope, event.by
            )
        return True

    async def _serve(self) -> None:
        """Compact batches, one at a time, as people ask for it, and answer what this is."""

        async def handle(payload: bytes) -> bytes:
            wish = Wish.read(payload)
            await self._read_on()  # whoever asks may have acted just now
            archive, seq = await compact(self._cluster, self._backlog.state, wish, self._clock, self._new_id)
            await self._folded(seq)
            return orjson.dumps({"events": archive.events, "size_bytes": archive.size_bytes})

        queries = self._cluster.queries
        async with queries.serving("compact", handle, at_work=1), serving_about(queries, "archiver"):
            await self._failure.raised()

    async def _read(self, seq: int) -> Recorded:
        try:
            return await self._cluster.log.get(seq)
        except KeyError:
            raise _other_log(seq) from None

    async def _archive(self, recorded: Recorded, event: ev.AttemptEnd | ev.BuildEnd) -> None:
        missing = None
        for times in range(MISSING_AFTER):
            if times:
                log.warning("%s can't be archived yet; trying again: %s", event.scope, missing)
                await asyncio.sleep(LOOK_AGAIN_S)
            if not self._backlog.is_wanted(recorded):
                return
            missing = await self._commit_or_say_what_is_missing(event)
            if missing is None:
                break
        else:
            log.error("%s can't be archived, and never will be: %s", event.scope, missing)
        if isinstance(event, ev.AttemptEnd):
            await self._announce(recorded, missing)

    async def _announce(self, recorded: Recorded, missing: str | None) -> None:
        """Append `job_archived`, as long as the state needs it.

        A guard may be refused because of events that change nothing.
        """
        while self._backlog.is_wanted(recorded):
            event, guard, _ = archived(self._backlog.state, recorded, missing, self._clock(), self._new_id)
            try:
                await self._folded(await self._cluster.log.append(event, guard))
            except Conflict as conflict:
                await self._folded(conflict.beaten_by_seq)

    async def _commit_or_say_what_is_missing(self, event: ev.AttemptEnd | ev.BuildEnd) -> str | None:
        try:
            await self._commit(event)
        except IntegrityError as error:
            return str(error)
        return None

    async def _commit(self, event: ev.AttemptEnd | ev.BuildEnd) -> None:
        store, outputs = self._cluster.store, event.outputs
        if outputs is None:
            return
        objects: list[StoredObject] = list((outputs.inline or Manifest()).objects)
        if outputs.stored is not None:
            _refuse_foreign(event, [outputs.stored])
            objects += await self._objects_of(outputs.stored)
            objects.append(outputs.stored)
        _refuse_foreign(event, objects)
        for stored in objects:
            await store.commit_result(stored)

    async def _objects_of(self, manifest: StoredObject) -> list[StoredObject]:
        try:
            async with aclosing(self._cluster.store.get_result(manifest)) as pieces:
                return [part async for part in read_parts(pieces) if isinstance(part, StoredObject)]
        except ValueError as error:
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise IntegrityError(f"{manifest.name} is no manifest: {why}") from error


def _other_log(seq: int) -> LogReplaced:
    return LogReplaced(
        f"event {seq} of the log is not there any more, or is another one; was the log restored from an older"
        " copy?"
    )


def _refuse_foreign(event: ev.AttemptEnd | ev.BuildEnd, objects: list[StoredObject]) -> None:
    """Raise `IntegrityError` if an object belongs to another job, which alone may commit it."""
    foreign = foreign_names(event, iter(objects))
    if foreign:
        raise IntegrityError(f"{foreign[0]} is not an object of {event.scope}")
