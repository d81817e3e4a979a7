"""What the node-runner does, with no I/O: stimuli in, instructions out.

The runner's shell (`runner`) carries instructions out and reports what came of them by calling the
next method; the simulator does the same with simulated hands. An attempt goes through these phases:

    WAITING ─room─▶ CLAIMING ─ack─▶ CLAIMED ─built─▶ LAUNCHING ─▶ RUNNING ─exit─▶ COLLECTING ─▶ REPORTING ─▶ .
       └───── released, fenced, or the node given up for lost: from any phase ─────▶ STOPPING ─▶ .

Only an acknowledged claim makes a job this node's: nothing is started before. An attempt's events are
appended one after another, each guarded by the sequence of the one before, so a node that was given up
for lost is fenced at its next word.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from distribute.core import events as ev
from distribute.core.events import Append, Guard, Recorded
from distribute.core.ids import BatchId, JobId
from distribute.core.manifest import Outputs
from distribute.ports import Only
from distribute_services.node_runner.instructions import (
    Announce,
    Build,
    BuildPhase,
    Collect,
    Ending,
    Forget,
    GiveWay,
    Instruction,
    Launch,
    Load,
    Phase,
    Report,
    Run,
    Stamp,
    Stop,
    Tidy,
)

_NODE_EVENTS = frozenset({"assigned", "released", "joined", "lost"})
_BATCH_EVENTS = frozenset({"completed", "deleted", "retry_requested"})
_ENDED = frozenset({Phase.COLLECTING, Phase.REPORTING})


def wanted(node: str) -> Only:
    """The events `RunnerMachine.deliver` is to be called with.

    Of what a node says itself only that it joined: the rest would be more than all that is said to it.
    """
    return Only(types=_NODE_EVENTS, node=node, also=_BATCH_EVENTS)


class RunnerMachine:
    """The node-runner's whole behaviour. `clock` gives seconds since 1970."""

    def __init__(
        self,
        node: str,
        *,
        incarnation: str,
        cpus: int,
        memory_bytes: int,
        gpus: tuple[str, ...],
        capabilities: frozenset[str],
        version: str,
        new_id: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self.node = node
        self.incarnation = incarnation
        self.cpus = cpus
        self.memory_bytes = memory_bytes
        self.gpus = gpus
        self.capabilities = capabilities
        self.version = version
        self._new_id = new_id
        self._clock = clock
        self.joined_seq: int | None = None
        self._join_id = ""
        self._delivered_seq = 0
        self.leaving = False
        self.runs: dict[JobId, Run] = {}
        self.builds: dict[BatchId, BuildPhase] = {}
        self._stopping: list[Run] = []

    # --- joining and leaving -----------------------------------------------------------------------

    def join(self) -> list[Instruction]:
        """Say what this node is. Called at the start, and where the node was given up for lost.

        Events are followed from before this on: the join counts once it comes back by the log, for
        only then is it certain which assignments are behind it.
        """
        self.joined_seq = None
        joined = ev.Joined(
            **self._stamp(),
            node=self.node,
            incarnation=self.incarnation,
            capabilities=self.capabilities,
            cpus=self.cpus,
            memory_bytes=self.memory_bytes,
            gpus=self.gpus,
            version=self.version,
        )
        self._join_id = joined.id
        return [Announce(joined)]

    def leave(self) -> list[Instruction]:
        """Take no more, stop what has not ended yet; what has ended is still collected and reported.

        Where that is to be waited for, it is said, so that the rest can run elsewhere meanwhile.
        """
        keeps = tuple(str(run.job) for run in self.ended)
        told: list[Instruction] = []
        if keeps and not self.leaving:
            told.append(Announce(ev.Leaving(**self._stamp(), node=self.node, keeps=keeps)))
        self.leaving = True
        unfinished = [run for run in self.runs.values() if run.phase not in _ENDED]
        builds = list(self.builds)
        self.builds.clear()
        return [*told, *self._stop_all(unfinished), *(Forget(batch) for batch in builds)]

    def abandon(self) -> list[Instruction]:
        """As `leave`, but what has ended is given back, too, where that was not reported yet."""
        self.leaving = True  # it keeps nothing, so there is nothing to say
        return [*self.leave(), *self._stop_all(list(self.runs.values()))]

    def left(self) -> list[Instruction]:
        """Say goodbye. Called when nothing runs any more."""
        return [Announce(ev.Left(**self._stamp(), node=self.node))]

    @property
    def ended(self) -> list[Run]:
        """The runs that have ended, and are not reported yet."""
        return [run for run in self.runs.values() if run.phase in _ENDED]

    @property
    def idle(self) -> bool:
        return not self.runs and not self._stopping

    # --- what the log says -------------------------------------------------------------------------

    def deliver(self, recorded: Recorded) -> list[Instruction]:
        """An event for this node, or about a batch. One that comes again says nothing new."""
        if recorded.seq <= self._delivered_seq:
            return []
        self._delivered_seq = recorded.seq
        event = recorded.event
        if isinstance(event, ev.Completed | ev.Deleted):
            return self._batch_over(event.scope, deleted=isinstance(event, ev.Deleted))
        if isinstance(event, ev.RetryRequested):
            return self._retry_build(event.scope)
        if isinstance(event, ev.Joined):
            return self._somebody_joined(recorded.seq, event)
        if event.author == self.node:
            return []  # its own words
        match event:
            case ev.Assigned() if not self.leaving:
                return self._assigned(recorded.seq, event)
            case ev.Released():
                run = self.runs.get(event.scope)
                if run is not None and run.attempt == event.attempt:
                    return self._stop(run)
            case ev.Lost() if self.joined_seq is not None:
                stops = self._stop_all(list(self.runs.values()))
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
        known = self.runs.get(event.scope)
        instructions = self._stop(known) if known is not None else []
        self.runs[event.scope] = Run(
            event.scope, event.attempt, event.cpus, event.memory_bytes, event.gpus, seq, seq
        )
        if event.batch_id not in self.builds:
            self.builds[event.batch_id] = BuildPhase.LOADING
            instructions.append(Load(event.batch_id))
        return [*instructions, *self._claim_what_fits()]

    def _batch_over(self, batch: BatchId, *, deleted: bool) -> list[Instruction]:
        runs = [
            run
            for run in self.runs.values()
            if run.job.batch_id == batch and run.phase is not Phase.REPORTING
        ]
        if runs and not deleted:
            return []  # assigned while the end was under way: they are released, or it is none
        if self.builds.pop(batch, None) is None:
            return []
        return [*self._stop_all(runs), Forget(batch)]

    def _retry_build(self, batch: BatchId) -> list[Instruction]:
        """Where the batch's build failed, it is to be tried again, too: now, if runs still wait for it."""
        if self.builds.get(batch) is not BuildPhase.FAILED:
            return []
        del self.builds[batch]
        if not any(run.job.batch_id == batch for run in self.runs.values()):
            return []
        self.builds[batch] = BuildPhase.LOADING
        return [Load(batch)]

    # --- claiming ----------------------------------------------------------------------------------

    def _claim_what_fits(self) -> list[Instruction]:
        """Claim waiting runs in their order while there is room: two schedulers may promise the same room."""
        instructions: list[Instruction] = []
        for run in self.runs.values():
            if run.phase is not Phase.WAITING:
                continue
            if not self._has_room_for(run):
                break
            run.phase = Phase.CLAIMING
            instructions += self._say(run, ev.Claimed(**self._stamp(), **run.names(self.node)))
        return instructions

    def _has_room_for(self, wanted: Run) -> bool:
        busy = [
            run
            for run in [*self.runs.values(), *self._stopping]
            if run.phase not in {Phase.WAITING, Phase.REPORTING}
        ]
        gpus = {gpu for run in busy for gpu in run.gpus}
        return (
            sum(run.cpus for run in busy) + wanted.cpus <= self.cpus
            and sum(run.memory_bytes for run in busy) + wanted.memory_bytes <= self.memory_bytes
            and gpus.isdisjoint(wanted.gpus)
        )

    def reported(self, run: Run, seq: int) -> list[Instruction]:
        """An event of the run is in the log."""
        if run.phase is Phase.STOPPING:
            return []
        run.last_seq = seq
        if run.unsent:
            return self._say_next(run)
        if run.phase is Phase.CLAIMING:
            run.phase = Phase.CLAIMED
            return self._launch_if_ready(run)
        if run.phase is Phase.REPORTING:
            del self.runs[run.job]
            return [Tidy(run), *self._claim_what_fits()]
        return []

    def fenced(self, run: Run) -> list[Instruction]:
        """The job moved on without this node: whatever it did for it counts for nothing."""
        return self._stop(run)

    # --- building and running ----------------------------------------------------------------------

    def loaded(self, batch: BatchId, needs_build: bool) -> list[Instruction]:
        """What the batch is, is known."""
        if self.builds.get(batch) is not BuildPhase.LOADING:
            return []
        if needs_build:
            self.builds[batch] = BuildPhase.BUILDING
            names = {"namespace": batch.namespace, "batch": batch.batch}
            return [
                Announce(ev.BuildStarted(**self._stamp(), node=self.node, **names)),
                Build(batch),
            ]
        self.builds[batch] = BuildPhase.READY
        return self._launch_all(batch)

    def load_failed(self, batch: BatchId, reason: str) -> list[Instruction]:
        """What the batch is can't be learnt: its runs here end with the reason."""
        if self.builds.pop(batch, None) is not BuildPhase.LOADING:
            return []
        ending = Ending(succeeded=False, reason=reason)
        instructions: list[Instruction] = []
        for run in list(self.runs.values()):
            if run.job.batch_id == batch and run.phase is Phase.CLAIMED:
                run.phase = Phase.COLLECTING
                instructions.append(Collect(run, ending))
            elif run.job.batch_id == batch:
                instructions += self._stop(run)
        return instructions

    def built(
        self, batch: BatchId, *, succeeded: bool, reason: str | None, wall_s: float, outputs: Outputs | None
    ) -> list[Instruction]:
        """The batch's build ended. Where it failed, the scheduler takes the batch's jobs back."""
        if self.builds.get(batch) is not BuildPhase.BUILDING:
            return []
        self.builds[batch] = BuildPhase.READY if succeeded else BuildPhase.FAILED
        finished = ev.BuildFinished(
            **self._stamp(),
            node=self.node,
            namespace=batch.namespace,
            batch=batch.batch,
            succeeded=succeeded,
            reason=reason,
            wall_s=wall_s,
            outputs=outputs,
        )
        return [Announce(finished), *(self._launch_all(batch) if succeeded else [])]

    def _launch_all(self, batch: BatchId) -> list[Instruction]:
        return [
            instruction
            for run in self.runs.values()
            if run.job.batch_id == batch and run.phase is Phase.CLAIMED
            for instruction in self._launch_if_ready(run)
        ]

    def _launch_if_ready(self, run: Run) -> list[Instruction]:
        if self.builds.get(run.job.batch_id) is not BuildPhase.READY:
            return []
        run.phase = Phase.LAUNCHING
        return [Launch(run)]

    def launched(self, run: Run) -> list[Instruction]:
        """The run's process runs."""
        if run.phase is not Phase.LAUNCHING:
            return []
        run.phase = Phase.RUNNING
        return self._say(run, ev.Started(**self._stamp(), **run.names(self.node)))

    def exited(self, run: Run, ending: Ending) -> list[Instruction]:
        """The run's process ended, or could not be started."""
        if run.phase not in {Phase.LAUNCHING, Phase.RUNNING}:
            return []
        run.phase = Phase.COLLECTING
        return [Collect(run, ending)]

    def collected(self, run: Run, ending: Ending, outputs: Outputs | None) -> list[Instruction]:
        """What the run left is in the results bucket."""
        if run.phase is not Phase.COLLECTING:
            return []
        run.phase = Phase.REPORTING
        finished = ev.Finished(
            **self._stamp(),
            **run.names(self.node),
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
        return self._say(run, finished)

    # --- stopping ----------------------------------------------------------------------------------

    def _stop(self, run: Run) -> list[Instruction]:
        if run.phase is Phase.STOPPING:
            return []
        self.runs.pop(run.job, None)
        run.phase = Phase.STOPPING
        run.unsent.clear()
        self._stopping.append(run)
        return [Stop(run)]

    def _stop_all(self, runs: list[Run]) -> list[Instruction]:
        return [instruction for run in runs for instruction in self._stop(run)]

    def stopped(self, run: Run) -> list[Instruction]:
        """Nothing of the run is left: what it held is free."""
        self._stopping.remove(run)
        return self._claim_what_fits()

    # --- saying ------------------------------------------------------------------------------------

    def _say(self, run: Run, event: ev.Event) -> list[Instruction]:
        run.unsent.append(event)
        return self._say_next(run) if run.last_seq is not None else []

    def _say_next(self, run: Run) -> list[Instruction]:
        assert run.last_seq is not None, "the event before must be answered first"
        guard = Guard(run.last_seq)
        run.last_seq = None
        return [Report(run, Append(run.unsent.popleft(), guard))]

    def _stamp(self) -> Stamp:
        return {
            "id": self._new_id(),
            "time": datetime.fromtimestamp(self._clock(), UTC),
            "author": self.node,
        }
