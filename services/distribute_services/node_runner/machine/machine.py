"""The node-runner's behaviour, without I/O: events and stimuli in, instructions out.

The shell (`service`) carries the instructions out and reports the results as stimuli. `course` leads an
attempt through its phases; this module handles events of the log, joining and leaving.

Only the scheduler's events about an attempt end it. Neither `lost` nor a replaced log does: the node joins
again with its attempts, and they go on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from distribute.core.ids import AttemptId, BatchId
from distribute.core.log import events as ev
from distribute.core.log.event_base import MAX_KEPT
from distribute.core.log.events import SCHEDULER
from distribute.core.log.recorded import Recorded
from distribute.host import Capacity, Record
from distribute.ports import Only
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import pausing
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import (
    ENDED,
    NOT_BEGUN,
    Attempt,
    Phase,
    submission_of,
)
from distribute_services.node_runner.machine.builds import MAX_BATCHES
from distribute_services.node_runner.machine.course import Course
from distribute_services.node_runner.machine.instructions import Instruction, read_scope
from distribute_services.node_runner.machine.membership import Membership
from distribute_services.node_runner.machine.outbox import Author
from distribute_services.node_runner.machine.pausing import Pausing
from distribute_services.node_runner.machine.room import could_hold

_NODE_EVENTS = frozenset({"assigned", "stop_ordered", "released", "joined", "lost", *pausing.WORDS})
_IS_PAUSED = "this node is paused"
_BATCH_EVENTS = frozenset({"completed", "compacted", "deleted", "retry_requested"})


def wanted(node: str) -> Only:
    """The events to call `RunnerMachine.deliver` with.

    Of the node's own events only `joined`, and how it is paused: echoing the rest would double the traffic.
    """
    return Only(types=_NODE_EVENTS, node=node, also=_BATCH_EVENTS)


class RunnerMachine(Course):
    """The node-runner's whole behaviour. `clock` gives seconds since 1970."""

    def __init__(
        self,
        node: str,
        *,
        incarnation: str,
        boot_id: str,
        capacity: Capacity,
        version: str,
        new_id: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        super().__init__(Author(node, new_id, clock), capacity)
        self._membership = Membership(
            self._author, incarnation=incarnation, boot_id=boot_id, capacity=capacity, version=version
        )
        self._pausing = Pausing(self._author, incarnation)
        self._delivered_seq = 0

    @property
    def incarnation(self) -> str:
        return self._membership.incarnation

    @property
    def leaving(self) -> bool:
        return self._membership.is_leaving

    @property
    def is_paused(self) -> bool:
        return self._pausing.pause is not None

    @property
    def has(self) -> tuple[AttemptId, ...]:
        """All attempts that this node has, in order of name."""
        return tuple(sorted(attempt.id for attempt in self.attempts.values()))

    @property
    def ended(self) -> list[Attempt]:
        """The attempts that have ended and will be reported."""
        return [attempt for attempt in self.attempts.values() if _will_be_reported(attempt)]

    # --- joining and leaving -----------------------------------------------------------------------

    def take_up(self, kept: Iterable[Record], built: Collection[Record]) -> list[Instruction]:
        """Take up the attempts that an earlier runner left. Call this before `join`, which names them.

        Of those that are `built`, the build of their batch is there, too. What happened to them meanwhile is
        in the log: whoever has lost one stops it.
        """
        instructions: list[Instruction] = []
        for record in sorted(kept, key=lambda record: (record.submission_seq, record.assigned_seq)):
            attempt = Attempt.of_record(record)
            batch = attempt.job.batch_id
            # One of an earlier batch of the name may go on beside this: its scope says.
            known = self.attempts.get(attempt.job)
            instructions += self._stop_all([known] if known is not None else [])
            self.attempts[attempt.job] = attempt
            attempt.outbox.add(ev.Claimed(**self._stamp(attempt), **self._names(attempt)))
            is_built = record in built
            instructions += self._builds.take_up(
                batch, attempt.assigned_id, attempt.submission, is_built=is_built
            )
            instructions += read_scope(attempt)
        return instructions

    def join(self, cause: str | None = None) -> list[Instruction]:
        """Announce the node and its attempts, at the start or after it was declared lost.

        The shell must have begun to follow the log before this. The node has joined when it reads its own
        `joined` in the log: only then is it certain which assignments come after it.
        """
        return self._membership.join(self.has, cause)

    def leave(self) -> list[Instruction]:
        """Take no more work, and give back what has not ended. What has ended is still reported."""
        unfinished = [attempt for attempt in self.attempts.values() if not _will_be_reported(attempt)]
        told = self._membership.leave(
            (attempt.id for attempt in self.ended), gives_back=bool(unfinished or self._stopping)
        )
        return [*told, *self._stop_all(unfinished), *self._builds.forget_all()]

    def leave_to_the_next(self) -> list[Instruction]:
        """Take no more work, and leave what was begun to the next runner. The rest runs elsewhere.

        Does nothing if nothing was begun: then there is nothing to leave to the next, and `leave` is due.
        """
        begun = [attempt.id for attempt in self.attempts.values() if attempt.phase not in NOT_BEGUN]
        return self._membership.leave(begun) if begun else []

    def retire(self) -> list[Instruction]:
        """Take no more work, but let every attempt that has begun come to its end."""
        stops = self._stop_all(
            attempt
            for attempt in list(self.attempts.values())
            if attempt.phase in NOT_BEGUN or (attempt.phase in ENDED and attempt.is_detached)
        )
        return [*self._membership.leave(self.has, gives_back=bool(stops)), *stops]

    def abandon(self) -> list[Instruction]:
        """Leave at once. Attempts that have ended but are not reported run again on other nodes."""
        self._membership.leave(())  # announces nothing: this node keeps no job
        return [*self.leave(), *self._stop_all(list(self.attempts.values()))]

    def left(self) -> list[Instruction]:
        """Announce that the node has left. Call this when no attempt is left."""
        return self._membership.left()

    def announced(self, event: ev.Event, seq: int) -> list[Instruction]:
        """Call this when an event that `Announce` asked for is in the log, at sequence `seq`."""
        if isinstance(event, ev.Joined):
            self._membership.stored(seq, event)
        self._pausing.stored(seq, event)
        return [*self._drop_lost(event), *self._give_back(), *self._claim_what_fits()]

    # --- pauses ------------------------------------------------------------------------------------

    def recall(self, found: Iterable[Recorded]) -> None:
        """Take what the log says of pauses, as `Pausing.recall` has it. Call this before `join`."""
        self._pausing.recall(found)

    def handle(self, stimulus: st.Stimulus) -> list[Instruction]:
        """Take the result of an instruction, or news of this computer's pause."""
        if not isinstance(stimulus, st.PauseChanged):
            return super().handle(stimulus)
        if not self._pausing.changed(stimulus.pause, stimulus.answers):
            return []
        # What has not begun can begin elsewhere at once.
        waiting = [attempt for attempt in self.attempts.values() if attempt.phase in NOT_BEGUN]
        stops = self._stop_all(waiting) if self.is_paused else []
        return [*stops, *self._pausing.announce(self.has), *self._claim_what_fits()]

    def _drop_lost(self, event: ev.Event) -> list[Instruction]:
        """Stop what was assigned before this `paused`, and is not kept by it: the scheduler releases that."""
        if not isinstance(event, ev.Paused):
            return []
        return self._stop_all(
            attempt
            for attempt in list(self.attempts.values())
            if attempt.phase is Phase.WAITING
            and attempt.assigned_seq < self._pausing.paused_seq
            and attempt.id not in event.keeps
        )

    def _claim_what_fits(self) -> list[Instruction]:
        return [] if self._pausing.is_unsaid else super()._claim_what_fits()

    def _give_back(self) -> list[Instruction]:
        """Give back jobs that came after the scheduler could know of the pause."""
        back = [
            attempt
            for attempt in self.attempts.values()
            if attempt.phase is Phase.WAITING
            and not attempt.is_detached
            and self._pausing.takes_back(attempt.assigned_seq)
        ]
        return [
            instruction
            for attempt in back
            for instruction in self._append_last(
                attempt, ev.Yielded(**self._stamp(attempt), **self._names(attempt), reason=_IS_PAUSED)
            )
        ]

    # --- events of the log -------------------------------------------------------------------------

    def deliver(self, recorded: Recorded) -> list[Instruction]:
        """Take an event that matches `wanted`. Ignores one that comes again."""
        if recorded.seq <= self._delivered_seq:
            return []
        self._delivered_seq = recorded.seq
        event = recorded.event
        match event:
            case ev.Joined() if event.node == event.author == self.node:
                answers = self._pausing.joined(recorded) if event.incarnation == self.incarnation else []
                return [*self._membership.heard(recorded.seq, event), *answers]
            case ev.SubmissionEvent() if self._builds.is_of_another(event):
                return self._other_over(event)
            case ev.RetryRequested():
                is_wanted = bool(self._of(event.scope))
                return self._builds.retry(event.scope, event.id, recorded.seq, is_wanted=is_wanted)
            case ev.Deleted() | ev.Compacted():
                is_here = bool(self._of(event.scope))
                return self._judge(event.scope) if is_here else self._builds.forget(event.scope)
            case ev.Completed() if event.author == SCHEDULER:
                return self._batch_over(event.scope)
            case ev.Assigned() if event.author == SCHEDULER and event.node == self.node:
                return self._assigned(recorded, event)
            case ev.Released() if event.author == SCHEDULER and event.node == self.node:
                return self._released(event)
            case ev.StopOrdered() if event.author == SCHEDULER and event.node == self.node:
                attempt = self.attempts.get(event.scope)
                return self._end(attempt, event) if attempt and attempt.is_meant_by(event) else []
            case ev.Lost() if event.author == SCHEDULER and event.node == self.node:
                # Before the node has joined, and while it leaves, it need not join again.
                can_join = self._membership.has_joined and not self.leaving
                return self.join(event.id) if can_join else []
            case ev.Paused() | ev.Resumed() if event.node == event.author == self.node:
                is_ours = event.incarnation == self.incarnation
                is_late = not is_ours and self._membership.joins_behind(recorded.seq)
                return self._pausing.late_word(recorded) if is_late else []
            case ev.PauseRequested() | ev.ResumeRequested() if event.node == self.node:
                return self._pausing.requested(recorded)
            case _:
                return []

    def log_replaced(self, last_seq: int) -> list[Instruction]:
        """Call this when the log was replaced by an older copy, or lost its end, and ends at `last_seq`.

        The shell follows the log from there. Running attempts go on. The node reads the scopes of its
        attempts, appends the events that the log lacks, and joins again.
        """
        self._delivered_seq = last_seq
        reads: list[Instruction] = []
        for attempt in list(self.attempts.values()):
            attempt.is_detached = True
            reads += read_scope(attempt)
        joins = [] if self.leaving else self.join()
        says = self._pausing.log_replaced(last_seq, self.has)
        return [*reads, *self._builds.read_all(), *joins, *says]

    def _assigned(self, recorded: Recorded, event: ev.Assigned) -> list[Instruction]:
        """Take the job, unless this node has its limit of jobs, or does not lend what the job is given.

        Anyone may publish in the scheduler's name. The scheduler releases what is not claimed within a
        minute.
        """
        batch, submission = event.batch_id, submission_of(event)
        if self._builds.is_outdated(batch, submission):
            return []
        known = self.attempts.get(event.scope)
        if known is not None and (known.is_of(event) or known.is_not_before(event)):
            # The scheduler may have given it again, in a log that had lost that; or it appends an assignment
            # again behind another one that took its place. The scope says which of them counts.
            if known.is_detached:
                known.attach(recorded)
            elif event.id == known.assigned_id:
                return []
            return read_scope(known)
        # The scheduler gives no job of a batch before the one of that name before it is over and deleted, or
        # goes on in it.
        of_another = [
            one
            for one in self._of(batch)
            if one.submission.id != submission.id and not one.goes_on_beside(event)
        ]
        stops = self._stop_all(of_another if known is None or known in of_another else [*of_another, known])
        if not self._membership.takes(recorded.seq) or recorded.seq < self._pausing.paused_seq:
            return stops
        attempt = Attempt.of(recorded, event)
        if not could_hold(self.capacity, attempt.share):
            return [*stops, do.Note(f"{event.scope}: not taken: this node lends less than it is given")]
        if len(self.attempts) + len(self._stopping) >= MAX_KEPT:
            return [*stops, do.Note(f"{event.scope}: not taken: this node has {MAX_KEPT} jobs already")]
        forgets = self._builds.make_room(batch, self.attempts.keys())
        if forgets is None:
            told = f"{event.scope}: not taken: this node has jobs of {MAX_BATCHES} batches already"
            return [*stops, do.Note(told)]
        self.attempts[event.scope] = attempt
        if gives_back := self._give_back():
            return [*stops, *forgets, *gives_back]
        builds = self._builds.wanted(batch, event.id, recorded.seq, submission)
        return [*stops, *forgets, *builds, *self._claim_what_fits()]

    def _released(self, event: ev.Released) -> list[Instruction]:
        attempt = self.attempts.get(event.scope)
        if attempt is None or not attempt.is_meant_by(event):
            return []
        return self._stop(attempt, taken_by=event)

    def _other_over(self, event: ev.SubmissionEvent) -> list[Instruction]:
        """Forget a build if a batch of its name is over, but not the one for which it was made.

        That may have been replaced since, while it ran. If the event is only late, it costs another build.
        """
        in_use = any(one.is_detached or one.phase is not Phase.REPORTING for one in self._of(event.scope))
        is_over = isinstance(event, ev.Deleted) or (
            isinstance(event, ev.Completed) and event.author == SCHEDULER
        )
        return self._builds.over(event.scope) if is_over and not in_use else []

    def _batch_over(self, batch: BatchId) -> list[Instruction]:
        """Drop a batch that is over, by the log.

        An attempt in the log is always released or reported before its batch ends. So while one runs here,
        the fold has refused the `completed`, and the attempt goes on, or the attempt. An attempt that the log
        has lost will never be released, so we stop it here.
        """
        lost = self._stop_all(attempt for attempt in self._of(batch) if attempt.is_detached)
        return [*lost, *(self._judge(batch) or self._builds.over(batch))]

    def _judge(self, batch: BatchId) -> list[Instruction]:
        """Learn whether a batch is really over that has attempts here. Anyone can write that it is."""
        return [do.Judge(batch)] if self._unreported(batch) else []


def _will_be_reported(attempt: Attempt) -> bool:
    """Has the attempt ended, and does the log have its assignment?"""
    return attempt.phase in ENDED and not attempt.is_detached
