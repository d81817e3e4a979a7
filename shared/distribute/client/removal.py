"""Ending a batch for good: it is killed, its end awaited, and then the event appended with which it goes."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from distribute.client.appending import Appender
from distribute.client.batch_log import BatchReader
from distribute.client.queries import no_such_batch
from distribute.client.saying import refuse_another, refuse_anothers
from distribute.client.seen import acted
from distribute.client.words import printable
from distribute.core.errors import Refused
from distribute.core.log.events import Completed, KillRequested
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.client.seen import Seen
    from distribute.core.ids import BatchId
    from distribute.core.log.events import Event
    from distribute.core.log.recorded import Recorded
    from distribute.core.state.state import BatchState
    from distribute.ports import Cluster


class LastWord(Protocol):
    """The event with which a batch goes."""

    verb: str
    """What the person does to it."""
    done: str
    """The same of a batch to which it was done."""

    def is_due(self, batch: BatchState) -> bool:
        """May it be said of the batch, which is over?"""

    async def event(self, batch: BatchState, ended_by: str | None) -> Event:
        """It, for the batch as it stands. `ended_by`: the id of the event that ended the batch."""


async def remove(
    cluster: Cluster, person: Person, batch: BatchId, last_word: LastWord, *, seen: Seen | None, force: bool
) -> None:
    """End a batch for good. One that still runs is killed first, and nobody wants what is left by then.

    Args:
        cluster: where it is.
        person: who wants it to go.
        batch: which.
        last_word: the event with which it goes.
        seen: how it stood when the person decided that. None: whichever has the name now.
        force: also if it is another person's.

    Raises:
        Refused: there is no such batch, it is another person's, another one has its name by now, or somebody
            did something to it after the person saw it.
        LogReplaced: what was folded of the batch is invalid.
    """
    removal = _Removal(cluster, person, batch, last_word, seen=seen, force=force)
    async with aclosing(removal.reader.changes()) as changes:
        async for _ in changes:
            if await removal.is_done():
                return


class _Removal:
    """One removal under way. It acts on what the fold accepts, never on a message alone."""

    def __init__(
        self,
        cluster: Cluster,
        person: Person,
        batch: BatchId,
        last_word: LastWord,
        *,
        seen: Seen | None,
        force: bool,
    ) -> None:
        self.reader = BatchReader(cluster, batch, self._fold)
        self._person = person
        self._batch = batch
        self._last_word = last_word
        self._force = force
        self._story = BatchStory(batch)
        self._ended_by: str | None = None
        """The id of the event that ended the batch."""
        self._killed_seq: int | None = None
        self._seen = seen
        self._course = seen.course if seen is not None else None
        """How the batch stood when somebody decided that it goes."""
        self._act: Recorded | None = None
        """What somebody did to it between that and its end."""
        self._appender = Appender(cluster.log)

    async def is_done(self) -> bool:
        """Take the next step. False: wait for the batch's next event."""
        while True:
            state = self._story.state
            if state is None:
                raise no_such_batch(self._batch)
            otherwise = f"it was not {self._last_word.done}"
            self._course = self._course or Course.of(state)
            refuse_another(self._batch, Course.of(state), self._course, otherwise)
            refuse_anothers(self._batch, state.user, self._person, self._last_word.verb, force=self._force)
            if self._act is not None:
                raise acted(self._batch, self._act, otherwise)
            if state.end is not None:
                if not self._last_word.is_due(state):
                    return False
                said = await self._last_word.event(state, self._ended_by)
                if await self._append(said, self._story.seq) is not None:
                    return True
            elif self._killed_seq is None:
                killed = self._kill_requested(state.submission)
                self._killed_seq = await self._append(killed, self._story.scope_seq)
            elif self._story.seq >= self._killed_seq and state.killed is None:
                name = printable(str(self._batch))
                raise Refused(
                    f"{name} runs again: somebody had it retried; it was not {self._last_word.done}"
                )
            else:
                return False

    async def _append(self, event: Event, last_seq: int) -> int | None:
        """The event's sequence. None: another came first; it is read now."""
        seq = await self._appender.append(event, last_seq)
        if seq is None:
            await self.reader.read_to_now()
        return seq

    def _kill_requested(self, submission: str) -> Event:
        names = {**self._batch._asdict(), "submission": submission}
        return KillRequested(**self._person.stamp(), **names, discard=True)

    def _fold(self, recorded: Recorded) -> None:
        if not self._story.fold(recorded):
            return
        if isinstance(recorded.event, Completed):
            self._ended_by = recorded.event.id
        if self._killed_seq is None and self._seen is not None and self._seen.is_before(recorded):
            self._act = recorded
