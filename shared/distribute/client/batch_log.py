"""Reading one batch's events from the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.standing import ask_standing
from distribute.core.log.events import BatchEvent, Event, Submitted, types_of
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory
from distribute.ports import Only
from distribute.saved.log import SavedLog

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.core.log.recorded import Recorded
    from distribute.core.state.state import BatchState
    from distribute.ports import Cluster

BATCH_TYPES = types_of(BatchEvent)
"""The types of the events of a batch's own scope."""

ENDS = frozenset({"completed", "deleted"})
"""The types of the events without which no batch is over."""


class BatchReader:
    """Hands one batch's events to `fold`, each once, in order, from its submission on.

    If it replaced another and kept jobs, that one's come first. Events of deleted batches of the same name
    come, too, unless the scheduler says where they end.
    """

    def __init__(self, cluster: Cluster, batch: BatchId, fold: Callable[[Recorded], object]) -> None:
        self._cluster = cluster
        self._batch = batch
        self._log = cluster.log
        self._only = Only(batch=batch)
        self._fold = fold
        self._read_seq: int | None = None
        self._read_at: float | None = None
        """The log's time of the event at `_read_seq`, if that is known."""

    async def read_to_now(self) -> None:
        """Read what is in the log by now."""
        now, at = await self._log.end()
        if self._read_seq is None:
            self._read_seq = await _beginning(self._cluster, self._batch, now)
        if now <= self._read_seq:
            return
        async for events in self._log.follow(
            after=self._read_seq, at=self._read_at, only=self._only, until=now
        ):
            self._take(events)
            await asyncio.sleep(0)  # a service has other work to do
        self._read_seq, self._read_at = now, at

    async def changes(self) -> AsyncGenerator[None, None]:
        """Read to now, then on and on. Yields once it is up to now, and after whatever comes."""
        await self.read_to_now()
        yield
        after = self._read_seq or 0
        async for events in self._log.follow(after=after, at=self._read_at, only=self._only):
            self._take(events)
            yield

    def _take(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            if recorded.seq > (self._read_seq or 0):  # `read_to_now` may have been here before `changes`
                self._fold(recorded)
                self._read_seq, self._read_at = recorded.seq, recorded.time


async def _beginning(cluster: Cluster, batch: BatchId, now: int) -> int:
    """The sequence behind which the events of the batch begin that has this name now.

    People submit one name again and again; without this, a reader would fold all deleted batches, too. The
    scheduler knows which submission counts. If it can't say, this is 0.
    """
    if isinstance(cluster.log, SavedLog) or not await has_deleted(cluster, batch, now):
        return 0  # of a saved log nobody knows, and each reading goes through the whole file
    told = await ask_standing(cluster, batch)
    if told is None:
        return 0
    return min(told.course.first_seq - 1, now) if told.course.exists else now


async def has_deleted(cluster: Cluster, batch: BatchId, until: int) -> bool:
    """Does the log, up to a sequence, have batches of this name that were deleted?"""
    if until <= 0:
        return False
    only = Only(types=frozenset({"deleted"}), batch=batch)
    async with aclosing(cluster.log.follow(after=0, only=only, until=until)) as deletions:
        async for _ in deletions:
            return True
    return False


class Standing(NamedTuple):
    """How a batch stands, and the last sequence of its own scope that this takes in, for a guard."""

    course: Course
    scope_seq: int


async def read_standing(cluster: Cluster, batch: BatchId) -> Standing:
    """How a batch stands now.

    A batch of which the log has no `completed` and no `deleted`, and that replaced none, can't be over,
    whatever its jobs did; and one without `max_failures` can't have given up. Then this reads a few events
    only. Otherwise the scheduler says how it stands; if it does not answer, this folds all events of the
    batch.
    """
    story = BatchStory(batch)
    may_be_over = False
    scope_seq = 0
    now = await cluster.log.last_seq()
    if now:
        only = Only(types=BATCH_TYPES, batch=batch)
        async for events in cluster.log.follow(after=0, only=only, until=now):
            for recorded in events:
                story.fold(recorded)
                may_be_over = may_be_over or recorded.event.type in ENDS or _replaces(recorded.event)
        scope_seq = story.scope_seq
    if may_be_over or _may_have_given_up(story.state):
        told = await ask_standing(cluster, batch)
        if told is not None:
            return Standing(told.course, scope_seq)
        story = BatchStory(batch)
        await BatchReader(cluster, batch, story.fold).read_to_now()
    return Standing(Course.of(story.state), max(scope_seq, story.scope_seq))


def _may_have_given_up(batch: BatchState | None) -> bool:
    """Does it depend on how its jobs ended whether others begin?"""
    return batch is not None and batch.limits.max_failures is not None


def _replaces(event: Event) -> bool:
    """Does it say that it replaces a batch? Whether it does depends on the jobs of that."""
    return isinstance(event, Submitted) and event.replaces is not None
