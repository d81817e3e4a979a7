"""Replacing a batch of which jobs go on: it is held, its others that nodes have end, then it is replaced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from distribute.client.appending import Appender
from distribute.client.batch_log import BatchReader
from distribute.client.saying import NOT_REPLACED
from distribute.client.seen import Seen, acted
from distribute.client.standing import until_read
from distribute.core.log.events import Event, Held, KillRequested
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.core.folding.work import Comparison
    from distribute.core.ids import BatchId
    from distribute.core.log.recorded import Recorded
    from distribute.core.state.state import BatchState, Holding
    from distribute.ports import Cluster

REASON = "it is being replaced"
"""Why the batch is held. If the person's program ends before it is replaced, it stays so."""


class Successor(Protocol):
    """The batch that comes."""

    async def compare_folded(self, batch: BatchState) -> Comparison:
        """Which jobs of the batch, as it stands, would be kept or go on."""

    def submitted(self, compared: Comparison) -> Event:
        """The submission with which it comes."""


class LiveReplacement:
    """One replacement under way. It acts on what the fold accepts, never on a message alone."""

    def __init__(
        self, cluster: Cluster, person: Person, batch: BatchId, successor: Successor, seen: Seen
    ) -> None:
        """`seen`: how the batch stood when the person decided that it is replaced."""
        self._cluster = cluster
        self._person = person
        self._batch = batch
        self._successor = successor
        self._story = BatchStory(batch)
        self._reader = BatchReader(cluster, batch, self._fold)
        self._appender = Appender(cluster.log)
        self._seen = seen
        self._has_acted = False
        """Has it said something of the batch? What others say then is no reason to stop."""
        self._act: Recorded | None = None
        """What somebody did to the batch before that."""
        self._has_news = False
        """Was more read of the batch since the last step?"""
        self._known_hold: Holding | None = None
        """The hold that the scheduler has read."""
        self._is_under_way = False
        """Has it said something of the batch, or is about to, and has not replaced it?"""

    @property
    def leaves_it_held(self) -> bool:
        """If this ends now: does the batch stay held?"""
        state = self._story.state
        if state is None or state.end is not None or state.submission != self._seen.course.submission:
            return False
        return self._is_under_way

    async def replace(self, refuse: Callable[[Course], None]) -> bool:
        """Replace the batch. False: it ended before that, and nothing of it goes on.

        Args:
            refuse: raises `Refused` if the batch, as it stands, is not to be replaced.

        Raises:
            LogReplaced: what was folded of the batch is invalid.
        """
        async with aclosing(self._reader.changes()) as changes:
            async for _ in changes:
                while True:
                    state = self._story.state
                    refuse(Course.of(state))
                    if self._act is not None:
                        raise acted(self._batch, self._act, NOT_REPLACED)
                    if state is None or state.end is not None:
                        return False
                    if (done := await self._step(state)) is not None:
                        return done
                    if not self._has_news:
                        break
        raise AssertionError("the log is followed until the batch is replaced")

    async def _step(self, state: BatchState) -> bool | None:
        """Take the next step. True: it was the last. None: look again, if there is news."""
        self._has_news = True
        if state.holding is None:
            held = Held(**self._person.stamp(), **self._names(state), reason=REASON)
            await self._append(held, self._story.scope_seq)
            await self._reader.read_to_now()
            return None
        if self._known_hold != state.holding:
            # From then on, the scheduler gives no job of the batch to a node.
            await until_read(self._cluster, self._batch, self._story.scope_seq)
            self._known_hold = state.holding
            await self._reader.read_to_now()
            return None
        compared = await self._successor.compare_folded(state)
        ending = [row for row in state.active if state.names[row] not in compared.going_on]
        if unasked := [state.names[row] for row in ending if not state.kill_wanted(row)]:
            await self._kill(state, unasked)
        elif ending or state.unarchived:
            self._has_news = False
        elif await self._append(self._successor.submitted(compared), self._story.seq) is not None:
            self._is_under_way = False
            return True
        return None

    async def _kill(self, state: BatchState, jobs: list[str]) -> None:
        """Have these jobs ended, each by itself: the others go on."""
        last_seq: int | None = self._story.scope_seq
        for job in jobs:
            if last_seq is None:
                return  # somebody said something of the batch: look anew
            killed = KillRequested(**self._person.stamp(), **self._names(state), job=job)
            last_seq = await self._append(killed, last_seq)
        await self._reader.read_to_now()

    async def _append(self, event: Event, last_seq: int) -> int | None:
        """The event's sequence. None: another came first; it is read now."""
        self._is_under_way = True  # also if this is interrupted while the log answers
        seq = await self._appender.append(event, last_seq)
        if seq is None:
            self._is_under_way = self._has_acted
            await self._reader.read_to_now()
        else:
            self._has_acted = True
        return seq

    def _fold(self, recorded: Recorded) -> None:
        if self._story.fold(recorded) and not self._has_acted and self._seen.is_before(recorded):
            self._act = recorded

    def _names(self, state: BatchState) -> dict[str, str]:
        return {**self._batch._asdict(), "submission": state.submission}
