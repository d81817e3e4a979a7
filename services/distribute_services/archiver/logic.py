"""The archiver's tasks, by the events that the fold accepts, without I/O.

It folds the whole log, as the scheduler does: what a batch still waits for is in its state (`unarchived`), so
nothing that was acknowledged once, or lost with the end of a log, can make it forget a job.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from distribute.core.files.manifest import StoredObject
from distribute.core.folding.live_fold import LiveFold
from distribute.core.folding.replacing import kept_jobs
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Append, Guard, Recorded, time_of
from distribute.core.slices import at_once
from distribute.core.state.batch_record import loading
from distribute.core.state.packed import ClosedBatch, PackedBatch
from distribute.core.state.state import BatchState, State

CHORES = frozenset({"build_finished", "build_collected", "compacted", "deleted"})
"""Types of events whose tasks the state does not record: see `Backlog.done_until`."""

_UNRECORDED = CHORES | {"submitted"}
"""The same, with the submissions that replace a batch: the state shows those (see `Backlog.begin`)."""

MAX_EVENTS_HELD = 256
"""Max. events held for the next tasks. The events of further tasks are read from the log again."""

Task = ev.AttemptEnd | ev.BuildEnd | ev.Compacted | ev.Deleted | ev.Submitted
"""An event that gives the archiver a task: to check and commit outputs, to delete results, or to remove what
an archive has.

A submission does, if it replaces a batch: what the jobs left that it does not keep is deleted."""


class Backlog:
    """The state, and the tasks that are still to be done."""

    def __init__(self, state: State, *, catch_up_to: int = 0) -> None:
        self.state = state
        self._fold = LiveFold(state, catch_up_to)
        self._waiting: deque[int] = deque()
        self._compactions: deque[Recorded] = deque()
        self._held: dict[int, Recorded] = {}
        self._chores: set[int] = set()
        """The sequences of chores that are not done."""

    # --- input ---------------------------------------------------------------------------------------

    def begin(self, noted_seq: int) -> None:
        """Begin with the state of a snapshot, and take up what it shows to be undone.

        That is everything that it lists as unarchived, and what replaced batches have left, if they were
        replaced behind `noted_seq`: up to that, every chore is done.
        """
        state = self.state
        unarchived = [left.seq for batch in state.batches.values() for left in batch.unarchived.values()]
        self._waiting.extend(sorted(unarchived))
        every: list[BatchState | PackedBatch] = [*state.batches.values(), *state.packed.values()]
        replacing = sorted(batch.seq for batch in every if batch.first_seq < batch.seq > noted_seq)
        self._waiting.extend(replacing)
        self._chores.update(replacing)

    def recall(self, recorded: Recorded) -> None:
        """Take up a chore from before the snapshot, which may not be done yet."""
        event = recorded.event
        batch = self.state.find(event.batch_id) if isinstance(event, Task) else None
        if isinstance(event, ev.Deleted):
            # After an accepted deletion, there is no batch, or a later one of the same name.
            is_wanted = batch is None or batch.first_seq > recorded.seq
        elif isinstance(event, ev.Compacted):
            # One that was refused names no archive of all that it would remove.
            is_wanted = batch is not None and batch.compacted_at == recorded.time
        else:
            is_wanted = batch is not None and batch.seq < recorded.seq
        if is_wanted:
            self._add(recorded)

    def deliver(self, recorded: Recorded) -> None:
        """Fold an event of the log, and take up its task. Raises `LogReplaced` as `LiveFold`."""
        if recorded.seq <= self.state.seq:
            return
        if self._fold(recorded) is None and self.is_wanted(recorded):
            self._add(recorded)

    def _add(self, recorded: Recorded) -> None:
        if recorded.event.type in _UNRECORDED:
            self._chores.add(recorded.seq)
        if isinstance(recorded.event, ev.Compacted):
            self._compactions.append(recorded)
            return
        self._waiting.append(recorded.seq)
        if len(self._held) < MAX_EVENTS_HELD:
            self._held[recorded.seq] = recorded

    # --- tasks ---------------------------------------------------------------------------------------

    def next(self) -> int | None:
        """The sequence of the event whose task is next; None if there is none."""
        return self._waiting.popleft() if self._waiting else None

    def next_compaction(self) -> Recorded | None:
        """The next event that moved others into an archive, which are to be removed. None: there is none."""
        return self._compactions.popleft() if self._compactions else None

    def take(self, seq: int) -> Recorded | None:
        """Take the event at this sequence, if it is held."""
        return self._held.pop(seq, None)

    def is_wanted(self, recorded: Recorded) -> bool:
        """Does the state still need the task of this event?"""
        event = recorded.event
        if isinstance(event, ev.Deleted):
            return True
        if not isinstance(event, Task):
            return False
        batch = self.state.find(event.batch_id)
        if batch is None or batch.seq > recorded.seq:
            return False
        if isinstance(event, ev.Submitted):
            is_there = batch.seq == recorded.seq and batch.compacted_at is None
            return event.replaces is not None and is_there
        if isinstance(event, ev.BuildEnd | ev.Compacted):
            return True
        if isinstance(batch, ClosedBatch):
            return False  # it is archived
        left = batch.unarchived.get(batch.rows.get(event.job, -1))
        return left is not None and left.seq == recorded.seq

    def kept(self, batch_id: BatchId) -> frozenset[str]:
        """The jobs that a batch has kept of one that it replaced."""
        batch = self.state.find(batch_id)
        if isinstance(batch, PackedBatch):
            batch = at_once(loading(batch.fixed, batch.changing))
        return frozenset(kept_jobs(batch) if isinstance(batch, BatchState) else ())

    def done(self, seq: int) -> None:
        """Note that the task of the event at this sequence is done, or not needed any more."""
        self._chores.discard(seq)

    @property
    def done_until(self) -> int:
        """Every chore up to this sequence is done, so a restart begins behind it."""
        return min(self._chores, default=self.state.seq + 1) - 1


def foreign_names(event: ev.AttemptEnd | ev.BuildEnd, objects: Iterator[StoredObject]) -> list[str]:
    """The names of objects that this event may not commit, because they belong to another job or to none."""
    if isinstance(event, ev.AttemptEnd):
        prefix = f"{event.scope}/{event.attempt}/"
    else:
        prefix = f"{event.namespace}/{event.batch}//{event.node}/"
    return [stored.name for stored in objects if not stored.name.startswith(prefix)]


def archived(
    state: State, recorded: Recorded, missing: str | None, now: float, new_id: Callable[[], str]
) -> Append:
    """The event to append when the outputs of an attempt are committed, or known to be `missing`."""
    event = recorded.event
    assert isinstance(event, ev.AttemptEnd), "only a job's outputs are announced"
    batch = state.batches[event.batch_id]
    job_archived = ev.JobArchived(
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
    return Append(job_archived, Guard(batch.job_seq[batch.rows[event.job]], batch.seq))
