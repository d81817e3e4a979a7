"""The scheduler's process: `logic` between the event log and the clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from distribute.core.errors import Conflict, DistributeError
from distribute.core.log.events import NodeEvent
from distribute.core.log.recorded import Append, Recorded
from distribute.core.scheduling.liveness import Lease
from distribute.core.state.batch_record import loading
from distribute.core.state.packing import packable
from distribute.core.words import counted
from distribute.limited_log import LimitedLog
from distribute.ports import Cluster
from distribute.restoring import SNAPSHOT, restore, unread_compaction
from distribute.runtime import Failure, draining, new_id, supervise, unless_stopped
from distribute.slices import in_slices
from distribute.snapshot import join_records
from distribute.snapshot_writer import SnapshotWriter
from distribute_services.scheduler.in_order import InOrder
from distribute_services.scheduler.logic import MOST_AT_ONCE, Scheduler
from distribute_services.scheduler.queries import answer_queries
from distribute_services.scheduler.story import Story
from distribute_services.scheduler.up_to_now import UpToNow

log = logging.getLogger(__name__)

SNAPSHOT_EVERY_EVENTS = 20_000
SNAPSHOT_JOBS_AN_EVENT = 4
"""A snapshot takes 0.4 µs for each job in it, and an event about 60 µs. So snapshots are 1/40 of the work."""
PACK_AFTER_S = 600.0
"""Pack a batch this long after its end. Before that, people are likely to retry or delete it."""
LOOK_EVERY_S = 1.0
PATIENCE_S = 5.0


class SchedulerService:
    """Follows the log, decides, appends; answers queries; keeps a snapshot for its next start.

    `clock` gives seconds since 1970. The simulator passes its clock, its ids, and a `logic` that it watches.
    """

    def __init__(
        self,
        cluster: Cluster,
        lease: Lease,
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_id,
        logic: Callable[..., Scheduler] = Scheduler,
        snapshot_every_events: int = SNAPSHOT_EVERY_EVENTS,
        pack_after_s: float = PACK_AFTER_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._cluster = cluster
        self._lease = lease
        self._clock = clock
        self._new_id = new_id
        self._logic = logic
        self._snapshot_every_events = snapshot_every_events
        self._pack_after_s = pack_after_s
        self._look_every_s = look_every_s
        self._appending: set[asyncio.Future[int]] = set()
        self._in_order = InOrder(self._append, self._refused)
        self._snapshots = SnapshotWriter()
        self._snapshot_seq = 0
        self._snapshot_due_seq = 0
        self._saving: asyncio.Task[None] | None = None
        self._caught_up = asyncio.Event()
        self._failure = Failure()
        self._story: Story | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then save a snapshot and end."""
        scheduler = await unless_stopped(stop, self._begin())
        if scheduler is None:
            return
        self._scheduler = scheduler
        self._up_to_now = UpToNow(self._cluster.log, lambda: scheduler.state.seq)
        self._note_if_caught_up()
        self._snapshot_due_seq = self._next_snapshot_seq()
        self._cluster.on_return(lambda: self._scheduler.was_deaf(self._clock()))
        async with draining(self._appending, PATIENCE_S):
            await supervise(
                stop,
                {
                    "events": self._follow(),
                    "beats": self._listen(),
                    "clock": self._look(),
                    "answers": self._answer(),
                    "appends": self._failure.raised(),
                },
            )
        self._failure.check()  # an append may have failed while we waited for the others
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self._saving is not None:
                    await asyncio.wait({self._saving})
                await self._save()
        except TimeoutError:
            log.warning("no snapshot was saved: the broker did not take it within %s s", PATIENCE_S)

    async def _begin(self) -> Scheduler:
        state = await restore(self._cluster)
        self._snapshot_seq = state.seq
        catch_up_to = await self._cluster.log.last_seq()
        # Ask the clock last: from this moment on, the silence of nodes counts.
        return self._logic(
            state,
            lease=self._lease,
            new_id=self._new_id,
            now=self._clock(),
            catch_up_to=catch_up_to,
        )

    async def _follow(self) -> None:
        scheduler = self._scheduler
        misfits, named = scheduler.state.misfits, LimitedLog(log)
        state = scheduler.state
        async for records in self._cluster.log.follow(after=state.seq, at=state.time):
            await self._before_change(records)
            news = scheduler.deliver(records, self._clock())
            self._up_to_now.folded()
            self._note_if_caught_up()
            await self._decide()
            if self._story is not None:
                self._story.tell(news)
            if scheduler.state.misfits != misfits:
                misfits = scheduler.state.misfits
                named.write("an event did not fit: %s", scheduler.state.last_misfit)
            if scheduler.state.seq >= self._snapshot_due_seq:
                self._begin_save()
            del records, news  # a submission may take 140 MB: free it now, not when the next events come

    def _note_if_caught_up(self) -> None:
        if self._scheduler.caught_up and self._story is None:
            state = self._scheduler.state
            nodes = sum(node.presence == "here" for node in state.nodes.values())
            batches = sum(batch.end is None for batch in state.batches.values())
            log.info(
                "scheduling from event %d on: %s, %s to run",
                state.seq, counted(nodes, "node"), counted(batches, "batch", "batches"),
            )  # fmt: skip
            self._story = Story(state)
            self._caught_up.set()

    async def _before_change(self, records: Sequence[Recorded]) -> None:
        """Return when the batches of these events may change: the snapshot that is being written has them,
        and they are unpacked. Unpacks them in slices; the fold would unpack a large one in one go."""
        state = self._scheduler.state
        if not self._snapshots.is_writing and not state.packed:
            return
        events = (recorded.event for recorded in records)
        batch_ids = {event.batch_id for event in events if not isinstance(event, NodeEvent)}
        await self._snapshots.before_change(batch_ids)
        for batch_id in sorted(batch_ids & state.packed.keys()):
            packed = state.packed[batch_id]
            self._scheduler.agenda.unpacked(await in_slices(loading(packed.fixed, packed.changing)))

    async def _listen(self) -> None:
        async for beat in self._cluster.beats.follow():
            self._scheduler.hear(beat, self._clock())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_s)
            if self._cluster.connected:
                self._scheduler.tick(self._clock())
                self._tell_of_silence()
                await self._decide()

    def _tell_of_silence(self) -> None:
        if self._story is not None:
            agenda = self._scheduler.agenda
            nodes, liveness, now = agenda.state.nodes, agenda.liveness, agenda.now
            self._story.look(agenda.silent, lambda name: liveness.silent_since(nodes[name], now), now)

    async def _answer(self) -> None:
        """Answer queries once the state is up to date. Before that, clients fold the log themselves."""
        await self._caught_up.wait()
        async with answer_queries(self._cluster, self._scheduler, self._snapshots, self._up_to_now):
            await self._failure.raised()

    async def _decide(self) -> None:
        """Decide and append, in short turns of the event loop."""
        pending = self._scheduler.agenda.pending
        self._in_order.forget(pending.has)
        while True:
            made = self._scheduler.decide(self._clock())
            for append in made:
                self._in_order.append(append)
            if len(made) < MOST_AT_ONCE and not self._scheduler.has_more:
                return
            await asyncio.sleep(0)

    def _append(self, append: Append) -> asyncio.Future[int]:
        future = self._cluster.log.append(append.event, append.guard)
        self._appending.add(future)
        future.add_done_callback(partial(self._appended, append))
        return future

    def _appended(self, append: Append, future: asyncio.Future[int]) -> None:
        self._appending.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            self._refused(append, error)

    def _refused(self, append: Append, error: BaseException) -> None:
        """Handle that an event was not appended: a guard refused it, or one that it had to be behind."""
        if isinstance(error, Conflict):
            # Don't decide here: we decide when the other event comes, or at the next tick.
            self._scheduler.refused(append, error.beaten_by_seq)
        else:
            self._failure.report(error)

    # --- snapshots, and what they let us pack ------------------------------------------------------

    def _next_snapshot_seq(self) -> int:
        """The sequence at which the next snapshot is due.

        A snapshot takes time in proportion to the jobs of unpacked batches. With more jobs we make fewer.
        """
        state = self._scheduler.state
        jobs = sum(len(batch.names) for batch in state.batches.values())
        return state.seq + max(self._snapshot_every_events, jobs // SNAPSHOT_JOBS_AN_EVENT)

    def _begin_save(self) -> None:
        if self._saving is None or self._saving.done():
            if self._saving is not None:
                self._saving.result()
            self._saving = asyncio.create_task(self._save(), name="snapshot")
            self._snapshot_due_seq = self._next_snapshot_seq()

    async def _save(self) -> None:
        state = self._scheduler.state
        if state.seq == self._snapshot_seq:
            return
        self._snapshot_seq = state.seq
        try:
            records = await self._snapshots.records(state)
            await self._pack()
            unread_seq = await unread_compaction(self._cluster.log, records.seq)
            if unread_seq is not None:
                log.info("no state is saved before event %d is read: it moved events", unread_seq)
                self._snapshot_due_seq = unread_seq
                return
            await self._cluster.store.put_snapshot(SNAPSHOT, join_records(records.all()))
        except DistributeError as error:
            # Without it the next start takes longer. That is no reason to stop scheduling.
            log.warning("no snapshot was saved: %s", error)
        else:
            log.info("saved the state at event %d", self._snapshot_seq)

    async def _pack(self) -> None:
        """Pack batches that ended a while ago: keep only the records that the snapshot has of them."""
        state = self._scheduler.state
        for batch_id in packable(state, self._clock() - self._pack_after_s):
            batch = state.batches.get(batch_id)
            records = self._snapshots.records_of(batch) if batch is not None else None
            del batch
            if records is not None:
                self._scheduler.agenda.pack(batch_id, *records)
                await asyncio.sleep(0)  # freeing 100,000 jobs takes 10 ms
