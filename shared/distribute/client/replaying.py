"""The past of a cluster: its state as of an earlier event, with the answers to queries about it."""

from __future__ import annotations

from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING, Any, cast

from distribute.client.queries import Queries
from distribute.client.words import local_time
from distribute.core.errors import InputError
from distribute.core.folding.fold import apply
from distribute.core.projections.course import Course
from distribute.core.scheduling.agenda import Agenda
from distribute.core.state.state import State
from distribute.core.telling.listing import rfc3339
from distribute.core.views.views import batches_view, ignored_view, nodes_view
from distribute.ports import OnDone, tell_nobody

if TYPE_CHECKING:
    from distribute.client.replay_documents import PastDocument
    from distribute.core.ids import BatchId, JobId
    from distribute.ports import Cluster, EventLog


_SHOWN_S = 0.001


async def state_at(
    log: EventLog, *, time: float | None = None, seq: int | None = None, on_done: OnDone = tell_nobody
) -> State:
    """The state as it was at a time by the log's clock, or behind the event at a sequence.

    If both are None, it is the present state. The state of a time has the events before the first that was
    stored later. All events of the same millisecond belong to it: the times that people are shown have no
    more digits. `on_done` is told the sequence that is reached, again and again.

    Raises:
        InputError: the log has no event by then, or does not reach that sequence.
    """
    end = await log.end()
    if not end.seq:
        raise InputError("the log has no events yet")
    if seq is not None and seq > end.seq:
        raise InputError(f"there is no event {seq} yet: the log ends with event {end.seq}")
    state, later = State(), inf if time is None else time + _SHOWN_S
    last_seq = end.seq if seq is None else seq
    async with aclosing(log.follow(after=0, until=end.seq)) as reading:
        async for records in reading:
            for recorded in records:
                if recorded.time >= later or recorded.seq > last_seq:
                    if not state.seq:
                        raise InputError(
                            f"that is before the log begins: its first event, {recorded.seq}, is of "
                            f"{local_time(recorded.time)}"
                        )
                    return state
                apply(state, recorded)
            on_done(records[-1].seq)
    return state


class PastQueries(Queries):
    """Answers queries from an earlier state.

    Args:
        cluster: where the state is from.
        state: what it was then; None: that of the end of a log that does not grow. It is folded once.
        now: the time then, in seconds since 1970 by the log's clock.
    """

    def __init__(self, cluster: Cluster, state: State | None, now: float) -> None:
        super().__init__(cluster, clock=lambda: now)
        self._state = state
        self._now = now

    async def past(self) -> PastDocument:
        """All batches and all nodes."""
        state, garbage = await self._fold(), self._cluster.log.garbage
        document = {
            "seq": state.seq,
            "time": rfc3339(self._now),
            **batches_view(state),
            **ignored_view(state, garbage.count, garbage.last),
            **nodes_view(Agenda(state, now=self._now), {}),
        }
        return cast("PastDocument", document)

    async def course(self, batch: BatchId) -> Course:
        """How far a batch had come, and by which submission. Raises `Refused` if there was none."""
        return Course.of((await self._fold_with(batch, None)).batches[batch])

    async def life(self, job: JobId) -> None:
        """Ask nobody."""

    async def _ask(self, verb: str, question: dict[str, Any]) -> None:
        """Ask nobody: services know only the present."""

    async def _fold(self) -> State:
        if self._state is None:
            self._state = await super()._fold()
        return self._state
