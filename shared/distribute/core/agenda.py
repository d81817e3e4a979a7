"""The agenda: what the scheduler knows, and everything that can happen to it before `decide`.

An event comes from the log, a node beats, time passes, our own event is under way: each changes the state,
the pending events or the silence of nodes, and then the indexes over them.
"""

from __future__ import annotations

from distribute.core import events as ev
from distribute.core.authors import BY_A_NODE
from distribute.core.beats import Beat
from distribute.core.fold import apply
from distribute.core.ids import BatchId, Scope, Under
from distribute.core.indexes import Indexes
from distribute.core.liveness import claimed_by
from distribute.core.overdue import find_overdue
from distribute.core.packed import Record
from distribute.core.packing import pack
from distribute.core.recorded import Recorded, guard_scope
from distribute.core.state import ASSIGNED, QUEUED, BatchState, JobKey
from distribute.core.trials import suspect_of
from distribute.core.waits import waiters_for


class Agenda(Indexes):
    """The state, what is pending, the silence of nodes, and the indexes over them."""

    def fold(self, recorded: Recorded) -> str | None:
        """Apply an event to the state, and update the indexes. Returns why it does not fit, or None."""
        event = recorded.event
        before = (
            self.state.find(event.scope) if type(event) is ev.Deleted or type(event) is ev.Submitted else None
        )
        suspect = suspect_of(self.state, event) if type(event) is ev.Finished else None
        writer = event.author if type(event) in BY_A_NODE else None
        if writer is not None:
            self.liveness.heard(writer, self.now)  # whatever a node writes is a sign of life
        packed, time_before = len(self.state.packed), self.state.time
        waiters = waiters_for(self.state, event.scope) if event.about == "batch" and self.state.waits else ()
        misfit = apply(self.state, recorded)
        if len(self.state.packed) < packed and event.about != "node":
            self.touch_batch(event.batch_id)  # it was unpacked
        settled = self.pending.settle(event)
        for own in settled:
            self.let_go(own)
        self._read_log_clock(time_before, settled[0] if settled and settled[0].id == event.id else None)
        if event.about == "job":
            self._fold_job_event(event, settled)
            if suspect is not None and suspect != event.node:
                self.touch_node(suspect)  # its record changed
        elif event.about == "build":
            self._drop_pending_end(event.batch_id)
            self.touch_build(event)
        elif event.about == "node":
            self.touch_node(event.node)
            if event.node not in self.state.nodes:
                self.liveness.forget_node(event.node)
            if event.type in {"joined", "left", "lost", "forgotten", "listed"}:
                self.recheck_failed_builds()
        else:
            after = self.state.find(event.scope) if before is not None else None
            is_gone = before is not None and (after is None or after.submission != before.submission)
            if is_gone or event.scope in self.state.compacted:
                self.forget(event.scope)
            if type(event) is ev.Edited:
                self.regroup(event.scope)
            self.touch_batch(event.scope)
            for waiter in waiters:
                self.touch_gate(waiter)
                self.to_check.add(waiter)
        if writer is not None and writer in self.silent:
            self.touch_node(writer)
        return misfit

    def _read_log_clock(self, before: float, own: ev.Event | None) -> None:
        """See how far the log's clock is from ours, by the event just folded. `own`: that event, if ours."""
        time, clock = self.state.time, self.liveness.log_clock
        if own is None and before <= time <= self.now + clock.ahead_s:
            return  # it says nothing new; this is so for most events of a replay
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
        self.pending.add(event, batch.user)
        self.shares.changed(batch.user)
        row = batch.rows[event.job]
        gate = self.waiting.of(batch, row).gate
        gate.taken.add(row)
        if event.limited:
            gate.line[event.id] = None
        self.keep_row(batch, row)
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
                self.touch_rows(settled)  # our pending events, which came second
        elif kind is ev.JobArchived and not settled and batch.status[row] != QUEUED:
            if batch.limits.has_last_job:
                self.keep_row(batch, row)  # the last job may have waited for that
            self.to_check.add(batch.id)  # nothing else may have changed
        else:
            self.touch_job(batch, key, event)
