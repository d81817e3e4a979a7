"""What the node-runner does, with no I/O: events and stimuli in, instructions out.

The shell (`service`) carries the instructions out and reports what came of them as stimuli. An attempt
goes through these phases:

    WAITING ─room─▶ CLAIMING ─ack─▶ CLAIMED ─built─▶ LAUNCHING ─▶ RUNNING ─exit─▶ COLLECTING ─▶ REPORTING ─▶ .
       └───── released, fenced, or the node given up for lost: from any phase ─────▶ STOPPING ─▶ .

A job is this node's only when its claim is acknowledged: nothing is started before. The events of an
attempt are appended one after another, each guarded by the sequence of the one before, so a node that
was given up for lost is fenced at its next word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from distribute.core import events as ev
from distribute.core.events import Append, Guard, Recorded
from distribute.core.ids import AttemptId, BatchId, JobId
from distribute.core.manifest import Outputs
from distribute.core.recipe import Share
from distribute.ports import Only
from distribute_services.node_runner.host.port import Capacity
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import ENDED, Attempt, Ending, Phase, Stamp
from distribute_services.node_runner.machine.builds import Builds
from distribute_services.node_runner.machine.instructions import (
    Announce,
    Collect,
    GiveWay,
    Instruction,
    Launch,
    Report,
    Stop,
    Tidy,
)

_NODE_EVENTS = frozenset({"assigned", "released", "joined", "lost"})
_BATCH_EVENTS = frozenset({"completed", "deleted", "retry_requested"})


def wanted(node: str) -> Only:
    """The events to call `RunnerMachine.deliver` with.

    Of the node's own events only `joined`: echoing the rest would double the traffic.
    """
    return Only(types=_NODE_EVENTS, node=node, also=_BATCH_EVENTS)


class RunnerMachine:
    """The node-runner's whole behaviour. `clock` gives seconds since 1970."""

    def __init__(
        self,
        node: str,
        *,
        incarnation: str,
        capacity: Capacity,
        version: str,
        new_id: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self.node = node
        self.incarnation = incarnation
        self.capacity = capacity
        self.version = version
        self._new_id = new_id
        self._clock = clock
        self.joined_seq: int | None = None
        self._join_id = ""
        self._delivered_seq = 0
        self.leaving = False
        self.attempts: dict[JobId, Attempt] = {}
        self._builds = Builds()
        self._stopping: list[Attempt] = []

    # --- joining and leaving -----------------------------------------------------------------------

    def join(self) -> list[Instruction]:
        """Say what this node is, at the start and after it was given up for lost.

        The shell must follow the events from before this on. The node has joined when it reads its own
        `joined` in the log: only then is it certain which assignments come after it.
        """
        self.joined_seq = None
        joined = ev.Joined(
            **self._stamp(),
            node=self.node,
            incarnation=self.incarnation,
            capabilities=self.capacity.capabilities,
            cpus=self.capacity.cpus,
            memory_bytes=self.capacity.memory_bytes,
            gpus=self.capacity.gpus,
            version=self.version,
        )
        self._join_id = joined.id
        return [Announce(joined)]

    def leave(self) -> list[Instruction]:
        """Take no more work and stop what has not ended. What has ended is still collected and reported.

        If there is such, announce that the node is leaving, so that the rest can run elsewhere meanwhile.
        """
        keeps = tuple(attempt.id for attempt in self.ended)
        told: list[Instruction] = []
        if keeps and not self.leaving:
            told.append(Announce(ev.Leaving(**self._stamp(), node=self.node, keeps=keeps)))
        self.leaving = True
        unfinished = [attempt for attempt in self.attempts.values() if attempt.phase not in ENDED]
        return [*told, *self._stop_all(unfinished), *self._builds.forget_all()]

    def abandon(self) -> list[Instruction]:
        """Leave at once: give back what has ended and is not reported yet, too."""
        self.leaving = True  # so that `leave` announces nothing: this node keeps no job
        return [*self.leave(), *self._stop_all(list(self.attempts.values()))]

    def left(self) -> list[Instruction]:
        """Announce that the node has left. To be called when nothing runs any more."""
        return [Announce(ev.Left(**self._stamp(), node=self.node))]

    @property
    def ended(self) -> list[Attempt]:
        """The attempts that have ended and are not reported yet."""
        return [attempt for attempt in self.attempts.values() if attempt.phase in ENDED]

    @property
    def named(self) -> tuple[AttemptId, ...]:
        """Every attempt that this node has, in order."""
        return tuple(sorted(attempt.id for attempt in self.attempts.values()))

    @property
    def idle(self) -> bool:
        """Whether the node has no attempt any more."""
        return not self.attempts and not self._stopping

    # --- what the log says -------------------------------------------------------------------------

    def deliver(self, recorded: Recorded) -> list[Instruction]:
        """An event that matches `wanted`. An event that comes again is ignored."""
        if recorded.seq <= self._delivered_seq:
            return []
        self._delivered_seq = recorded.seq
        event = recorded.event
        if isinstance(event, ev.Completed | ev.Deleted):
            return self._batch_over(event.scope, deleted=isinstance(event, ev.Deleted))
        if isinstance(event, ev.RetryRequested):
            return [*self._builds.retry(event.scope, is_wanted=any(self._of(event.scope)))]
        if isinstance(event, ev.Joined):
            return self._somebody_joined(recorded.seq, event)
        if event.author == self.node:
            return []
        match event:
            case ev.Assigned() if not self.leaving:
                return self._assigned(recorded.seq, event)
            case ev.Released():
                attempt = self.attempts.get(event.scope)
                if attempt is not None and attempt.number == event.attempt:
                    return self._stop(attempt)
            case ev.Lost() if self.joined_seq is not None:
                stops = self._stop_all(list(self.attempts.values()))
                return stops if self.leaving else [*stops, *self.join()]
            case _:
                pass
        return []

    def _somebody_joined(self, seq: int, event: ev.Joined) -> list[Instruction]:
        if event.id == self._join_id:
            self.joined_seq = seq
        elif self.joined_seq is not None and event.incarnation != self.incarnation:
            return [GiveWay()]
        return []

    def _assigned(self, seq: int, event: ev.Assigned) -> list[Instruction]:
        if self.joined_seq is None or seq < self.joined_seq:
            return []  # said to an earlier incarnation; the scheduler releases it
        known = self.attempts.get(event.scope)
        stops = self._stop(known) if known is not None else []
        share = Share(event.cpus, event.memory_bytes, event.gpus)
        self.attempts[event.scope] = Attempt(event.scope, event.attempt, share, seq, seq)
        return [*stops, *self._builds.wanted(event.batch_id), *self._claim_what_fits()]

    def _of(self, batch: BatchId) -> Iterable[Attempt]:
        return [attempt for attempt in self.attempts.values() if attempt.job.batch_id == batch]

    def _batch_over(self, batch: BatchId, *, deleted: bool) -> list[Instruction]:
        left = [attempt for attempt in self._of(batch) if attempt.phase is not Phase.REPORTING]
        if left and not deleted:
            return []  # assigned while the batch was ending: either they are released, or it has not ended
        forgotten = self._builds.forget(batch)
        return [*self._stop_all(left), *forgotten] if forgotten else []

    # --- what came of instructions -----------------------------------------------------------------

    def handle(self, stimulus: st.Stimulus) -> list[Instruction]:
        """Take up what came of an instruction. One that nobody waits for any more is ignored."""
        match stimulus:
            case st.Reported(attempt, seq):
                return self._reported(attempt, seq)
            case st.Fenced(attempt):
                return self._stop(attempt)
            case st.Loaded(batch, needs_build):
                return self._loaded(batch, needs_build)
            case st.LoadFailed(batch, reason):
                return self._load_failed(batch, reason)
            case st.Built(batch, ending, outputs):
                return self._built(batch, ending, outputs)
            case st.Launched(attempt):
                return self._launched(attempt)
            case st.Exited(attempt, ending):
                return self._exited(attempt, ending)
            case st.Collected(attempt, ending, outputs):
                return self._collected(attempt, ending, outputs)
            case st.Broke(attempt, reason):
                return self._broke(attempt, reason)
            case st.Stopped(attempt):
                self._stopping.remove(attempt)
                return self._claim_what_fits()

    # --- claiming ----------------------------------------------------------------------------------

    def _claim_what_fits(self) -> list[Instruction]:
        """Claim waiting attempts in order while there is room. Two schedulers may promise the same room."""
        instructions: list[Instruction] = []
        for attempt in self.attempts.values():
            if attempt.phase is not Phase.WAITING:
                continue
            if not self._has_room_for(attempt):
                break
            attempt.phase = Phase.CLAIMING
            instructions += self._say(attempt, ev.Claimed(**self._stamp(), **attempt.names(self.node)))
        return instructions

    def _has_room_for(self, wanted: Attempt) -> bool:
        busy = [
            attempt.share
            for attempt in [*self.attempts.values(), *self._stopping]
            if attempt.phase not in {Phase.WAITING, Phase.REPORTING}
        ]
        gpus = {gpu for share in busy for gpu in share.gpus}
        cpus = sum(share.cpus for share in busy) + wanted.share.cpus
        memory_bytes = sum(share.memory_bytes for share in busy) + wanted.share.memory_bytes
        return (
            cpus <= self.capacity.cpus
            and memory_bytes <= self.capacity.memory_bytes
            and gpus.isdisjoint(wanted.share.gpus)
        )

    # --- building ----------------------------------------------------------------------------------

    def _loaded(self, batch: BatchId, needs_build: bool) -> list[Instruction]:
        build = self._builds.loaded(batch, needs_build)
        if not build:
            return self._launch_all(batch)
        names = {"namespace": batch.namespace, "batch": batch.batch}
        return [Announce(ev.BuildStarted(**self._stamp(), node=self.node, **names)), *build]

    def _load_failed(self, batch: BatchId, reason: str) -> list[Instruction]:
        """The batch's attempts here end with the reason."""
        if not self._builds.load_failed(batch):
            return []
        ending = Ending(succeeded=False, reason=reason)
        instructions: list[Instruction] = []
        for attempt in self._of(batch):
            if attempt.phase is Phase.CLAIMED:
                attempt.phase = Phase.COLLECTING
                instructions.append(Collect(attempt, ending))
            else:
                instructions += self._stop(attempt)
        return instructions

    def _built(self, batch: BatchId, ending: Ending, outputs: Outputs | None) -> list[Instruction]:
        """The batch's build ended. If it failed, the scheduler takes the batch's jobs back."""
        if not self._builds.built(batch, ending.succeeded):
            return []
        finished = ev.BuildFinished(
            **self._stamp(),
            node=self.node,
            namespace=batch.namespace,
            batch=batch.batch,
            succeeded=ending.succeeded,
            reason=ending.reason,
            wall_s=ending.wall_s,
            outputs=outputs,
        )
        return [Announce(finished), *self._launch_all(batch)]

    # --- running -----------------------------------------------------------------------------------

    def _launch_all(self, batch: BatchId) -> list[Instruction]:
        claimed = [attempt for attempt in self._of(batch) if attempt.phase is Phase.CLAIMED]
        return [instruction for attempt in claimed for instruction in self._launch_if_ready(attempt)]

    def _launch_if_ready(self, attempt: Attempt) -> list[Instruction]:
        if not self._builds.is_ready(attempt.job.batch_id):
            return []
        attempt.phase = Phase.LAUNCHING
        return [Launch(attempt)]

    def _launched(self, attempt: Attempt) -> list[Instruction]:
        if attempt.phase is not Phase.LAUNCHING:
            return []
        attempt.phase = Phase.RUNNING
        return self._say(attempt, ev.Started(**self._stamp(), **attempt.names(self.node)))

    def _exited(self, attempt: Attempt, ending: Ending) -> list[Instruction]:
        if attempt.phase not in {Phase.LAUNCHING, Phase.RUNNING}:
            return []
        attempt.phase = Phase.COLLECTING
        return [Collect(attempt, ending)]

    def _collected(self, attempt: Attempt, ending: Ending, outputs: Outputs | None) -> list[Instruction]:
        if attempt.phase is not Phase.COLLECTING:
            return []
        attempt.phase = Phase.REPORTING
        finished = ev.Finished(
            **self._stamp(),
            **attempt.names(self.node),
            succeeded=ending.succeeded,
            exit_code=ending.exit_code,
            signal=ending.signal,
            reason=ending.reason,
            wall_s=ending.wall_s,
            cpu_s=ending.cpu_s,
            paused_s=ending.paused_s,
            max_rss_bytes=ending.max_rss_bytes,
            outputs=outputs,
        )
        return self._say(attempt, finished)

    def _broke(self, attempt: Attempt, reason: str) -> list[Instruction]:
        """This runner failed at a step: that ends this attempt, and no other."""
        ending = Ending(succeeded=False, reason=reason)
        return [*self._exited(attempt, ending)] or self._collected(attempt, ending, None)

    # --- stopping ----------------------------------------------------------------------------------

    def _stop(self, attempt: Attempt) -> list[Instruction]:
        if attempt.phase is Phase.STOPPING:
            return []
        self.attempts.pop(attempt.job, None)
        attempt.phase = Phase.STOPPING
        attempt.unsent.clear()
        self._stopping.append(attempt)
        return [Stop(attempt)]

    def _stop_all(self, attempts: Iterable[Attempt]) -> list[Instruction]:
        return [instruction for attempt in attempts for instruction in self._stop(attempt)]

    # --- saying ------------------------------------------------------------------------------------

    def _say(self, attempt: Attempt, event: ev.Event) -> list[Instruction]:
        attempt.unsent.append(event)
        return self._say_next(attempt) if attempt.last_seq is not None else []

    def _say_next(self, attempt: Attempt) -> list[Instruction]:
        assert attempt.last_seq is not None, "the event before must be answered first"
        guard = Guard(attempt.last_seq)
        attempt.last_seq = None
        return [Report(attempt, Append(attempt.unsent.popleft(), guard))]

    def _reported(self, attempt: Attempt, seq: int) -> list[Instruction]:
        if attempt.phase is Phase.STOPPING:
            return []
        attempt.last_seq = seq
        if attempt.unsent:
            return self._say_next(attempt)
        if attempt.phase is Phase.CLAIMING:
            attempt.phase = Phase.CLAIMED
            return self._launch_if_ready(attempt)
        if attempt.phase is Phase.REPORTING:
            del self.attempts[attempt.job]
            return [Tidy(attempt), *self._claim_what_fits()]
        return []

    def _stamp(self) -> Stamp:
        return {
            "id": self._new_id(),
            "time": datetime.fromtimestamp(self._clock(), UTC),
            "author": self.node,
        }
