"""What the archiver has to do, by what the fold accepts. No I/O.

It folds the whole log, as the scheduler does: what a batch still waits for is in its state (`unarchived`), so
nothing that was acknowledged once, or lost with the end of a log, can make it forget a job.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from distribute.core import events as ev
from distribute.core.fold import apply
from distribute.core.manifest import StoredObject
from distribute.core.packed import PackedBatch
from distribute.core.recorded import Append, Guard, Recorded, time_of
from distribute.core.state import State

CHORES = frozenset({"build_finished", "deleted"})
"""Events that ask for something of which the state keeps no record: see `Backlog.done_until`."""

MAX_EVENTS_HELD = 256
"""Events held for what is to be done next. Whatever waits behind them is read from the log again."""

Task = ev.Finished | ev.BuildFinished | ev.Deleted
"""An event that asks for something: to check and commit outputs, or to delete results."""


class Backlog:
    """The state, and what of it is still to be archived or deleted."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._waiting: deque[int] = deque()
        self._held: dict[int, Recorded] = {}
        self._chores: set[int] = set()
        """The sequences of chores that are not done."""

    # --- what happens --------------------------------------------------------------------------------

    def begin(self) -> None:
        """The state is what a snapshot says: take up what it calls unarchived."""
        batches = self.state.batches.values()
        self._waiting.extend(sorted(left.seq for batch in batches for left in batch.unarchived.values()))

    def recall(self, recorded: Recorded) -> None:
        """A chore that the state knew already, and that may not be done."""
        event = recorded.event
        batch = self.state.find(event.batch_id) if isinstance(event, Task) else None
        is_of_this_batch = batch is not None and batch.seq < recorded.seq
        # A deletion that was accepted leaves no batch, or a later one of the same name.
        if is_of_this_batch != isinstance(event, ev.Deleted):
            self._add(recorded)

    def deliver(self, recorded: Recorded) -> None:
        """An event came from the log."""
        if recorded.seq <= self.state.seq:
            return
        misfits = self.state.misfits
        apply(self.state, recorded)
        if self.state.misfits == misfits and self.is_wanted(recorded):
            self._add(recorded)

    def _add(self, recorded: Recorded) -> None:
        self._waiting.append(recorded.seq)
        if recorded.event.type in CHORES:
            self._chores.add(recorded.seq)
        if len(self._held) < MAX_EVENTS_HELD:
            self._held[recorded.seq] = recorded

    # --- what is to be done --------------------------------------------------------------------------

    def next(self) -> int | None:
        """The sequence of the event to see to next; None if nothing waits."""
        return self._waiting.popleft() if self._waiting else None

    def take(self, seq: int) -> Recorded | None:
        """The event at this sequence, if it is held. It is not held any more."""
        return self._held.pop(seq, None)

    def is_wanted(self, recorded: Recorded) -> bool:
        """Does the state still ask for what this event asked for?"""
        event = recorded.event
        if isinstance(event, ev.Deleted):
            return True
        if not isinstance(event, Task):
            return False
        batch = self.state.find(event.batch_id)
        if batch is None or batch.seq > recorded.seq:
            return False
        if isinstance(event, ev.BuildFinished):
            return True
        if isinstance(batch, PackedBatch):
            return False  # what is packed is archived
        left = batch.unarchived.get(batch.rows.get(event.job, -1))
        return left is not None and left.seq == recorded.seq

    def done(self, seq: int) -> None:
        """The task of the event at this sequence is done, or is not wanted any more."""
        self._chores.discard(seq)

    @property
    def done_until(self) -> int:
        """Every chore up to this sequence is done. What a restart begins behind."""
        return min(self._chores, default=self.state.seq + 1) - 1


def foreign_names(event: ev.Finished | ev.BuildFinished, objects: Iterator[StoredObject]) -> list[str]:
    """The names of objects that are not for this event to commit: they belong to another job, or to none."""
    if isinstance(event, ev.Finished):
        prefix = f"{event.scope}/{event.attempt}/"
    else:
        prefix = f"{event.namespace}/{event.batch}//{event.node}/"
    return [stored.name for stored in objects if not stored.name.startswith(prefix)]


def archived(
    state: State, recorded: Recorded, missing: str | None, now: float, new_id: Callable[[], str]
) -> Append:
    """What to append once the outputs of a `finished` event are committed, or known to be `missing`."""
    event = recorded.event
    assert isinstance(event, ev.Finished), "only a job's outputs are announced"
    batch = state.batches[event.batch_id]
    said = ev.JobArchived(
        id=new_id(),
        time=time_of(now),
        author=ev.ARCHIVER,
        causation=event.id,
        namespace=event.namespace,
        batch=event.batch,
        job=event.job,
        attempt=event.attempt,
        node=event.node,
        missing=missing,
    )
    return Append(said, Guard(batch.job_seq[batch.rows[event.job]], batch.seq))
