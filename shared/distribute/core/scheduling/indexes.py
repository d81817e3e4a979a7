"""The indexes over the state, the pending events, the silence of nodes and time.

They make the cost of a decision depend on what has changed, not on how much waits. All of them follow from
what they index; `invariants.check_agenda` checks that.
"""

from __future__ import annotations

from distribute.core.folding.waits import is_waiting
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.scheduling.due import DueTimes, Key
from distribute.core.scheduling.giving_up import is_forsaken
from distribute.core.scheduling.liveness import Lease, Liveness
from distribute.core.scheduling.matching import Obstacle, ends, unavailable
from distribute.core.scheduling.node_order import NodeOrders, index_shape
from distribute.core.scheduling.overdue import Overdue
from distribute.core.scheduling.pending import Pending
from distribute.core.scheduling.queues import Queues, Waiting, WaitingGroups
from distribute.core.scheduling.releases import Releases
from distribute.core.scheduling.reservations import Reservation
from distribute.core.scheduling.shares import Shares
from distribute.core.scheduling.trials import asks_for_decision, has_failed_fast
from distribute.core.state.state import (
    ASSIGNED,
    IN_FLIGHT,
    QUEUED,
    BatchState,
    JobKey,
    NodeState,
    State,
)


class Indexes:
    """The state, what is pending, and the indexes over both. `now` is in seconds since 1970.

    The methods bring the indexes up to date after a change of what their names say.
    """

    def __init__(self, state: State, liveness: Liveness | None = None, *, now: float = 0.0) -> None:
        self.state = state
        self.now = now
        self.liveness = liveness if liveness is not None else Liveness(Lease(), now)
        self.pending = Pending()
        self.shares = Shares(state, self.pending)
        """Each person's share of the lab."""
        self.due = DueTimes()
        self.silent: set[str] = set()
        self._away: set[str] = set()
        """Nodes that are silent or lost: their attempts may be given to others."""
        self.overdue: Overdue = {}
        self.reserved: dict[str, Reservation] = {}
        """The nodes that the last decision kept, each for a job of a shape that it could not place."""
        self.held_back: dict[str, frozenset[BatchId]] = {}
        """The nodes on trial at the last decision, and the batches of which they take only probes."""
        self.suspects: set[str] = set()
        """Nodes whose record of fast failures asks for a decision."""
        self.queues = Queues()
        self.nodes_for = NodeOrders()
        self.waiting = WaitingGroups()
        self.to_release = Releases()
        """The attempts to check for release."""
        self.to_check: set[BatchId] = set()
        """The batches to check for their end."""
        for batch_id in state.batches:
            self.touch_batch(batch_id)
        for name in state.nodes:
            self.touch_node(name)

    @property
    def log_now(self) -> float:
        """What the log's clock shows now, as far as we can tell: see `LogClock`."""
        return self.liveness.log_clock.log_time(self.now)

    def obstacle_of(self, node: NodeState) -> Obstacle | None:
        """What keeps this node from taking any job now."""
        return unavailable(node, self.log_now, is_silent=self.liveness.is_silent(node, self.now))

    def let_go(self, event: ev.Event) -> None:
        """Stop counting an event that is no longer pending."""
        if type(event) is not ev.Assigned:
            return
        node = self.state.nodes.get(event.node)
        if node is not None:
            self.place_node(node)
        groups = self.waiting.get(event.batch_id)
        if groups is not None:
            self.shares.changed(groups[0].batch.user)
            row = groups[0].batch.rows[event.job]
            waiting = self.waiting.of(groups[0].batch, row)
            waiting.taken.discard(row)
            waiting.gate.line.pop(event.id, None)
            waiting.came_back(row)

    def touch_rows(self, dropped: list[ev.Event]) -> None:
        """Look again at the jobs, nodes and batches of pending events that were dropped."""
        for event in dropped:
            match event:
                case ev.JobEvent():
                    batch = self.state.batch_of(event)
                    if batch is not None and event.job in batch.rows:
                        self.touch_job(batch, batch.rows[event.job], event)
                case ev.NodeEvent():
                    self.touch_node(event.node)
                case ev.BatchEvent():
                    self.to_check.add(event.scope)
                case _:
                    pass

    def touch_job(self, batch: BatchState, row: int, event: ev.JobEvent) -> None:
        """Index a job anew after an event about its attempt."""
        self.shares.changed(batch.user)
        kind, status = type(event), batch.status[row]
        waiting, key = self.waiting.of(batch, row), JobKey(batch.id, row)
        if status == QUEUED:
            waiting.came_back(row)
        elif status in IN_FLIGHT:
            self.to_release.add(key)
        if row in batch.active or row in waiting.forsaken:
            self._judge(key, batch, waiting)
        if kind is not ev.Finished or status == QUEUED or batch.limits.depend_on_others:
            self.keep_with_others(waiting)  # else it did not wait, and does not
        if batch.last_is_outdated and batch.last_row is not None:
            self._look_at(JobKey(batch.id, batch.last_row), batch)  # no other node may take it over any more
        self.to_check.add(batch.id)
        node = self.state.nodes.get(event.node)
        if node is not None and kind is not ev.JobArchived:
            self.place_node(node)
        if kind is ev.Finished:
            if node is not None and has_failed_fast(node, key):
                self.liveness.suspected(node.name, self.now)
            self._note_suspect(event.node)

    def _note_suspect(self, name: str) -> None:
        node = self.state.nodes.get(name)
        is_suspect = node is not None and asks_for_decision(node)
        (self.suspects.add if is_suspect else self.suspects.discard)(name)

    def touch_build(self, event: ev.BuildEvent) -> None:
        """Look again at a batch and its jobs at a node after an event about its build there."""
        batch = self.state.batches.get(event.batch_id)
        if batch is None:
            return
        self.to_check.add(batch.id)
        node = self.state.nodes.get(event.node)
        if node is not None and event.node in batch.build_failed:
            self.to_release.add_all(batch.id, [key.row for key in node.attempts if key.batch == batch.id])

    def touch_batch(self, batch_id: BatchId) -> None:
        """Index a batch anew, with all its jobs."""
        batch = self.state.batches.get(batch_id)
        if batch is None:
            return
        for waiting in self.waiting.all_of(batch):
            waiting.look_again()
        self.touch_gate(batch_id)
        self.to_check.add(batch_id)
        if batch.active:
            self.to_release.add_all(batch_id, batch.active)
            for row, attempt in batch.active.items() if self._away else ():
                if attempt.node in self._away:
                    self._judge(JobKey(batch_id, row), batch, self.waiting.of(batch, row))

    def regroup(self, batch_id: BatchId) -> None:
        """Index the jobs of a batch by its groups of now, because a person changed what they ask for."""
        batch, groups = self.state.batches.get(batch_id), self.waiting.get(batch_id)
        if batch is None or not groups or groups[0].gate.groups == batch.groups:
            return
        for waiting in groups:
            self.queues.remove(waiting)
            index_shape(self, waiting.group.shape)
        self.waiting.regroup(batch, groups[0].gate)

    def touch_gate(self, batch_id: BatchId) -> None:
        """See whether jobs of the batch may begin, as far as it has to wait, and index them anew."""
        groups = self.waiting.get(batch_id)
        if groups is None:
            return
        gate = groups[0].gate
        gate.is_waiting = is_waiting(self.state, batch_id)
        if gate.batch.limits.not_before is not None:
            moment = self.liveness.log_clock.own_time(gate.batch.limits.not_before)
            gate.is_early = self.now < moment
            self._look_later(batch_id, moment)
        for waiting in groups:
            self.keep(waiting)

    def touch_all_by_time(self) -> None:
        """Look again at all that depends on the time, because the clock changed."""
        self.touch_all_nodes()
        for batch in self.state.batches.values():
            if batch.limits.not_before is not None:
                self.touch_gate(batch.id)

    def touch_all_nodes(self) -> None:
        """Index all nodes anew."""
        for name in self.state.nodes:
            self.touch_node(name)

    def touch_node(self, name: str) -> None:
        """Index a node anew, and look again at the attempts it holds if its change concerns them."""
        node = self.state.nodes.get(name)
        if node is None:
            self.nodes_for.remove(name)
            for names in (self.silent, self.suspects, self._away):
                names.discard(name)
            return
        if self.obstacle_of(node) is None:
            self.nodes_for.put(node, self.pending.held_of(name))
        else:
            self.nodes_for.remove(name)
        self._note_suspect(name)
        self._note_silence(node)
        was_away, is_away = name in self._away, node.presence == "lost" or name in self.silent
        (self._away.add if is_away else self._away.discard)(name)
        concerns_all = was_away or is_away or node.presence == "left" or bool(node.dropped)
        for key in node.attempts:
            batch = self.state.batches[key.batch]
            if concerns_all or batch.status[key.row] == ASSIGNED:
                self._look_at(key, batch)

    def _note_silence(self, node: NodeState) -> None:
        """Index whether the node is silent, and when its silence, pause, drain or quarantine is due."""
        lease = self.liveness.lease
        since = self.liveness.silent_since(node, self.now)
        is_silent = self.liveness.is_silent(node, self.now)
        (self.silent.add if is_silent else self.silent.discard)(node.name)
        own_ends = map(self.liveness.log_clock.own_time, ends(node))
        for moment in (since + lease.out_of_touch_s, since + lease.lost_after_s, *own_ends):
            self._look_later(node.name, moment)

    def look_again(self, key: Key) -> None:
        """Look at a node, a batch or an attempt that is due."""
        if isinstance(key, str):
            self.touch_node(key)
            return
        if isinstance(key, BatchId):
            self.touch_gate(key)
            return
        batch = self.state.batches.get(key.batch)
        if batch is not None and key.row in batch.active:
            self._look_at(key, batch)

    def _look_at(self, key: JobKey, batch: BatchState) -> None:
        """Check whether the attempt must be released, or may be given to another node."""
        self.to_release.add(key)
        self._judge(key, batch, self.waiting.of(batch, key.row))

    def _judge(self, key: JobKey, batch: BatchState, waiting: Waiting) -> None:
        """Index whether the attempt may be given to another node now, and when to look at it again."""
        attempt = batch.active.get(key.row)
        node = self.state.nodes.get(attempt.node) if attempt is not None else None
        is_lost = node is not None and node.presence == "lost"
        if is_lost and is_forsaken(self, key):
            waiting.forsaken.add(key.row)
            self.keep_with_others(waiting)
        elif key.row in waiting.forsaken:
            waiting.forsaken.remove(key.row)
            self.keep_with_others(waiting)
        if attempt is None or node is None:
            return
        if batch.status[key.row] == ASSIGNED:
            self._look_later(key, self.liveness.to_be_claimed_by(key))
        if is_lost:
            self._look_later(key, self.liveness.given_up_at(node, attempt, self.now))

    def _look_later(self, key: Key, moment: float) -> None:
        if moment > self.now:
            self.due.add(key, moment)

    def recheck_failed_builds(self) -> None:
        """After a node came or went: a build may now have failed on all present nodes."""
        batches = self.state.batches.values()
        self.to_check.update(batch.id for batch in batches if batch.build_failed and batch.end is None)

    def forget(self, batch_id: BatchId) -> None:
        """Forget a batch that was deleted or compacted."""
        # Its pending events no longer count: another batch may soon have the name.
        for scope in self.pending.of_batch(batch_id):
            for event in self.pending.drop(scope):
                self.let_go(event)
        self.shares.clear()
        for waiting in self.waiting.pop(batch_id, ()):
            self.queues.remove(waiting)
            index_shape(self, waiting.group.shape)
        self.to_release.forget(batch_id)
        self.liveness.forget(batch_id)
        for node in self.state.nodes.values():
            self.place_node(node)  # it may have had a job of the batch, assigned too late
            self._note_suspect(node.name)

    def keep_with_others(self, waiting: Waiting) -> None:
        """Index whether a job of the group waits; of all of its batch, if those depend on each other."""
        batch = waiting.batch
        if not batch.limits.depend_on_others:
            self.keep(waiting)
            return
        if batch.limits.has_last_job:
            self.waiting[batch.id][-1].look_again()  # an event of another job may have it run again
        for one in self.waiting[batch.id]:
            self.keep(one)

    def keep(self, waiting: Waiting) -> None:
        """Index whether a job of the group waits."""
        if self.queues.keep(waiting):
            index_shape(self, waiting.group.shape)

    def place_node(self, node: NodeState) -> None:
        """Update a node's place in the orders, because its free resources changed."""
        self.nodes_for.move(node, self.pending.held_of(node.name))
