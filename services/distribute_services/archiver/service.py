"""The archiver's process: `logic` between the event log and the store.

Deliveries are acknowledged once their whole task is done; one cut short by a crash comes again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from functools import partial

from pydantic import ValidationError

from distribute.core import events as ev
from distribute.core.errors import Conflict, IntegrityError
from distribute.core.events import Recorded
from distribute.core.ids import BatchId
from distribute.core.manifest import StoredObject
from distribute.core.manifest_text import read_parts
from distribute.ports import Cluster, Delivery, Only
from distribute.runtime import Failure, draining, new_id, supervise
from distribute_services.archiver.logic import CONSUMED, Absences, Task, task_of, without_outputs

log = logging.getLogger(__name__)

CONSUMER = "archiver"
MAX_TASKS = 256
PROGRESS_EVERY_S = 3.0
"""The broker waits some ten seconds for a word on a delivery."""
PATIENCE_S = 5.0


class ArchiverService:
    """Consumes what finished, commits its outputs, and says that they can be pulled, or never will be.

    `clock` gives seconds since 1970. The simulator passes its own clock and ids.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._new_id = new_id
        self._at_hand: dict[int, Delivery] = {}
        """What is under way, by sequence. Of what came twice, the later delivery."""
        self._appending: set[asyncio.Future[int]] = set()
        self._working: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_TASKS)
        self._absences = Absences()
        self._failure = Failure()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what was begun and not done by then is done after the next start."""
        async with draining(self._appending, PATIENCE_S):
            try:
                await supervise(
                    stop,
                    {
                        "events": self._consume(),
                        "progress": self._tell(),
                        "failures": self._failure.raised(),
                    },
                )
            finally:
                await self._end_work()
        self._failure.check()  # something may fail while the rest is waited for

    async def _end_work(self) -> None:
        """Let what is under way end, but not for ever: what is cut off is delivered again."""
        if self._working:
            _, late = await asyncio.wait(self._working, timeout=PATIENCE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _consume(self) -> None:
        async for delivery in self._cluster.durable(CONSUMER, Only(types=CONSUMED)):
            recorded = delivery.recorded
            is_under_way = recorded.seq in self._at_hand
            self._at_hand[recorded.seq] = delivery
            if is_under_way:
                continue
            task = task_of(recorded, self._clock(), self._new_id)
            if task.objects or task.manifest or task.delete:
                await self._room.acquire()
                working = asyncio.create_task(self._work(recorded, task))
                self._working.add(working)
                working.add_done_callback(self._worked)
            else:
                self._append(recorded.seq, task)

    async def _tell(self) -> None:
        """Say of what is under way that it is: the broker would deliver it again, and again, for as long as
        it takes, be that a large manifest or a broker that takes no events for hours."""
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            for delivery in self._at_hand.values():
                delivery.in_progress()

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure.report(error)

    async def _work(self, recorded: Recorded, task: Task) -> None:
        missing = await self._commit_or_say_what_is_missing(task)
        if missing is not None and not await self._is_deleted(recorded):
            scope = recorded.event.scope
            if not self._absences.settled(recorded.seq):
                log.warning("%s can't be archived, and is looked at again: %s", scope, missing)
                del self._at_hand[recorded.seq]  # not acknowledged: it is delivered again
                return
            log.error("%s can't be archived, and never will be: %s", scope, missing)
            task = without_outputs(task, missing)
        if task.delete is not None:
            await self._delete(task.delete, task.delete_before)
        self._append(recorded.seq, task)

    async def _commit_or_say_what_is_missing(self, task: Task) -> str | None:
        try:
            await self._commit(task)
        except IntegrityError as error:
            return str(error)
        return None

    async def _commit(self, task: Task) -> None:
        store = self._cluster.store
        for stored in task.objects:
            await store.commit_result(stored)
        if task.manifest is None:
            return
        try:
            async with aclosing(store.get_result(task.manifest)) as pieces:
                objects = [part async for part in read_parts(pieces) if isinstance(part, StoredObject)]
        except ValueError as error:
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise IntegrityError(f"{task.manifest.name} is no manifest: {why}") from error
        for stored in objects:
            await store.commit_result(stored)
        await store.commit_result(task.manifest)

    async def _delete(self, batch: BatchId, before: float) -> None:
        await self._cluster.store.delete_results(batch, before)
        log.info("deleted the results of %s", batch)

    async def _is_deleted(self, recorded: Recorded) -> bool:
        """Was the batch deleted since? There may be a new one of its name."""
        if not isinstance(recorded.event, ev.Finished | ev.BuildFinished):
            return False
        last = await self._cluster.log.last(recorded.event.batch_id, "deleted")
        return last is not None and last.seq > recorded.seq

    def _append(self, seq: int, task: Task) -> None:
        if task.append is None:
            self._at_hand.pop(seq).ack()
            return
        future = self._cluster.log.append(task.append.event, task.append.guard)
        self._appending.add(future)
        future.add_done_callback(partial(self._appended, seq))

    def _appended(self, seq: int, future: asyncio.Future[int]) -> None:
        self._appending.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is None or isinstance(error, Conflict):
            self._at_hand.pop(seq).ack()  # a conflict: said already, by this archiver before it was restarted
        else:
            self._failure.report(error)
