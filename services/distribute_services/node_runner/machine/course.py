"""The course of attempts at this node, from claim to end: stimuli in, instructions out.

    WAITING ─room─▶ CLAIMING ─ack─▶ CLAIMED ─built─▶ LAUNCHING ─▶ RUNNING ─exit─▶ COLLECTING ─▶ REPORTING ─▶ .
                                                         └─ ordered: ENDING ─exit─────┘
       └──────── released, reassigned, or its batch over: from any phase ────────▶ STOPPING ─▶ .

    KEPT ─its scope read─▶ LAUNCHING or RUNNING      (an earlier runner left it)

A job belongs to this node once its claim is acknowledged; nothing is started before that. An attempt's events
are appended one after another, each guarded by the sequence of the one before. If a guard is refused, the
node reads the scope, and appends the event again if it still has the attempt.
"""

from __future__ import annotations

from collections.abc import Iterable

from distribute.core.files.manifest import Outputs
from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev
from distribute.core.log.events import SCHEDULER
from distribute.core.log.recorded import Recorded
from distribute.core.words import killed_by, moved_by
from distribute.host import Capacity
from distribute_services.node_runner.machine import endings, room
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import (
    NOT_BEGUN,
    Attempt,
    Ending,
    Names,
    Phase,
    Standing,
    appended_before,
    is_superseded,
    standing,
)
from distribute_services.node_runner.machine.builds import BatchBuild, Builds
from distribute_services.node_runner.machine.instructions import Instruction, append_next, read_scope
from distribute_services.node_runner.machine.outbox import Author, Stamp


class Course:
    """All attempts of a node, and the batches that they are of."""

    def __init__(self, author: Author, capacity: Capacity) -> None:
        self.node = author.node
        self.capacity = capacity
        self.attempts: dict[JobId, Attempt] = {}
        self._author = author
        self._builds = Builds(author)
        self._stopping: list[Attempt] = []

    @property
    def leaving(self) -> bool:
        """Is the node leaving? Then it takes no new attempts."""
        return False

    @property
    def is_paused(self) -> bool:
        """Is the node paused? Then it claims no attempts."""
        return False

    @property
    def idle(self) -> bool:
        """Does the node have no attempts?"""
        return not self.attempts and not self._stopping

    def _of(self, batch: BatchId) -> list[Attempt]:
        return [attempt for attempt in self.attempts.values() if attempt.job.batch_id == batch]

    # --- results of instructions -------------------------------------------------------------------

    def handle(self, stimulus: st.Result) -> list[Instruction]:
        """Take the result of an instruction. Results for attempts that are gone are ignored."""
        match stimulus:
            case st.Reported(of, seq):
                return (
                    self._builds.reported(of, seq) if isinstance(of, BatchBuild) else self._reported(of, seq)
                )
            case st.Refused(of, seq):
                return self._builds.refused(of, seq) if isinstance(of, BatchBuild) else self._refused(of, seq)
            case st.ScopeRead(of):
                return (
                    self._builds.read(of, stimulus)
                    if isinstance(of, BatchBuild)
                    else self._read(of, stimulus)
                )
            case st.Judged():
                return self._judged(stimulus)
            case st.Loaded(batch, needs_build):
                return [*self._builds.loaded(batch, needs_build), *self._launch_all(batch)]
            case st.LoadFailed(batch, reason):
                return self._load_failed(batch, reason)
            case st.Built(batch, ending, outputs, kept_from):
                # If the build failed, the scheduler releases the batch's jobs. If it was killed with its
                # batch, they end now.
                return [*self._builds.built(batch, ending, outputs, kept_from), *self._launch_all(batch)]
            case st.Launched(attempt):
                return self._launched(attempt)
            case st.Exited(attempt, ending):
                return self._exited(attempt, ending)
            case st.Collected(attempt, ending, outputs):
                return self._collected(attempt, ending, outputs)
            case st.Broke(attempt):
                return self._broke(attempt, stimulus)
            case st.Stopped(attempt, left):
                self._stopping.remove(attempt)
                stamp = self._author.stamp(attempt.assigned_id)
                tells = [endings.superseded(stamp, self.node, attempt, left)] if left is not None else []
                return [*map(do.Announce, tells), *self._claim_what_fits()]

    # --- claiming ----------------------------------------------------------------------------------

    def _claim_what_fits(self) -> list[Instruction]:
        """Claim waiting attempts in order, if there is room. (Two schedulers may assign the same room.)

        An attempt that does not fit does not block those behind it: the scheduler releases it after a while.
        """
        instructions: list[Instruction] = []
        if self.is_paused:
            return instructions
        for attempt in self.attempts.values():
            if attempt.phase is Phase.WAITING and not attempt.is_detached and self._has_room_for(attempt):
                attempt.phase = Phase.CLAIMING
                instructions += self._append(
                    attempt, ev.Claimed(**self._stamp(attempt), **self._names(attempt))
                )
        return instructions

    def _has_room_for(self, wanted: Attempt) -> bool:
        busy = [
            attempt.share
            for attempt in [*self.attempts.values(), *self._stopping]
            if attempt.phase not in {Phase.WAITING, Phase.REPORTING}
        ]
        return room.has_room_for(self.capacity, wanted.share, busy)

    # --- running -----------------------------------------------------------------------------------

    def _load_failed(self, batch: BatchId, reason: str) -> list[Instruction]:
        """Let the batch's attempts at this node fail with `reason` as soon as they are claimed."""
        if not self._builds.load_failed(batch):
            return []
        for attempt in self._of(batch):
            attempt.failure = reason
        return self._launch_all(batch)

    def _launch_all(self, batch: BatchId) -> list[Instruction]:
        claimed = [attempt for attempt in self._of(batch) if attempt.phase is Phase.CLAIMED]
        return [instruction for attempt in claimed for instruction in self._launch_if_ready(attempt)]

    def _launch_if_ready(self, attempt: Attempt) -> list[Instruction]:
        if attempt.failure is not None:
            attempt.phase = Phase.COLLECTING
            return [do.Collect(attempt, Ending(succeeded=False, reason=attempt.failure))]
        if not self._builds.is_ready(attempt.job.batch_id):
            # The scheduler takes it back now, if the fold knows it. If not, nobody would.
            return read_scope(attempt) if self._builds.has_failed(attempt.job.batch_id) else []
        attempt.phase = Phase.LAUNCHING
        return [do.Launch(attempt)]

    def _launched(self, attempt: Attempt) -> list[Instruction]:
        if attempt.phase is not Phase.LAUNCHING:
            return []
        attempt.phase = Phase.RUNNING
        return self._append(attempt, ev.Started(**self._stamp(attempt), **self._names(attempt)))

    def _exited(self, attempt: Attempt, ending: Ending) -> list[Instruction]:
        if attempt.phase not in {Phase.LAUNCHING, Phase.RUNNING, Phase.ENDING}:
            return []
        attempt.phase = Phase.COLLECTING
        return [do.Collect(attempt, ending)]

    def _end(self, attempt: Attempt, order: ev.StopOrdered) -> list[Instruction]:
        """End an attempt that a person killed or moves. What it left is collected, as after a timeout.

        A killed attempt that waits for its build ends with that, so that its cores are free then.
        """
        if attempt.phase is Phase.KEPT:
            return read_scope(attempt)  # which has the order
        batch, reason = attempt.job.batch_id, moved_by(order.by) if order.moved else killed_by(order.by)
        if order.moved and attempt.phase in NOT_BEGUN | {Phase.LAUNCHING, Phase.RUNNING}:
            attempt.given_back_for = reason
        if attempt.phase in NOT_BEGUN:
            attempt.failure = attempt.failure or reason
            ends = self._builds.end(batch, reason) if order.whole_batch else []
            is_waiting = attempt.phase is not Phase.CLAIMED or self._builds.is_ending(batch)
            return [*ends, *([] if is_waiting else self._launch_if_ready(attempt))]
        if attempt.phase not in {Phase.LAUNCHING, Phase.RUNNING}:
            return []
        attempt.phase = Phase.ENDING
        return [do.End(attempt, reason, thaw=bool(order.moved))]

    def vacate(self, reason: str) -> list[Instruction]:
        """End the attempts that run, and give them back for this reason. What they left is collected first.

        One that succeeds meanwhile has finished. Builds end, too: the jobs that waited for them are
        elsewhere. If one has come since, its build begins anew.
        """
        running = [one for one in self.attempts.values() if one.phase in {Phase.LAUNCHING, Phase.RUNNING}]
        for attempt in running:
            attempt.phase, attempt.given_back_for = Phase.ENDING, reason
        ends: list[Instruction] = [do.End(attempt, reason, thaw=True) for attempt in running]
        ends += self._builds.vacate(reason)
        for one in self.attempts.values():
            if one.phase in NOT_BEGUN:
                ends += self._builds.wanted(
                    one.job.batch_id, one.assigned_id, one.assigned_seq, one.submission
                )
        return ends

    def _collected(self, attempt: Attempt, ending: Ending, outputs: Outputs | None) -> list[Instruction]:
        if attempt.phase is not Phase.COLLECTING:
            return []
        about = self._stamp(attempt), self._names(attempt)
        if attempt.given_back_for is not None and not ending.succeeded:
            return self._append_last(attempt, endings.yielded(*about, attempt.given_back_for, outputs))
        return self._append_last(attempt, endings.finished(*about, ending, outputs))

    def _broke(self, attempt: Attempt, broke: st.Broke) -> list[Instruction]:
        """End an attempt after a fault of this runner in one of its steps. Other attempts go on.

        A job that was not started is given back, once. Otherwise it has failed.
        """
        is_launching = attempt.phase is Phase.LAUNCHING and broke.started_at is None
        if is_launching and self._builds.gives_back(attempt.job.batch_id, attempt.job.job):
            about = self._stamp(attempt), self._names(attempt)
            return self._append_last(attempt, endings.yielded(*about, broke.reason))
        ending = Ending(succeeded=False, reason=broke.reason, started_at=broke.started_at)
        return self._exited(attempt, ending) or self._collected(attempt, ending, None)

    def give_up(self, attempt: Attempt) -> list[Instruction]:
        """Stop an attempt after a fault of this machine. The scheduler notices that the beats lack it."""
        return self._stop(attempt)

    def _unreported(self, batch: BatchId) -> list[Attempt]:
        """The attempts of a batch whose end is not on its way to the log, which has their assignments."""
        return [one for one in self._of(batch) if not one.is_detached and one.phase is not Phase.REPORTING]

    def _judged(self, judged: st.Judged) -> list[Instruction]:
        """Stop the attempts that the fold has refused, if their batch is over. Nobody would release them."""
        batch = judged.batch
        refused = [attempt for attempt in self._unreported(batch) if judged.lets_go(attempt)]
        notes = [
            do.Note(f"{one} is stopped: its batch is over, and its assignment did not count")
            for one in refused
        ]
        stops = self._stop_all(refused)
        return [
            *notes,
            *stops,
            *(self._builds.over(batch) if refused and not self._unreported(batch) else []),
        ]

    # --- stopping ----------------------------------------------------------------------------------

    def _stop(self, attempt: Attempt, *, taken_by: ev.Event | None = None) -> list[Instruction]:
        """Stop an attempt. If the event `taken_by` gave its job to others, keep what it left."""
        if attempt.phase is Phase.STOPPING:
            return []
        sets_aside = attempt.phase not in NOT_BEGUN and is_superseded(attempt, taken_by)
        self.attempts.pop(attempt.job, None)
        attempt.phase = Phase.STOPPING
        attempt.outbox.drop()
        self._stopping.append(attempt)
        return [do.Stop(attempt, sets_aside)]

    def _stop_all(self, attempts: Iterable[Attempt]) -> list[Instruction]:
        return [instruction for attempt in attempts for instruction in self._stop(attempt)]

    # --- appending ---------------------------------------------------------------------------------

    def _append(self, attempt: Attempt, event: ev.Event) -> list[Instruction]:
        attempt.outbox.add(event)
        return append_next(attempt)

    def _append_last(self, attempt: Attempt, event: ev.Event) -> list[Instruction]:
        attempt.phase = Phase.REPORTING
        appends = self._append(attempt, event)
        # Meanwhile the scheduler may have appended the lost assignment of a detached attempt again.
        return read_scope(attempt) if attempt.is_detached else appends

    def _reported(self, attempt: Attempt, seq: int) -> list[Instruction]:
        if attempt.phase is Phase.STOPPING:
            return []
        attempt.outbox.stored(seq)
        return read_scope(attempt) if attempt.outbox.read_again else self._go_on(attempt)

    def _go_on(self, attempt: Attempt) -> list[Instruction]:
        """Append the next event of an attempt. If all are in the log, go on to the next phase."""
        if attempt.outbox.to_append:
            return append_next(attempt)
        if attempt.phase is Phase.CLAIMING:
            attempt.phase = Phase.CLAIMED
            return self._launch_if_ready(attempt)
        if attempt.phase is Phase.REPORTING:
            return self._over(attempt)
        return []

    def _over(self, attempt: Attempt) -> list[Instruction]:
        del self.attempts[attempt.job]
        return [do.Tidy(attempt), *self._claim_what_fits()]

    # --- reading the scope -------------------------------------------------------------------------

    def _refused(self, attempt: Attempt, last_seq: int) -> list[Instruction]:
        """Read the job's scope after a refused guard, to learn what the other message there means."""
        if attempt.phase is Phase.STOPPING:
            return []
        attempt.outbox.refused(last_seq)
        return read_scope(attempt)

    def _read(self, attempt: Attempt, read: st.ScopeRead) -> list[Instruction]:
        if attempt.phase is Phase.STOPPING:
            return []
        attempt.outbox.end_reading()
        if attempt.outbox.read_again:
            return read_scope(attempt)
        found, decisive = standing(attempt, self.node, read.scope)
        match found:
            case Standing.GONE:
                taken_by = decisive.event if decisive is not None else None
                return [do.Note(endings.given_away(attempt, decisive)), *self._let_go(attempt, taken_by)]
            case Standing.UNKNOWN:
                return [*self._take_up(attempt), *self._detached(attempt)]
            case Standing.HELD:
                assert decisive is not None, "an attempt that is held has an assignment"
                attempt.attach(decisive)
                if attempt.kept is not None and self._takes_over_the_end(attempt, read.scope):
                    return self._let_go(attempt)
                behind = {recorded.event.id for recorded in read.scope if recorded.seq > decisive.seq}
                # After a log has lost its end, the node may have appended before the scheduler did.
                before = {recorded.event.id for recorded in read.scope} - behind
                attempt.outbox.reread(behind, before, read.last_seq, self._author.new_id, attempt.assigned_id)
                return [
                    *self._take_up(attempt),
                    *self._go_on(attempt),
                    *self._claim_what_fits(),
                    *self._end_as_ordered(attempt, read.scope),
                ]

    def _takes_over_the_end(self, attempt: Attempt, scope: Iterable[Recorded]) -> bool:
        """Take over what an earlier runner appended about its attempt. Was the end among it?

        It may still come after the first reading: it was on its way when that runner was killed.
        """
        found = appended_before(attempt, self.node, scope)
        attempt.outbox.take_over(found)
        return any(isinstance(event, ev.Finished | ev.Yielded) for event in found)

    def _take_up(self, attempt: Attempt) -> list[Instruction]:
        """Go on with an attempt that an earlier runner left, unless that was done."""
        if attempt.phase is not Phase.KEPT:
            return []
        has_started = any(isinstance(event, ev.Started) for event in attempt.outbox.in_log)
        attempt.phase = Phase.RUNNING if has_started else Phase.LAUNCHING
        return [do.TakeUp(attempt)]

    def _let_go(self, attempt: Attempt, taken_by: ev.Event | None = None) -> list[Instruction]:
        """Stop an attempt. If an earlier runner left it and no other of its batch, drop the build, too.

        The batch may be over, and nobody would say that again.
        """
        was_kept, batch = attempt.phase is Phase.KEPT, attempt.job.batch_id
        stops = self._stop(attempt, taken_by=taken_by)
        return [*stops, *self._builds.forget(batch)] if was_kept and not self._of(batch) else stops

    def _end_as_ordered(self, attempt: Attempt, scope: Iterable[Recorded]) -> list[Instruction]:
        """End the attempt if its scope has the order to. The node may read the log from behind the order."""
        behind = (recorded.event for recorded in scope if recorded.seq > attempt.assigned_seq)
        for event in behind:
            if isinstance(event, ev.StopOrdered) and event.author == SCHEDULER:
                return self._end(attempt, event) if attempt.is_meant_by(event) else []
        return []

    def _detached(self, attempt: Attempt) -> list[Instruction]:
        """Keep an attempt whose assignment the log has lost: the scheduler may append it again.

        A running attempt goes on. If it has ended, keep only its result, until its batch is over or the node
        leaves.
        """
        attempt.is_detached = True
        has_ended = attempt.phase is Phase.REPORTING
        if attempt.phase in NOT_BEGUN or (has_ended and self.leaving):
            return self._stop(attempt)
        return [do.Tidy(attempt)] if has_ended else []

    def _stamp(self, attempt: Attempt) -> Stamp:
        return self._author.stamp(attempt.outbox.cause)

    def _names(self, attempt: Attempt) -> Names:
        return attempt.names(self.node)
