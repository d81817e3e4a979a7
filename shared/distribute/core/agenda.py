"""What could be done next: the state and what is pending, indexed for `decide`.

Everything here can be had from the state, the pending events and the nodes out of touch alone
(`invariants.check_agenda` rebuilds it and compares); the indexes only make a decision cost what changed,
not what waits. `queues` has what waits by priority, person and shape; `nodes_for`, for each shape that
waits, the nodes in order of how well they fit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from distribute.core import events as ev
from distribute.core.events import Recorded, guard_scope
from distribute.core.fold import apply
from distribute.core.fold_job import decayed_core_s
from distribute.core.ids import BatchId, Scope, Under
from distribute.core.matching import NOTHING_HELD, Held, never, unavailable
from distribute.core.node_order import NodeOrder
from distribute.core.overdue import Overdue, find_overdue
from distribute.core.queues import Queues, Waiting
from distribute.core.state import BatchState, JobKey, NodeState, Shape, State, Status

USAGE_WINDOW_S = 24 * 3600.0
"""Past use counts as the cores that, held for this long, would amount to it."""

QUARANTINE_AFTER = 5
"""This many fast failures, one after another, make a node suspect."""


class Agenda:
    """The state, what is pending, and the indexes over both."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.pending: dict[Scope, ev.Event] = {}
        self.pending_jobs: dict[BatchId, int] = {}
        self.pending_quarantines: set[str] = set()
        self.held: dict[str, Held] = {}
        self.held_cores: dict[str, int] = {}
        self.out_of_touch: frozenset[str] = frozenset()
        self.overdue: Overdue = {}
        self.reserved: dict[str, Shape] = {}
        """The nodes that the last decision kept, each for a job of a shape that it could not place."""
        self.queues = Queues()
        self.nodes_for: dict[Shape, NodeOrder] = {}
        self.waiting: dict[BatchId, list[Waiting]] = {}
        self._to_release: dict[JobKey, None] = {}
        self._to_check: dict[BatchId, None] = {}
        self._suspects: dict[str, None] = {}
        for batch_id in state.batches:
            self._touch_batch(batch_id)
        for name in state.nodes:
            self._touch_node(name)

    # --- what happens ------------------------------------------------------------------------------

    def fold(self, recorded: Recorded) -> None:
        """Apply an event to the state, and bring the indexes up to it."""
        event = recorded.event
        scope = event.scope
        batch_before = self.state.batches.get(event.scope) if event.type == "deleted" else None
        apply(self.state, recorded)
        # Either ours has come back, or another event of its scope, and then the guard refuses ours.
        was_pending = self._unplan(scope)
        if isinstance(event, ev.JobEvent | ev.BuildEvent):
            self._unplan_end(event.batch_id)
        match event.type:
            case "claimed" | "started" if not was_pending:
                pass  # takes and frees nothing
            case "assigned" | "claimed" | "started" | "finished" | "released" | "job_archived":
                self._touch_job(event)
            case "submitted" | "kill_requested" | "retry_requested" | "reprioritized":
                self._touch_batch(event.scope)
            case "completed" | "batch_archived" | "deleted":
                if batch_before is not None and event.scope not in self.state.batches:
                    self._forget(batch_before)
                self._touch_batch(event.scope)
            case _:
                self._touch_node(event.node)
                if event.type == "build_finished":
                    self._touch_build(event)
                elif event.type in {"joined", "left", "lost"}:
                    self._recheck_failed_builds()

    def observe(self, out_of_touch: frozenset[str]) -> None:
        """Take note of which nodes are out of touch, and of what has waited too long. Every second or so."""
        changed = self.out_of_touch ^ out_of_touch
        self.out_of_touch = out_of_touch
        for name in sorted(changed):
            if name in self.state.nodes:
                self._touch_node(name)
        self.overdue = find_overdue(self.state, self.queues, self.nodes_for)

    def plan(self, event: ev.Event) -> None:
        """Count an event that is being appended as done, until it comes back or is dropped."""
        self.pending[event.scope] = event
        if isinstance(event, ev.Quarantined):
            self.pending_quarantines.add(event.node)
        if not isinstance(event, ev.JobEvent):
            return
        batch_id = event.batch_id
        self.pending_jobs[batch_id] = self.pending_jobs.get(batch_id, 0) + 1
        if isinstance(event, ev.Assigned):
            held = self.held.setdefault(event.node, Held())
            held.jobs += 1
            held.cpus += event.cpus
            held.memory_bytes += event.memory_bytes
            held.gpus.update(event.gpus)
            batch = self.state.batches[batch_id]
            self.held_cores[batch.user] = self.held_cores.get(batch.user, 0) + event.cpus
            row = batch.rows[event.job]
            waiting = self._waiting_of(batch, row)
            waiting.taken.add(row)
            self._keep(waiting)
            self._place_node(self.state.nodes[event.node])

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
                self._touch_node(event.node)
            case _:
                self._to_check[event.scope] = None

    def _unplan(self, scope: Scope) -> bool:
        event = self.pending.pop(scope, None)
        if event is None:
            return False
        if isinstance(event, ev.Quarantined):
            self.pending_quarantines.remove(event.node)
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

    def _unplan_end(self, batch_id: BatchId) -> None:
        """Something happened under a batch: the guard of a pending end refuses that end now."""
        pending = self.pending.get(batch_id)
        if pending is not None and isinstance(guard_scope(pending), Under):
            self._unplan(batch_id)
            self._to_check[batch_id] = None

    def _let_go(self, event: ev.Assigned) -> None:
        held = self.held[event.node]
        held.jobs -= 1
        held.cpus -= event.cpus
        held.memory_bytes -= event.memory_bytes
        held.gpus.difference_update(event.gpus)
        if not held.jobs:
            del self.held[event.node]
        self._place_node(self.state.nodes[event.node])
        batch = self.waiting[event.batch_id][0].batch  # the state may have it no more
        self.held_cores[batch.user] -= event.cpus
        if not self.held_cores[batch.user]:
            del self.held_cores[batch.user]
        row = batch.rows[event.job]
        waiting = self._waiting_of(batch, row)
        waiting.taken.discard(row)
        waiting.came_back(row)

    # --- what is asked -----------------------------------------------------------------------------

    def held_of(self, node: str) -> Held:
        """What assignments that are under way will take of the node."""
        return self.held.get(node, NOTHING_HELD)

    def share(self, user: str, now: float) -> float:
        """What a person has of the lab, in cores: those held now, and past use spread over a day."""
        cores = self.held_cores.get(user, 0)
        usage = self.state.usage.get(user)
        if usage is None:
            return float(cores)
        return cores + usage.cores + decayed_core_s(usage, now) / USAGE_WINDOW_S

    def kept_for_gpu_work(self) -> set[str]:
        """The nodes whose GPUs work waits for that could be built there: others would be in its way."""
        kept: set[str] = set()
        for shape, groups in self.queues.shapes.items():
            names = self.nodes_for[shape].names if shape.gpus else set()
            for _, batch_id, _ in groups if names else ():
                build_failed = self.state.batches[batch_id].build_failed
                kept |= names - build_failed.keys()
                if not build_failed:
                    break  # the others can't add to it
        return kept

    # --- indexes -----------------------------------------------------------------------------------

    def _touch_job(self, event: ev.JobEvent) -> None:
        batch = self.state.batches.get(event.batch_id)
        row = batch.rows.get(event.job) if batch is not None else None
        if batch is None or row is None:
            return
        waiting = self._waiting_of(batch, row)
        if batch.status[row] == Status.QUEUED:
            waiting.came_back(row)
        elif batch.status[row] != Status.SUCCEEDED:
            self._to_release[JobKey(batch.id, row)] = None
        self._keep(waiting)
        self._to_check[batch.id] = None
        node = self.state.nodes.get(event.node)
        if node is None:
            return
        self._place_node(node)
        if isinstance(event, ev.Finished):
            self._suspect(batch, node, event.succeeded)

    def _suspect(self, batch: BatchState, node: NodeState, succeeded: bool) -> None:
        """A failure speaks against its node, and so may a batch's first successes elsewhere."""
        if not succeeded:
            self._suspects[node.name] = None
        elif len(batch.succeeded_on) <= 2:
            for name, other in self.state.nodes.items():
                if len(other.fast_failures) >= QUARANTINE_AFTER:
                    self._suspects[name] = None

    def _touch_build(self, event: ev.BuildFinished) -> None:
        batch = self.state.batches.get(event.batch_id)
        if batch is None:
            return
        self._to_check[batch.id] = None
        if not event.succeeded:
            self._to_release.update((JobKey(batch.id, row), None) for row in batch.active)

    def _touch_batch(self, batch_id: BatchId) -> None:
        batch = self.state.batches.get(batch_id)
        if batch is None:
            return
        if batch_id not in self.waiting:
            self.waiting[batch_id] = [
                Waiting(batch, number, group, group.start) for number, group in enumerate(batch.groups)
            ]
        for waiting in self.waiting[batch_id]:
            waiting.look_again()
            self._keep(waiting)
        self._to_check[batch_id] = None
        self._to_release.update((JobKey(batch_id, row), None) for row in batch.active)

    def _touch_node(self, name: str) -> None:
        node = self.state.nodes.get(name)
        if node is None:
            return
        for shape, order in self.nodes_for.items():
            if unavailable(node, name in self.out_of_touch) is None and never(node, shape) is None:
                order.put(node, self.held_of(name))
            else:
                order.remove(name)
        self._to_release.update(dict.fromkeys(sorted(node.attempts)))
        self._to_release.update(dict.fromkeys(node.fast_failures))
        self._suspects[name] = None

    def _recheck_failed_builds(self) -> None:
        """Which nodes are there has changed: a build may now have failed on all of them."""
        for batch_id, batch in self.state.batches.items():
            if batch.build_failed and batch.end is None:
                self._to_check[batch_id] = None

    def _forget(self, batch: BatchState) -> None:
        # What is under way for it counts no more: the name may soon be another batch's.
        for event in list(self.pending.values()):
            if isinstance(event, ev.JobEvent) and event.batch_id == batch.id:
                self._unplan(event.scope)
        for waiting in self.waiting.pop(batch.id, ()):
            self.queues.remove(waiting)
            self._index_shape(waiting.group.shape)
        for key in [key for key in self._to_release if key.batch == batch.id]:
            del self._to_release[key]
        for node in self.state.nodes.values():
            self._place_node(node)  # it may have had a job of the batch, assigned too late

    def _waiting_of(self, batch: BatchState, row: int) -> Waiting:
        groups = self.waiting[batch.id]
        return groups[bisect_right(groups, row, key=lambda waiting: waiting.group.start) - 1]

    def _keep(self, waiting: Waiting) -> None:
        if self.queues.keep(waiting):
            self._index_shape(waiting.group.shape)

    def _index_shape(self, shape: Shape) -> None:
        """Have an order of nodes for the shape if it waits, and none if it does not."""
        if shape not in self.queues.shapes:
            self.nodes_for.pop(shape, None)
        elif shape not in self.nodes_for:
            order = self.nodes_for[shape] = NodeOrder(shape)
            for node in self.state.nodes.values():
                if unavailable(node, node.name in self.out_of_touch) is None and never(node, shape) is None:
                    order.put(node, self.held_of(node.name))

    def _place_node(self, node: NodeState) -> None:
        """A node took or gave back something."""
        held = self.held_of(node.name)
        for order in self.nodes_for.values():
            if node.name in order:
                order.put(node, held)

    # --- what is to be looked at, once -------------------------------------------------------------

    def take_releases(self) -> Iterable[JobKey]:
        """The jobs that may have to be released."""
        taken, self._to_release = self._to_release, {}
        return taken

    def take_checks(self) -> Iterable[BatchId]:
        """The batches that may have ended."""
        taken, self._to_check = self._to_check, {}
        return taken

    def check_again(self, batch_id: BatchId) -> None:
        """What was to be known of the batch's end can't be said yet."""
        self._to_check[batch_id] = None

    def take_suspects(self) -> Iterable[str]:
        """The nodes that may be broken."""
        taken, self._suspects = self._suspects, {}
        return taken
