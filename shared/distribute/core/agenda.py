"""The agenda: the state, the pending events and the silence of nodes, indexed for `decide`.

The indexes follow from state, pending events, `liveness` and time; `invariants.check_agenda` checks that.
They make the cost of a decision depend on what has changed, not on how much waits.
"""

from __future__ import annotations

from distribute.core import events as ev
from distribute.core.beats import Beat
from distribute.core.due import DueTimes, Key
from distribute.core.fold import apply
from distribute.core.giving_up import is_forsaken
from distribute.core.ids import BatchId, Scope, Under
from distribute.core.liveness import Lease, Liveness, claimed_by
from distribute.core.matching import Obstacle, ends, unavailable
from distribute.core.node_order import NodeOrders, index_shape
from distribute.core.overdue import Overdue, find_overdue
from distribute.core.packed import Record
from distribute.core.packing import pack
from distribute.core.pending import Pending
from distribute.core.queues import Queues, Waiting, WaitingGroups
from distribute.core.recorded import Recorded, guard_scope
from distribute.core.releases import Releases
from distribute.core.shares import Shares
from distribute.core.state import ASSIGNED, IN_FLIGHT, QUEUED, BatchState, JobKey, NodeState, Shape, State
from distribute.core.trials import asks_for_decision, suspect_of


class Agenda:
    """The state, what is pending, and the indexes over both. `now` is in seconds since 1970."""

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
        self.reserved: dict[str, Shape] = {}
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
            self._touch_batch(batch_id)
        for name in state.nodes:
            self._touch_node(name)

    # --- what happens ------------------------------------------------------------------------------

    def fold(self, recorded: Recorded) -> None:
        """Apply an event to the state, and update the indexes."""
        event = recorded.event
        existed = type(event) is ev.Deleted and self.state.find(event.scope) is not None
        suspect = suspect_of(self.state, event) if type(event) is ev.Finished else None
        writer = None if event.about == "batch" or event.author != event.node else event.node
        if writer is not None:
            self.liveness.heard(writer, self.now)  # whatever a node writes is a sign of life
        packed, before = len(self.state.packed), self.state.time
        apply(self.state, recorded)
        if len(self.state.packed) < packed and event.about != "node":
            self._touch_batch(event.batch_id)  # it was unpacked
        settled = self.pending.settle(event)
        for own in settled:
            self._let_go(own)
        self._read_log_clock(before, settled[0] if settled and settled[0].id == event.id else None)
        if event.about == "job":
            self._fold_job_event(event, settled)
            if suspect is not None and suspect != event.node:
                self._touch_node(suspect)  # its record changed, which may lift its quarantine
        elif event.about == "build":
            self._drop_pending_end(event.batch_id)
            self._touch_build(event)
        elif event.about == "node":
            self._touch_node(event.node)
            if event.node not in self.state.nodes:
                self.liveness.forget_node(event.node)
            if event.type in {"joined", "left", "lost", "forgotten"}:
                self._recheck_failed_builds()
        else:
            if existed and event.scope not in self.state.batches:
                self._forget(event.scope)
            self._touch_batch(event.scope)
        if writer is not None and writer in self.silent:
            self._touch_node(writer)

    def _read_log_clock(self, before: float, own: ev.Event | None) -> None:
        """See how far the log's clock is from ours, by the event just folded. `own`: that event, if ours."""
        time, clock = self.state.time, self.liveness.log_clock
        if own is None and before <= time <= self.now + clock.ahead_s:
            return  # it says nothing new; this is so for most events of a replay
        written_at = own.time.timestamp() if own is not None else None
        if clock.arrived(time, self.now, is_earlier=time < before, written_at=written_at):
            self._touch_all_nodes()

    def pack(self, batch_id: BatchId, fixed: Record, changing: Record) -> None:
        """Pack a batch, unless it has pending events. See `packing.packable`."""
        if batch_id in self.pending or batch_id in self.pending.jobs:
            return
        pack(self.state, batch_id, fixed, changing)
        del self.waiting[batch_id]

    def unpacked(self, batch: BatchState) -> None:
        """Take back a packed batch that the caller unpacked in slices. The fold would unpack it in one go."""
        del self.state.packed[batch.id]
        self.state.batches[batch.id] = batch
        self._touch_batch(batch.id)

    def hear(self, beat: Beat) -> None:
        """Take a node's heartbeat."""
        node = self.state.nodes.get(beat.node)
        if node is None:
            return
        self.liveness.heard(beat.node, self.now)
        if node.name in self.silent:
            self._touch_node(node.name)
        claimed = claimed_by(self.state, node)
        self.liveness.named(beat.running, claimed, self.now)
        for key, _ in claimed:
            gone_at = self.liveness.gone_at(key)
            if gone_at is not None:
                self.due.add(key, gone_at)

    def was_deaf(self) -> None:
        """Note that the listener was away. Every node gets a whole new lease."""
        self.liveness.was_deaf(self.now)
        self._touch_all_nodes()

    def pass_time(self, now: float) -> None:
        """Set the time, and handle everything that is due."""
        went_back = now < self.now
        self.now = now
        if went_back:
            self._touch_all_nodes()
        for key in self.due.pop(now):
            self._look_again(key)

    def tick(self, now: float) -> None:
        """Call this about every second: find silent nodes, and jobs that have waited for too long."""
        self.pass_time(now)
        if self.liveness.tick(now):
            self._touch_all_nodes()
        self.look_for_overdue()

    def look_for_overdue(self) -> None:
        """Find the jobs that have waited for too long."""
        self.overdue = find_overdue(self.state, self.pending, self.queues, self.nodes_for)

    def plan(self, event: ev.Event) -> None:
        """Count an event as done while it is appended, until it comes back from the log or is dropped."""
        if type(event) is not ev.Assigned:
            self.pending.add(event)
            return
        batch = self.state.batches[event.batch_id]
        self.pending.add(event, batch.user)
        self.shares.changed(batch.user)
        row = batch.rows[event.job]
        waiting = self.waiting.of(batch, row)
        waiting.taken.add(row)
        self._keep(waiting)
        node = self.state.nodes.get(event.node)
        if node is not None:  # it may have been forgotten meanwhile
            self._place_node(node)

    def drop(self, scope: Scope) -> None:
        """Drop the pending events of a scope, because one was refused. Decide anew about their jobs."""
        dropped = self.pending.drop(scope)
        for event in dropped:
            self._let_go(event)
        self._touch_rows(dropped)

    def _drop_pending_end(self, batch_id: BatchId) -> None:
        """Drop a pending end of the batch: its guard fails, because something happened under the batch."""
        pending = self.pending.of_scope.get(batch_id)
        if pending and any(isinstance(guard_scope(event), Under) for event in pending):
            self.drop(batch_id)

    def _touch_rows(self, dropped: list[ev.Event]) -> None:
        """Look again at the jobs, nodes and batches of pending events that were dropped."""
        for event in dropped:
            match event:
                case ev.JobEvent():
                    batch = self.state.batch_of(event)
                    if batch is not None and event.job in batch.rows:
                        self._touch_job(batch, JobKey(batch.id, batch.rows[event.job]), event)
                case ev.NodeEvent():
                    self._touch_node(event.node)
                case ev.BatchEvent():
                    self.to_check.add(event.scope)
                case _:
                    pass

    def _let_go(self, event: ev.Event) -> None:
        """Stop counting an event that is no longer pending."""
        if type(event) is not ev.Assigned:
            return
        node = self.state.nodes.get(event.node)
        if node is not None:
            self._place_node(node)
        groups = self.waiting.get(event.batch_id)
        if groups is not None:
            self.shares.changed(groups[0].batch.user)
            row = groups[0].batch.rows[event.job]
            waiting = self.waiting.of(groups[0].batch, row)
            waiting.taken.discard(row)
            waiting.came_back(row)

    # --- questions ---------------------------------------------------------------------------------

    @property
    def log_now(self) -> float:
        """What the log's clock shows now, as far as we can tell: see `LogClock`."""
        return self.liveness.log_clock.log_time(self.now)

    def obstacle_of(self, node: NodeState) -> Obstacle | None:
        """What keeps this node from taking any job now."""
        return unavailable(node, self.log_now, is_silent=self.liveness.is_silent(node, self.now))

    # --- indexes -----------------------------------------------------------------------------------

    def _fold_job_event(self, event: ev.JobEvent, settled: list[ev.Event]) -> None:
        batch = self.state.batch_of(event)
        if self.pending:
            self._drop_pending_end(batch.id if batch is not None else event.batch_id)
        row = batch.rows.get(event.job) if batch is not None else None
        if batch is None or row is None:
            return
        key = JobKey(batch.id, row)
        kind = type(event)
        if batch.status[row] != ASSIGNED:
            self.liveness.settled(key)
        elif kind is ev.Assigned:
            self.liveness.assigned(key, self.now)
        if kind is ev.Claimed or kind is ev.Started:
            if settled:
                self._touch_rows(settled)  # our pending events, which came second
        elif kind is ev.JobArchived and not settled and batch.status[row] != QUEUED:
            self.to_check.add(batch.id)  # nothing else may have changed
        else:
            self._touch_job(batch, key, event)

    def _touch_job(self, batch: BatchState, key: JobKey, event: ev.JobEvent) -> None:
        self.shares.changed(batch.user)
        row = key.row
        waiting = self.waiting.of(batch, row)
        status = batch.status[row]
        if status == QUEUED:
            waiting.came_back(row)
        elif status in IN_FLIGHT:
            self.to_release.add(key)
        self._judge(key, batch, waiting)
        self.to_check.add(batch.id)
        node = self.state.nodes.get(event.node)
        if node is not None and type(event) is not ev.JobArchived:
            self._place_node(node)
        if type(event) is ev.Finished:
            if node is not None and any(key in record.fast_failures for record in node.records):
                self.liveness.suspected(node.name, self.now)
            self._note_suspect(event.node)

    def _note_suspect(self, name: str) -> None:
        node = self.state.nodes.get(name)
        is_suspect = node is not None and asks_for_decision(node)
        (self.suspects.add if is_suspect else self.suspects.discard)(name)

    def _touch_build(self, event: ev.BuildEvent) -> None:
        batch = self.state.batches.get(event.batch_id)
        if batch is None:
            return
        self.to_check.add(batch.id)
        node = self.state.nodes.get(event.node)
        if node is not None and event.node in batch.build_failed:
            self.to_release.add_all(batch.id, [key.row for key in node.attempts if key.batch == batch.id])

    def _touch_batch(self, batch_id: BatchId) -> None:
        batch = self.state.batches.get(batch_id)
        if batch is None:
            return
        for waiting in self.waiting.all_of(batch):
            waiting.look_again()
            self._keep(waiting)
        self.to_check.add(batch_id)
        if batch.active:
            self.to_release.add_all(batch_id, batch.active)
            for row, attempt in batch.active.items() if self._away else ():
                if attempt.node in self._away:
                    self._judge(JobKey(batch_id, row), batch, self.waiting.of(batch, row))

    def _touch_all_nodes(self) -> None:
        for name in self.state.nodes:
            self._touch_node(name)

    def _touch_node(self, name: str) -> None:
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

    def _look_again(self, key: Key) -> None:
        """Look at a node or an attempt that is due."""
        if isinstance(key, str):
            self._touch_node(key)
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
        else:
            waiting.forsaken.discard(key.row)
        self._keep(waiting)
        if attempt is None or node is None:
            return
        if batch.status[key.row] == ASSIGNED:
            self._look_later(key, self.liveness.to_be_claimed_by(key))
        if is_lost:
            self._look_later(key, self.liveness.given_up_at(node, attempt, self.now))

    def _look_later(self, key: Key, moment: float) -> None:
        if moment > self.now:
            self.due.add(key, moment)

    def _recheck_failed_builds(self) -> None:
        """After a node came or went: a build may now have failed on all present nodes."""
        batches = self.state.batches.values()
        self.to_check.update(batch.id for batch in batches if batch.build_failed and batch.end is None)

    def _forget(self, batch_id: BatchId) -> None:
        # Its pending events no longer count: another batch may soon have the name.
        for scope in self.pending.of_batch(batch_id):
            for event in self.pending.drop(scope):
                self._let_go(event)
        self.shares.clear()
        for waiting in self.waiting.pop(batch_id, ()):
            self.queues.remove(waiting)
            index_shape(self, waiting.group.shape)
        self.to_release.forget(batch_id)
        self.liveness.forget(batch_id)
        for node in self.state.nodes.values():
            self._place_node(node)  # it may have had a job of the batch, assigned too late
            self._note_suspect(node.name)

    def _keep(self, waiting: Waiting) -> None:
        if self.queues.keep(waiting):
            index_shape(self, waiting.group.shape)

    def _place_node(self, node: NodeState) -> None:
        """Update a node's place in the orders, because its free resources changed."""
        self.nodes_for.move(node, self.pending.held_of(node.name))
