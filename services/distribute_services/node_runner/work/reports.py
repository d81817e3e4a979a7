"""Carry out the machine's instructions about the log: append the node's events, and read scopes.

What waits is bounded, whatever anyone publishes. For each attempt or build (the machine limits their number),
one event or reading is on its way. For the node itself, one event is on its way and one of each type waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from distribute.core.errors import Conflict, LogReplaced
from distribute.core.ids import AttemptId, BatchId
from distribute.core.log.events import SCHEDULER, Event, Finished, Superseded, Yielded
from distribute.core.log.recorded import Recorded
from distribute.ports import EventLog, Only
from distribute.runtime import Facts
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt
from distribute_services.node_runner.work.batches import folded

log = logging.getLogger(__name__)


class Reports:
    """Appends this node's events, and reads scopes."""

    def __init__(
        self,
        event_log: EventLog,
        node: str,
        *,
        tell: Callable[[st.Stimulus], None],
        announced: Callable[[Event, int], None],
        on_fault: Callable[[BaseException], None],
    ) -> None:
        """`tell` gets each stimulus, `announced` each event about the node that is in the log, with its
        sequence. `on_fault` gets an error after which nothing more can be appended."""
        self._log = event_log
        self._node = node
        self._authors = frozenset({SCHEDULER, node})
        self._tell = tell
        self._announced = announced
        self._on_fault = on_fault
        self._facts = Facts(event_log)
        self._announcements: dict[str, Event] = {}
        """Events about the node that wait, by type or attempt, in order."""
        self._announcing: asyncio.Task[None] | None = None
        self._appending: set[asyncio.Future[int]] = set()
        self._reading: set[asyncio.Task[None]] = set()
        self._judging: dict[BatchId, bool] = {}
        """The batches that are being folded. True: once more after that."""

    def append(self, report: do.Report) -> None:
        """Append an event of an attempt or a build."""
        future = self._log.append(report.append.event, report.append.guard)
        self._appending.add(future)
        future.add_done_callback(partial(self._appended, report.of))

    def announce(self, event: Event) -> None:
        """Append an event about the node, behind the last one in its scope.

        At most one event of each type waits. A later one replaces it, because it has the newer facts; but not
        `superseded`, of which there is one for an attempt.
        """
        about = str(event.attempt) if isinstance(event, Superseded) else event.type
        self._announcements.pop(about, None)
        self._announcements[about] = event
        if self._announcing is None or self._announcing.done():
            self._announcing = asyncio.create_task(self._announce())
            self._announcing.add_done_callback(self._raise_fault)

    def read(self, of: do.AttemptOrBuild) -> None:
        """Read the scope of an attempt or a build."""
        self._begin(self._read(of))

    def judge(self, batch: BatchId) -> None:
        """Find out whether a batch is over of which this node has attempts. Answers only if it seems so.

        Call this for a batch that is loaded, too. A late assignment may be of one that is over: no event that
        is still to come tells of that.
        """
        is_begun = batch in self._judging
        self._judging[batch] = True
        if not is_begun:
            self._begin(self._judge(batch))

    def _begin(self, reading: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(reading)
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)
        task.add_done_callback(self._raise_fault)

    async def close(self, patience_s: float) -> None:
        """Wait until the broker has this node's events, for at most `patience_s` seconds."""
        pending: set[asyncio.Future[Any]] = {*self._appending}
        if self._announcing is not None:
            pending.add(self._announcing)
        if pending:
            _, late = await asyncio.wait(pending, timeout=patience_s)
            if late:
                log.warning(
                    "left without telling the cluster: the broker did not answer within %g s", patience_s
                )
        for task in (self._announcing, *self._reading):
            if task is not None:
                task.cancel()

    def _appended(self, of: do.AttemptOrBuild, future: asyncio.Future[int]) -> None:
        self._appending.discard(future)
        if future.cancelled():
            return
        match future.exception():
            case None:
                self._tell(st.Reported(of, future.result()))
            case Conflict() as error:
                self._tell(st.Refused(of, error.last_seq))
            case LogReplaced():
                self._log.begin_anew()  # the machine reads the scope before it appends again
                self._tell(st.Refused(of, 0))
            case BaseException() as error:
                self._on_fault(error)

    async def _read(self, of: do.AttemptOrBuild) -> None:
        """Read a scope, without the events of other nodes, except those by which attempts end."""
        scope = of.job if isinstance(of, Attempt) else of.id
        while True:
            found: list[Recorded] = []
            last = await self._log.last(scope)
            try:
                if last is not None:
                    async for records in self._log.follow(after=0, only=Only(scope=scope), until=last.seq):
                        found += filter(self._counts, records)
            except LogReplaced:
                continue  # read again, from the replaced log
            return self._tell(st.ScopeRead(of, tuple(found), last.seq if last is not None else 0))

    async def _judge(self, batch: BatchId) -> None:
        while self._judging[batch]:
            self._judging[batch] = False
            until = await self._log.last_seq()
            try:
                if not await self._seems_over(batch):
                    continue
                found = await folded(self._log, batch, until)
            except LogReplaced:
                self._judging[batch] = True  # read again, from the replaced log
                continue
            running, has = frozenset[str](), frozenset[AttemptId]()
            if found is not None:
                here = {row for row, attempt in found.active.items() if attempt.node == self._node}
                has = frozenset(map(found.attempt_id, here))
                running = frozenset(found.submissions) if found.end is None else running
            self._tell(st.Judged(batch, until, running, has))
        del self._judging[batch]

    async def _seems_over(self, batch: BatchId) -> bool:
        """Does the log say that the batch is over? To fold a large batch takes seconds."""
        completed = await self._log.last(batch, "completed")
        if completed is None:
            return False
        begun = await asyncio.gather(
            *(self._log.last(batch, type_) for type_ in ("submitted", "retry_requested"))
        )
        return all(one is None or one.seq < completed.seq for one in begun)

    def _counts(self, recorded: Recorded) -> bool:
        event = recorded.event
        return event.author in self._authors or isinstance(event, Finished | Yielded)

    async def _announce(self) -> None:
        while self._announcements:
            event = self._announcements.pop(next(iter(self._announcements)))
            self._announced(event, await self._facts.append(event))

    def _raise_fault(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fault(error)
