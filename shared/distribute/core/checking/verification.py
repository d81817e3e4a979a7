"""Verify a log while it is folded: every state that it leads to must keep the invariants.

To check the whole state after each event would take hours for a million events. So the batches that events
touched, and all nodes, are checked together after as many events as these batches have jobs, and everything
at the end. If a check fails, `FirstBreak` folds the log again, and checks after each event since the last
check that held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from distribute.core.checking.invariants import check, check_batch, check_node
from distribute.core.folding.fold import apply
from distribute.core.ids import BatchId
from distribute.core.log.events import Completed, Event
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import State

CHECK_EVERY = 2000
"""Min. events between two checks."""


class Break(NamedTuple):
    """An invariant that does not hold any more after this event."""

    recorded: Recorded
    what: str


class Verification:
    """Folds a log and checks its invariants. `broken_in` tells between which events one broke."""

    def __init__(self) -> None:
        self.state = State()
        self.events = 0
        self.first_seq = 0
        self.first_misfit = ""
        self.false_end: Break | None = None
        """The first event that says that a batch is completed, although it goes on."""
        self.broken_in: tuple[int, int] | None = None
        """The sequences of the last event after which all held, and of one after which something does not."""
        self._touched: set[BatchId] = set()
        self._due = CHECK_EVERY
        self._good_seq = 0

    def fold(self, records: Sequence[Recorded]) -> None:
        """Fold one event or more, and check the state now and then. Does nothing once an invariant broke."""
        if self.broken_in is not None:
            return
        state, namespace, batch = self.state, "", ""
        for recorded in records:
            if apply(state, recorded) is not None:
                self._note_misfit(recorded)
            event = recorded.event
            # Most events are of the same batch as the one before, and equal names mostly one object.
            if event.about != "node" and (event.batch is not batch or event.namespace is not namespace):
                namespace, batch = event.namespace, event.batch
                self._touch(event.batch_id)
        self.events += len(records)
        self.first_seq = self.first_seq or records[0].seq
        self._due -= len(records)
        if self._due <= 0:
            self._check(self._touched)

    def _touch(self, batch_id: BatchId) -> None:
        if batch_id not in self._touched:
            self._touched.add(batch_id)
            batch = self.state.batches.get(batch_id)
            self._due += 0 if batch is None else len(batch.names)

    def finish(self) -> None:
        """Check everything. Call this behind the last event."""
        if self.broken_in is None:
            self._check(None)

    def _check(self, touched: set[BatchId] | None) -> None:
        if broken(self.state, touched) is not None:
            self.broken_in = self._good_seq, self.state.seq
        self._good_seq, self._due = self.state.seq, CHECK_EVERY
        self._touched.clear()

    def _note_misfit(self, recorded: Recorded) -> None:
        self.first_misfit = self.first_misfit or self.state.last_misfit
        event = recorded.event
        if self.false_end is not None or not isinstance(event, Completed):
            return
        batch = self.state.batches.get(event.scope)
        if batch is not None and batch.end is None and event.submission in {None, batch.submission}:
            self.false_end = Break(recorded, f"it says that {event.scope} is over, and it is not")


class FirstBreak:
    """Folds the log again, to find the first event after which an invariant does not hold."""

    def __init__(self, broken_in: tuple[int, int]) -> None:
        self._state = State()
        self._good_seq, self._broken_seq = broken_in

    def fold(self, records: Iterable[Recorded]) -> Break | None:
        """Fold events. Returns the break once there is one."""
        for recorded in records:
            apply(self._state, recorded)
            if recorded.seq <= self._good_seq:
                continue
            what = broken(self._state, _batches_of(recorded.event))
            if what is None and recorded.seq == self._broken_seq:
                what = broken(self._state, None)  # what no single event shows, such as a sum over all batches
            if what is not None:
                return Break(recorded, what)
        return None


def broken(state: State, touched: Iterable[BatchId] | None) -> str | None:
    """What contradicts itself: of these batches and of all nodes; None: nothing does.

    Without `touched`, of the whole state.
    """
    try:
        if touched is None:
            check(state)
            return None
        for batch_id in touched:
            batch = state.batches.get(batch_id)
            if batch is not None:
                check_batch(state, batch)
        for node in state.nodes.values():
            check_node(state, node)
    except AssertionError as error:
        return str(error)
    return None


def _batches_of(event: Event) -> tuple[BatchId, ...]:
    return () if event.about == "node" else (event.batch_id,)
