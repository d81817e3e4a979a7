"""The events that the broker acknowledged to one connection: what it lost of them is appended again.

A broker that is killed can lose acknowledged events, the last ones of its log; and an admin can restore an
older copy. So the log remembers the last events that the broker acknowledged to it. After each reconnect it
looks for them, and appends again those that are gone: with the same id, behind whatever is the last event
of their scope by then. The fold judges whether they still fit. What it can't judge, because a later event has
made it out of date (`core.log.outdated`), is not appended again. If that was a decision, the log counts as
replaced: its author has to read what came instead, and to decide again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import NamedTuple, Protocol

from distribute.core.errors import Conflict, LogReplaced
from distribute.core.ids import BatchId, Guarded, JobId, Scope
from distribute.core.log.events import Assigned, BatchEvent, Event, JobEvent, NodeEvent
from distribute.core.log.outdated import DECISIONS, ENDS_OF_BATCHES, OUTDATED_BY, closed_with, is_overtaken
from distribute.core.log.recorded import Guard, Recorded, guard_scope

_log = logging.getLogger(__name__)

MAX_REMEMBERED = 1000
MAX_REMEMBERED_BYTES = 16 << 20
"""The last acknowledged events that are remembered. A kill loses what was stored within milliseconds."""


class Returning(Protocol):
    """A connection that tells when it was made again."""

    @property
    def address(self) -> str:
        """Where it leads to, for messages."""

    def on_return(self, hook: Callable[[], None], /) -> Callable[[], None]:
        """Call `hook` after each reconnect. Returns a function that ends this."""


class _Remembered(NamedTuple):
    """An event at `seq`, which its author put behind the event at `behind` in what guards it.

    `reconnects` counts those before the broker acknowledged it. `born` is both as they were the first time:
    events that were appended again keep their order.
    """

    seq: int
    event: Event
    behind: int
    size_bytes: int
    reconnects: int
    born: tuple[int, int]


class Questions(NamedTuple):
    """What is asked of the log while its end is checked.

    `end` is the sequence of the log's last message. `has` tells whether the event of an id is at a sequence,
    or was until an admin removed it. `last_seq` is the sequence of the last message of a guard's scope, and
    `last` the last event of a type in a scope. `since` are the events of a job, or under a batch, behind a
    sequence. `append` appends an event.
    """

    end: Callable[[], Awaitable[int]]
    has: Callable[[int, str], Awaitable[bool]]
    last_seq: Callable[[Guarded], Awaitable[int]]
    last: Callable[[Scope, str], Awaitable[Recorded | None]]
    since: Callable[[JobId | BatchId, int], Awaitable[list[Recorded]]]
    append: Callable[[Event, Guard], Awaitable[int]]


class Acknowledged:
    """The last acknowledged events of one connection."""

    def __init__(self, connection: Returning, questions: Questions) -> None:
        self.replaced: LogReplaced | None = None
        """Set once the log lacks more than can be appended again, until `begin_anew`."""
        self._connection = connection
        self._questions = questions
        self._remembered: deque[_Remembered] = deque()
        self._bytes = 0
        self._forgotten: tuple[int, str] | None = None
        self._reconnects = 0
        self._checked_at = 0
        """The reconnect after which everything from before it was found in the log, or appended again."""
        self._moved: dict[tuple[Guarded, int], int] = {}
        self._lost_seqs: set[tuple[int, int]] = set()
        """Where the events were that the running check appends again; before that, `_time_of` each."""
        self._overtaken_seq: int | None = None
        """Where a decision was that is out of date. A check that is not interrupted then reports that."""
        self._check: asyncio.Task[None] | None = None
        self._replaced_hooks: list[Callable[[LogReplaced], None]] = []
        self._undo = connection.on_return(self._returned)

    def acknowledged(self, seq: int, event: Event, behind: int, size_bytes: int) -> None:
        """The broker has stored an event. `behind`: what its guard named (`Guard.behind`)."""
        born = self._reconnects, seq
        self._remember(_Remembered(seq, event, behind, size_bytes, self._reconnects, born))

    def _remember(self, acknowledged: _Remembered) -> None:
        self._remembered.append(acknowledged)
        self._bytes += acknowledged.size_bytes
        while len(self._remembered) > MAX_REMEMBERED or (
            self._bytes > MAX_REMEMBERED_BYTES and len(self._remembered) > 1
        ):
            oldest = self._remembered.popleft()
            self._bytes -= oldest.size_bytes
            if self._forgotten is None or oldest.seq > self._forgotten[0]:
                self._forgotten = (oldest.seq, oldest.event.id)

    async def now_at(self, scope: Guarded, seq: int) -> int:
        """Where the event is that this connection once stored at a sequence, after a check that is under way.

        Raises:
            LogReplaced: the log lacks more than can be appended again.
        """
        if self._check is not None:
            await asyncio.wait({self._check})
        if self.replaced is not None:
            raise self.replaced
        return self._moved.get((scope, seq), seq)

    def begin_anew(self) -> None:
        """If the log was replaced, forget what was appended to the old one: the author reads the new one."""
        if self.replaced is None:
            return
        if self._check is not None:
            self._check.cancel()  # of a later reconnect: it looks for events of the old log
        self.replaced = self._forgotten = self._overtaken_seq = None
        self._remembered.clear()
        self._bytes = 0
        self._moved.clear()

    def on_replaced(self, hook: Callable[[LogReplaced], None]) -> Callable[[], None]:
        """Call `hook` whenever `replaced` is set. Returns a function that ends this."""
        self._replaced_hooks.append(hook)
        return lambda: self._replaced_hooks.remove(hook)

    async def close(self) -> None:
        """Check no more."""
        self._undo()
        if self._check is not None:
            self._check.cancel()
            await asyncio.wait({self._check})

    def _returned(self) -> None:
        self._reconnects += 1
        if self._check is not None:
            self._check.cancel()
        self._check = asyncio.create_task(self._look_for_losses(), name="check the end of the log")
        self._check.add_done_callback(self._checked)

    def _checked(self, check: asyncio.Task[None]) -> None:
        if not check.cancelled() and (error := check.exception()) is not None:
            _log.error(
                "%s: the end of the log could not be checked", self._connection.address, exc_info=error
            )

    async def _look_for_losses(self) -> None:
        """Append again what the log has lost."""
        reconnects = self._reconnects
        lost = await self._lost()
        if lost:
            _log.warning(
                "%s: the log has lost its end: appending %d acknowledged events again",
                self._connection.address,
                len(lost),
            )
        self._lost_seqs = {(self._time_of(remembered), remembered.seq) for remembered in lost}
        for remembered in lost:
            await self._append_again(remembered)
        self._checked_at = reconnects
        if (seq := self._overtaken_seq) is not None:
            self._report_replaced(f"the log went on without event {seq}, which this process had appended")

    async def _append_again(self, lost: _Remembered) -> None:
        appended = await self._append_last(lost)
        if lost in self._remembered:  # else later events have taken its place
            self._remembered.remove(lost)
            self._bytes -= lost.size_bytes
        if appended is None:
            if lost.event.type in DECISIONS:
                self._overtaken_seq = lost.seq
            return
        seq, behind = appended
        self._remember(lost._replace(seq=seq, behind=behind, reconnects=self._reconnects))
        scope = guard_scope(lost.event)
        if behind > self._moved.get((scope, lost.behind), lost.behind):
            return  # something came before it that its author has not read
        self._moved[scope, lost.seq] = seq
        # A guard of the scope itself may name it, too: what ends a batch is guarded by all under it.
        self._moved[lost.event.scope, lost.seq] = seq
        while len(self._moved) > 2 * MAX_REMEMBERED:  # of earlier losses: no guard is that old
            del self._moved[next(iter(self._moved))]

    async def _lost(self) -> list[_Remembered]:
        """The remembered events that the log lacks, in the order in which it first had them.

        Between two reconnects, a log only loses its end. So an event that is there proves those before it,
        but only those of its own time: what came before an earlier reconnect may have been lost then, unless
        a check has been completed since.
        """
        # The end first: asked later, another author may have taken the sequence of a lost event by then.
        end = await self._questions.end()
        before = [event for event in self._remembered if event.reconnects < self._reconnects]
        before.sort(key=self._by_time, reverse=True)
        lost: list[_Remembered] = []
        is_whole = False
        for _, of_a_time in groupby(before, self._time_of):
            is_whole = False
            for remembered in of_a_time:
                if remembered.seq <= end and await self._questions.has(remembered.seq, remembered.event.id):
                    is_whole = True
                    break
                lost.append(remembered)
        if lost and not is_whole and self._forgotten is not None:
            seq, event_id = self._forgotten
            if seq > end or not await self._questions.has(seq, event_id):
                self._report_replaced(
                    f"the log lacks event {seq}, which this process appended, and since then more than it "
                    "remembers: was it restored from an older copy?"
                )
                return []
        return sorted(lost, key=lambda remembered: remembered.born)

    def _time_of(self, remembered: _Remembered) -> int:
        """The same for all events that only one reconnect since can have cost the log."""
        return max(remembered.reconnects, self._checked_at)

    def _by_time(self, remembered: _Remembered) -> tuple[int, int]:
        return self._time_of(remembered), remembered.seq

    def _report_replaced(self, why: str) -> None:
        self.replaced = LogReplaced(f"{self._connection.address}: {why}")
        for hook in list(self._replaced_hooks):
            hook(self.replaced)

    async def _append_last(self, lost: _Remembered) -> tuple[int, int] | None:
        """Append an event behind whatever is the last of its scope. Returns both sequences.

        None: it is out of date.
        """
        scope = guard_scope(lost.event)
        while True:
            last_seq = await self._questions.last_seq(scope)
            if await self._is_outdated(lost):
                return None
            try:
                return await self._questions.append(lost.event, Guard(last_seq)), last_seq
            except Conflict:
                continue  # another author was faster: it goes behind that event

    async def _is_outdated(self, lost: _Remembered) -> bool:
        """Has a later event made this one out of date?

        Of a node we also count events that the log has lost, too: each says how the node is, or has to be, as
        a whole. An event about an attempt needs those before it.
        """
        if lost.event.type in DECISIONS:
            return await self._is_overtaken(lost)
        types = OUTDATED_BY[lost.event.type]
        if isinstance(lost.event, NodeEvent) and self._has_later(lost, types):
            return True
        behind = self._moved.get((guard_scope(lost.event), lost.behind), lost.behind)
        for event_type in sorted(types):
            last = await self._questions.last(lost.event.scope, event_type)
            if last is not None and last.seq > behind and not self._is_before(last.event, lost):
                return True
        return False

    async def _is_overtaken(self, lost: _Remembered) -> bool:
        """Has the log gone on without this decision, or lost what it was made on?"""
        event, behind, time = lost.event, lost.behind, self._time_of(lost)
        assert isinstance(event, JobEvent | BatchEvent), "no decision is about a node or a build"
        first_lost_seq = min(seq for of_time, seq in self._lost_seqs if of_time == time)
        # The log may have lost events of others before ours, and new ones have their sequences.
        after = min(behind, first_lost_seq - 1)
        about: JobId | BatchId = event.batch_id
        if (batch := closed_with(event)) is not None:
            compacted = await self._questions.last(batch, "compacted")
            if compacted is not None and compacted.seq > after:
                return True
        if event.type not in ENDS_OF_BATCHES:
            about = event.scope
            if isinstance(event, Assigned) and event.limited:
                after = first_lost_seq - 1  # its guard does not cover the job
        elif behind >= first_lost_seq:
            if (time, behind) not in self._lost_seqs:
                return True  # it was behind another author's event, which may not come again
        elif await self._questions.last_seq(guard_scope(event)) < behind:
            return True  # the same, and nothing of ours was lost before it
        own = {one.event.id for one in self._remembered if one.born < lost.born}
        return is_overtaken(event, [news.event for news in await self._questions.since(about, after)], own)

    def _has_later(self, lost: _Remembered, types: frozenset[str]) -> bool:
        """Did the broker acknowledge a later event of these types in the same scope?"""
        return any(
            later.event.type in types and later.born > lost.born and later.event.scope == lost.event.scope
            for later in self._remembered
        )

    def _is_before(self, event: Event, lost: _Remembered) -> bool:
        """Is this an event of ours that came before the lost one, and was appended again?"""
        return any(one.event.id == event.id and one.born < lost.born for one in self._remembered)
