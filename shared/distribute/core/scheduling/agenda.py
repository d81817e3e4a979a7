"""The agenda: what the scheduler knows, and everything that can happen to it before `decide`.

An event comes from the log, a node beats, time passes, our own event is under way: each changes the state,
the pending events or the silence of nodes, and then the indexes over them.
"""

from __future__ import annotations

from distribute.core.folding.fold import apply
from distribute.core.folding.waits import waiters_for
from distribute.core.ids import BatchId, Scope, Under
from distribute.core.log import events as ev
from distribute.core.log.authors import BY_A_NODE
from distribute.core.log.beats import Beat
from distribute.core.log.recorded import Recorded, guard_scope
from distribute.core.scheduling.indexes import Indexes
from distribute.core.scheduling.liveness import claimed_by
from distribute.core.scheduling.overdue import find_overdue
from distribute.core.scheduling.trials import suspect_of
from distribute.core.state.packed import Record
from distribute.core.state.packing import pack
from distribute.core.state.state import ASSIGNED, QUEUED, BatchState, JobKey

_COMES_OR_GOES = frozenset({ev.Joined, ev.Left, ev.Lost, ev.Forgotten, ev.Listed})


class Agenda(Indexes):
    """The state, what is pending, the silence of nodes, and the indexes over them."""

    def fold(self, recorded: Recorded) -> str | None:
        """Apply an event to the state, and update the indexes. Returns why it does not fit, or None."""
        event = recorded.event
        if type(event) in BY_A_NODE:
            self.liveness.heard(event.author, self.now)  # whatever a node writes is a sign of life
        if event.about == "job":
            misfit = self._fold_job_event(recorded, event)
        elif event.about == "batch":
            misfit = self._fold_batch_event(recorded, event)
        elif event.about == "build":
            misfit, _ = self._apply(recorded)
            self._drop_pending_end(event.batch_id)
            self.touch_build(event)
        else:
            misfit, _ = self._apply(recorded)
            self._index_node_event(event)
        if self.silent and event.author in self.silent and type(event) in BY_A_NODE:
            self.touch_node(event.author)
        return misfit

    def _apply(self, recorded: Recorded) -> tuple[str | None, list[ev.Event]]:
        """Apply an event to the state. Returns why it does not fit, and our events that it settles."""
        state, event = self.state, recorded.event
        packed, time_before = len(state.packed), state.time
        misfit = apply(state, recorded)
        if len(state.packed) < packed and event.about != "node":
            self.touch_batch(event.batch_id)  # it was unpacked
        settled = self.pending.settle(event) if self.pending.of_scope else []
        for own in settled:
            self.let_go(own)
        if settled or not time_before <= state.time <= self.now + self.liveness.log_clock.ahead_s:
            # Else it says nothing new of the log's clock, as most events of a replay.
            self._read_log_clock(time_before, settled[0] if settled and settled[0].id == event.id else None)
        return misfit, settled

    def _read_log_clock(self, before: float, own: ev.Event | None) -> None:
        """See how far the log's clock is from ours, by the event just folded. `own`: that event, if ours."""
        time, clock = self.state.time, self.liveness.log_clock
        written_at = own.time.timestamp() if own is not None else None
        if clock.arrived(time, self.now, is_earlier=time < before, written_at=written_at):
            self.touch_all_by_time()

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
        self.touch_batch(batch.id)

    def hear(self, beat: Beat) -> None:
        """Take a node's heartbeat."""
        node = self.state.nodes.get(beat.node)
        if node is None:
            return
        self.liveness.heard(beat.node, self.now)
        if node.name in self.silent:
            self.touch_node(node.name)
        claimed = claimed_by(self.state, node)
        self.liveness.named(beat.running, claimed, self.now)
        for key, _ in claimed:
            gone_at = self.liveness.gone_at(key)
            if gone_at is not None:
                self.due.add(key, gone_at)

    def was_deaf(self) -> None:
        """Note that the listener was away. Every node gets a whole new lease."""
        self.liveness.was_deaf(self.now)
        self.touch_all_nodes()

    def pass_time(self, now: float) -> None:
        """Set the time, and handle everything that is due."""
        went_back = now < self.now
        self.now = now
        if went_back:
            self.touch_all_by_time()
        for key in self.due.pop(now):
            self.look_again(key)

    def tick(self, now: float) -> None:
        """Call this about every second: find silent nodes, and jobs that have waited for too long."""
        self.pass_time(now)
        if self.liveness.tick(now):
            self.touch_all_nodes()
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
        self.pending.assign(event, batch)
        self.shares.changed(batch.user)
        row = batch.rows[event.job]
        waiting = self.waiting.of(batch, row)
        waiting.taken.add(row)
        if event.limited:
            waiting.gate.line[event.id] = None
        self.keep_with_others(waiting)
        node = self.state.nodes.get(event.node)
        if node is not None:  # it may have been forgotten meanwhile
            self.place_node(node)

    def drop(self, scope: Scope) -> None:
        """Drop the pending events of a scope, because one was refused. Decide anew about their jobs."""
        dropped = self.pending.drop(scope)
        for event in dropped:
            self.let_go(event)
        self.touch_rows(dropped)

    def _drop_pending_end(self, batch_id: BatchId) -> None:
        """Drop a pending end of the batch: its guard fails, because something happened under the batch."""
        pending = self.pending.of_scope.get(batch_id)
        if pending and any(isinstance(guard_scope(event), Under) for event in pending):
            self.drop(batch_id)

    def _fold_job_event(self, recorded: Recorded, event: ev.JobEvent) -> str | None:
        kind = type(event)
        suspect = suspect_of(self.state, event) if type(event) is ev.Finished else None
        misfit, settled = self._apply(recorded)
        batch = self.state.batch_of(event)
        if self.pending.of_scope:
            self._drop_pending_end(batch.id if batch is not None else event.batch_id)
        row = batch.rows.get(event.job) if batch is not None else None
        if batch is None or row is None:
            return misfit
        if batch.status[row] != ASSIGNED:
            self.liveness.settled(batch.id, row)
        elif kind is ev.Assigned:
            self.liveness.assigned(JobKey(batch.id, row), self.now)
        if kind is ev.Claimed or kind is ev.Started:
            if settled:
                self.touch_rows(settled)  # our pending events, which came second
        elif kind is ev.JobArchived and not settled and batch.status[row] != QUEUED:
            if batch.limits.has_last_job:
                self.keep_with_others(self.waiting.of(batch, row))  # the last job may have waited for that
            self.to_check.add(batch.id)  # nothing else may have changed
        else:
            self.touch_job(batch, row, event)
        if suspect is not None and suspect != event.node:
            self.touch_node(suspect)  # its record changed
        return misfit

    def _fold_batch_event(self, recorded: Recorded, event: ev.BatchEvent) -> str | None:
        state, scope = self.state, event.scope
        before = state.find(scope) if type(event) is ev.Deleted or type(event) is ev.Submitted else None
        waiters = waiters_for(state, scope) if state.waits else ()
        misfit, _ = self._apply(recorded)
        after = state.find(scope) if before is not None else None
        is_gone = before is not None and (after is None or after.submission != before.submission)
        if is_gone or scope in state.compacted:
            self.forget(scope)
        if type(event) is ev.Edited:
            self.regroup(scope)
        self.touch_batch(scope)
        for waiter in waiters:
            self.touch_gate(waiter)
            self.to_check.add(waiter)
        return misfit

    def _index_node_event(self, event: ev.NodeEvent) -> None:
        self.touch_node(event.node)
        if event.node not in self.state.nodes:
            self.liveness.forget_node(event.node)
        if type(event) in _COMES_OR_GOES:
            self.recheck_failed_builds()
