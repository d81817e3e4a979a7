"""What could be done next: the state and what is pending, indexed for `decide`.

Everything here can be had from the state, the pending events and the nodes out of touch alone
(`tests/property` rebuilds it and compares); the indexes only make a decision cost what changed, not
what waits. A shape that waits somewhere knows the nodes that could ever run it (`capable`) and those
that could now (`fits`); a queue, one for each priority and person, knows its batches by shape.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from distribute.core import events as ev
from distribute.core.events import Recorded
from distribute.core.fold import apply, decayed_core_s
from distribute.core.fold_batch import NO_ROW
from distribute.core.ids import BatchId, Scope
from distribute.core.matching import NOTHING_HELD, Held, busy, never, unavailable
from distribute.core.state import BatchState, Group, JobKey, NodeState, Shape, State, Status

USAGE_WINDOW_S = 24 * 3600.0
"""Past use counts as the cores that, held for this long, would amount to it."""

QueueKey = tuple[int, str]
"""Minus the priority, and the person."""


@dataclass(slots=True, eq=False)
class Waiting:
    """The jobs of one group that wait: the lowest row first.

    Rows from `cursor` on were not looked at yet; those before it that came back are in `returned`.
    """

    batch: BatchState
    number: int
    group: Group
    cursor: int
    returned: list[int] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    """Rows whose assignment is pending."""

    def first(self) -> int | None:
        """The lowest row that waits, or None."""
        status = self.batch.status
        while self.returned:
            row = self.returned[0]
            if status[row] == Status.QUEUED and row not in self.taken:
                return row
            heapq.heappop(self.returned)
        row = status.find(Status.QUEUED, self.cursor, self.group.stop)
        while row != NO_ROW and row in self.taken:
            row = status.find(Status.QUEUED, row + 1, self.group.stop)
        self.cursor = self.group.stop if row == NO_ROW else row
        return None if row == NO_ROW else row

    def came_back(self, row: int) -> None:
        """A row behind the cursor waits again."""
        if row < self.cursor:
            heapq.heappush(self.returned, row)


@dataclass(slots=True)
class ShapeIndex:
    """The nodes for one shape, and how many lanes wait with it."""

    capable: set[str] = field(default_factory=set)
    fits: set[str] = field(default_factory=set)
    lanes: int = 0


Lane = list[tuple[int, BatchId, int]]
"""What waits of one person, priority and shape, by submission: its sequence, batch and number of group."""


class Agenda:
    """The state, what is pending, and the indexes over both."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.pending: dict[Scope, ev.Event] = {}
        self.pending_jobs: dict[BatchId, int] = {}
        self.held: dict[str, Held] = {}
        self.held_cores: dict[str, int] = {}
        self.out_of_touch: frozenset[str] = frozenset()
        self.queues: dict[QueueKey, dict[Shape, Lane]] = {}
        self.shapes: dict[Shape, ShapeIndex] = {}
        self.waiting: dict[BatchId, list[Waiting]] = {}
        self._listed: dict[tuple[BatchId, int], QueueKey] = {}
        self.to_release: dict[JobKey, None] = {}
        self.to_check: dict[BatchId, None] = {}
        self.suspects: dict[str, None] = {}
        for batch_id in state.batches:
            self._touch_batch(batch_id)
        for name in state.nodes:
            self._touch_node(name)

    # --- what happens ------------------------------------------------------------------------------

    def fold(self, recorded: Recorded) -> None:
        """Apply an event to the state, and bring the indexes up to it."""
        event = recorded.event
        gone = self.state.batches.get(event.scope) if isinstance(event, ev.Deleted) else None
        exonerating = isinstance(event, ev.Finished) and self._is_first_success(event)
        apply(self.state, recorded)
        if exonerating:
            self.suspects.update(dict.fromkeys(self.state.nodes))
        # Either ours has come back, or another event of its scope, and then the guard refuses ours.
        was_pending = self._unplan(event.scope)
        match event:
            case ev.Claimed() | ev.Started() if not was_pending:
                pass  # takes and frees nothing
            case ev.JobEvent():
                self._touch_job(event)
            case ev.NodeEvent():
                self._touch_node(event.node)
                if isinstance(event, ev.BuildFinished):
                    self._touch_build(event)
            case _:
                if gone is not None:
                    self._forget(gone)
                self._touch_batch(event.scope)

    def observe(self, out_of_touch: frozenset[str]) -> None:
        """Take note of which nodes are out of touch."""
        changed = self.out_of_touch ^ out_of_touch
        self.out_of_touch = out_of_touch
        for name in sorted(changed):
            if name in self.state.nodes:
                self._touch_node(name)

    def plan(self, event: ev.Event) -> None:
        """Count an event that is being appended as done, until it comes back or is dropped."""
        self.pending[event.scope] = event
        if not isinstance(event, ev.JobEvent):
            return
        self.pending_jobs[event.batch_id] = self.pending_jobs.get(event.batch_id, 0) + 1
        if isinstance(event, ev.Assigned):
            held = self.held.setdefault(event.node, Held())
            held.jobs += 1
            held.cpus += event.cpus
            held.memory_bytes += event.memory_bytes
            held.gpus.update(event.gpus)
            batch = self.state.batches[event.batch_id]
            self.held_cores[batch.user] = self.held_cores.get(batch.user, 0) + event.cpus
            waiting = self._waiting_of(batch, batch.rows[event.job])
            waiting.taken.add(batch.rows[event.job])
            self._list(waiting)
            self._fit_node(self.state.nodes[event.node])

    def drop(self, scope: Scope) -> None:
        """A pending event was refused: what it was for is to be decided anew."""
        event = self.pending.get(scope)
        if event is None:
            return
        self._unplan(scope)
        match event:
            case ev.JobEvent():
                self._touch_job(event)
            case ev.NodeEvent():
                self.suspects[event.node] = None
            case _:
                self.to_check[event.scope] = None

    def _unplan(self, scope: Scope) -> bool:
        event = self.pending.pop(scope, None)
        if event is None:
            return False
        if not isinstance(event, ev.JobEvent):
            return True
        left = self.pending_jobs[event.batch_id] - 1
        if left:
            self.pending_jobs[event.batch_id] = left
        else:
            del self.pending_jobs[event.batch_id]
        if isinstance(event, ev.Assigned):
            self._let_go(event)
        return True

    def _let_go(self, event: ev.Assigned) -> None:
        held = self.held[event.node]
        held.jobs -= 1
        held.cpus -= event.cpus
        held.memory_bytes -= event.memory_bytes
        held.gpus.difference_update(event.gpus)
        if not held.jobs:
            del self.held[event.node]
        batch = self.state.batches.get(event.batch_id)
        if batch is None:
            return
        self.held_cores[batch.user] -= event.cpus
        if not self.held_cores[batch.user]:
            del self.held_cores[batch.user]
        row = batch.rows[event.job]
        waiting = self._waiting_of(batch, row)
        waiting.taken.discard(row)
        waiting.came_back(row)

    # --- what is asked -----------------------------------------------------------------------------

    def held_of(self, node: str) -> Held:
        return self.held.get(node, NOTHING_HELD)

    def share(self, user: str, now: float) -> float:
        """What a person has of the lab, in cores: those held now, and past use spread over a day."""
        usage = self.state.usage.get(user)
        cores = self.held_cores.get(user, 0)
        if usage is None:
            return float(cores)
        return cores + usage.cores + decayed_core_s(usage, now) / USAGE_WINDOW_S

    def ranked(self, now: float) -> Iterator[dict[Shape, Lane]]:
        """The queues in their order: by priority, then to each according to share, then by submission."""

        def rank(key: QueueKey) -> tuple[int, float, int]:
            return (key[0], self.share(key[1], now), min(lane[0][0] for lane in self.queues[key].values()))

        for key in sorted(self.queues, key=rank):
            yield self.queues[key]

    def has_room(self) -> bool:
        """Could any job that waits run somewhere now?"""
        return any(index.fits for index in self.shapes.values())

    # --- indexes -----------------------------------------------------------------------------------

    def _touch_job(self, event: ev.JobEvent) -> None:
        batch = self.state.batches.get(event.batch_id)
        row = batch.rows.get(event.job) if batch is not None else None
        if batch is None or row is None:
            return
        if row in batch.active:
            self.to_release[JobKey(batch.id, row)] = None
        else:
            waiting = self._waiting_of(batch, row)
            if batch.status[row] == Status.QUEUED:
                waiting.came_back(row)
            self._list(waiting)
        self.to_check[batch.id] = None
        node = self.state.nodes.get(event.node)
        if node is not None:
            self._fit_node(node)
        if isinstance(event, ev.Finished) and not event.succeeded:
            self.suspects[event.node] = None

    def _is_first_success(self, event: ev.Finished) -> bool:
        """The first success on a node shows that a batch is sound, and that nodes it fails on may not be."""
        batch = self.state.batches.get(event.batch_id)
        return event.succeeded and batch is not None and event.node not in batch.succeeded_on

    def _touch_build(self, event: ev.BuildFinished) -> None:
        batch = self.state.batches.get(event.batch_id)
        if batch is None:
            return
        self.to_check[batch.id] = None
        if not event.succeeded:
            self.to_release.update((JobKey(batch.id, row), None) for row in batch.active)

    def _touch_batch(self, batch_id: BatchId) -> None:
        batch = self.state.batches.get(batch_id)
        if batch is None:
            return
        if batch_id not in self.waiting:
            self.waiting[batch_id] = [
                Waiting(batch, number, group, group.start) for number, group in enumerate(batch.groups)
            ]
        for waiting in self.waiting[batch_id]:
            waiting.cursor = waiting.group.start
            waiting.returned.clear()
            self._list(waiting)
        self.to_check[batch_id] = None
        self.to_release.update((JobKey(batch_id, row), None) for row in batch.active)

    def _touch_node(self, name: str) -> None:
        node = self.state.nodes.get(name)
        if node is None:
            return
        for shape, index in self.shapes.items():
            self._index_node(node, shape, index)
        self.to_release.update(dict.fromkeys(sorted(node.attempts)))
        self.to_release.update(dict.fromkeys(node.fast_failures))
        self.suspects[name] = None
        for batch_id, batch in self.state.batches.items():
            if batch.build_failed and batch.end is None:
                self.to_check[batch_id] = None

    def _forget(self, batch: BatchState) -> None:
        for waiting in self.waiting.pop(batch.id, ()):
            self._unlist(batch.id, waiting.number)
        for key in [key for key in self.to_release if key.batch == batch.id]:
            del self.to_release[key]

    def _waiting_of(self, batch: BatchState, row: int) -> Waiting:
        for waiting in self.waiting[batch.id]:
            if row < waiting.group.stop:
                return waiting
        raise IndexError(f"{batch.id} has no row {row}")

    def _list(self, waiting: Waiting) -> None:
        """Keep the group in its lane while it has a job that waits, and in no other."""
        batch = waiting.batch
        number = waiting.number
        key = (-batch.priority, batch.user)
        listed = self._listed.get((batch.id, number))
        wanted = key if waiting.first() is not None and batch.end is None else None
        if listed == wanted:
            return
        if listed is not None:
            self._unlist(batch.id, number)
        if wanted is not None:
            shape = waiting.group.shape
            lane = self.queues.setdefault(wanted, {}).setdefault(shape, [])
            insort(lane, (batch.seq, batch.id, number))
            self._listed[batch.id, number] = wanted
            self._shape_index(shape).lanes += 1

    def _unlist(self, batch_id: BatchId, number: int) -> None:
        key = self._listed.pop((batch_id, number), None)
        if key is None:
            return
        queue = self.queues[key]
        for shape, lane in queue.items():
            kept = [entry for entry in lane if entry[1:] != (batch_id, number)]
            if len(kept) == len(lane):
                continue
            queue[shape] = kept
            if not kept:
                del queue[shape]
                if not queue:
                    del self.queues[key]
            self.shapes[shape].lanes -= 1
            if not self.shapes[shape].lanes:
                del self.shapes[shape]
            return

    def _shape_index(self, shape: Shape) -> ShapeIndex:
        index = self.shapes.get(shape)
        if index is None:
            index = self.shapes[shape] = ShapeIndex()
            for node in self.state.nodes.values():
                self._index_node(node, shape, index)
        return index

    def _index_node(self, node: NodeState, shape: Shape, index: ShapeIndex) -> None:
        index.capable.discard(node.name)
        index.fits.discard(node.name)
        if unavailable(node, node.name in self.out_of_touch) is None and never(node, shape) is None:
            index.capable.add(node.name)
            if busy(node, shape, self.held_of(node.name)) is None:
                index.fits.add(node.name)

    def _fit_node(self, node: NodeState) -> None:
        """A node took or gave back something: which shapes fit it now?"""
        held = self.held_of(node.name)
        for shape, index in self.shapes.items():
            if node.name in index.capable and busy(node, shape, held) is None:
                index.fits.add(node.name)
            else:
                index.fits.discard(node.name)

    def take_releases(self) -> Iterable[JobKey]:
        """The jobs that may have to be released, to be looked at once."""
        taken, self.to_release = self.to_release, {}
        return taken

    def take_checks(self) -> Iterable[BatchId]:
        """The batches that may have ended, to be looked at once."""
        taken, self.to_check = self.to_check, {}
        return taken

    def take_suspects(self) -> Iterable[str]:
        """The nodes that may be broken, to be looked at once."""
        taken, self.suspects = self.suspects, {}
        return taken
