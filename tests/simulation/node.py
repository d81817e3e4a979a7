"""A node-runner's process in the simulated world: `runner` and `work`, with simulated hands."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from distribute.testing.simulated import EPOCH_S
from distribute.testing.stored_events import StoredEvents

from distribute.core import events as ev
from distribute.core.beats import Beat
from distribute.core.ids import BatchId
from distribute.core.manifest import Manifest, Outputs, StoredObject
from distribute.core.recorded import Guard, Recorded
from distribute.core.specs import BatchSpec
from distribute_services.node_runner.host.port import Capacity
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt, Ending, Phase
from distribute_services.node_runner.machine.machine import wanted

from .process import WorldProcess
from .scenario import Computer
from .truth import Process

if TYPE_CHECKING:
    from .world import World

BEAT_EVERY_S = 5.0
LAUNCH_WITHIN_S = 0.3
COLLECT_WITHIN_S = 1.0
STOP_WITHIN_S = 3.0
BUILD_WITHIN_S = 10.0
CANNOT_START = 0.01
"""The probability that a process can't be started."""
FAILS_AT_ONCE_S = 0.2
DIES_AFTER_S = 1.0


class RunnerProcess(WorldProcess):
    """A node-runner, from its start, at which it kills what an earlier one left running, to its death."""

    def __init__(self, world: World, computer: Computer) -> None:
        super().__init__(
            world, computer.name, clock_offset_s=computer.clock_offset_s, clock_rate=computer.clock_rate
        )
        self.computer = computer
        self._processes: dict[Attempt, Process] = {}
        self._facts: deque[ev.Event] = deque()
        self._begun = False
        self._leaving = False
        for process in list(world.truth.processes.get(computer.name, ())):
            world.truth.ended(process)
        self.machine = world.parts.machine(
            computer.name,
            incarnation=world.timeline.new_id(),
            capacity=Capacity(computer.cpus, computer.memory_bytes, computer.gpus, computer.capabilities),
            version="1",
            new_id=self.new_id,
            clock=self.clock,
        )
        self.ask(lambda stored: stored.last_seq, self._begin)

    def _begin(self, last_seq: int) -> None:
        if not self.alive:
            return
        self._begun = True
        self._do(self.machine.join())
        self.follow(last_seq, wanted(self.name), self._deliver)
        self.every(BEAT_EVERY_S, self._beat)

    def _deliver(self, records: Sequence[Recorded]) -> None:
        for recorded in records:
            self._do(self.machine.deliver(recorded))

    def _beat(self) -> None:
        running = tuple(sorted(str(job) for job in self.machine.attempts))
        beat = Beat(node=self.name, incarnation=self.machine.incarnation, load=0.0, running=running)
        self.run(self.cluster.beats.send(beat))

    def leave(self) -> None:
        """End in good order."""
        if not self._begun:
            self.crash()
        elif not self._leaving:
            self.note("is to leave")
            self._leaving = True
            self._do(self.machine.leave())
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Once nothing runs any more, and nobody else is to know more of it."""
        if self._leaving and self.machine.idle:
            self._leaving = False
            self._do(self.machine.left())

    # --- what the machine wants done ---------------------------------------------------------------

    def _do(self, instructions: Iterable[do.Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case do.Report():
                    self._report(instruction)
                case do.Announce():
                    self._facts.append(instruction.event)
                    if len(self._facts) == 1:
                        self._announce()
                case do.Load():
                    self._load(instruction.batch)
                case do.Build():
                    self._build(instruction.batch)
                case do.Launch():
                    self._launch(instruction.attempt)
                case do.Collect():
                    self._collect(instruction.attempt, instruction.ending)
                case do.Stop():
                    self._stop(instruction.attempt)
                case do.Tidy() | do.Forget():
                    pass
                case do.GiveWay():
                    raise AssertionError(f"{self.name} gives way, and nobody else has its name")
        self._say_goodbye()

    def _report(self, report: do.Report) -> None:
        def answered(seq: int | None) -> None:
            if not self.alive:
                return
            if seq is not None:
                self._do(self.machine.handle(st.Reported(report.attempt, seq)))
            else:
                self.world.truth.happened["fenced"] += 1
                self._do(self.machine.handle(st.Fenced(report.attempt)))

        self.append(report.append.event, report.append.guard, answered)

    def _announce(self) -> None:
        """Append the first of the announcements, and then the next; see `runtime.Facts`."""
        event = self._facts[0]

        def answered(seq: int | None) -> None:
            if not self.alive:
                return
            if seq is not None:
                self._facts.popleft()
                if isinstance(event, ev.Left):
                    self.link.close()
            if self._facts:
                self._announce()

        self.ask(
            lambda stored: stored.last_seq_of(event.scope),
            lambda last_seq: self.append(event, Guard(last_seq), answered) if self.alive else None,
        )

    # --- batches -----------------------------------------------------------------------------------

    def _load(self, batch: BatchId) -> None:
        def loaded(spec: BatchSpec | None) -> None:
            if not self.alive:
                return
            if spec is None:
                self._do(self.machine.handle(st.LoadFailed(batch, "the batch is not in the log any more")))
            else:
                self._do(self.machine.handle(st.Loaded(batch, spec.needs_build)))

        self.soon(LAUNCH_WITHIN_S, lambda: self.ask(lambda stored: _submitted(stored, batch), loaded))

    def _build(self, batch: BatchId) -> None:
        succeeded = (batch, self.name) not in self.world.scenario.failing_builds
        reason = None if succeeded else "the compiler says no"

        def built() -> None:
            ending = Ending(succeeded=succeeded, reason=reason, wall_s=1.0)
            self._do(self.machine.handle(st.Built(batch, ending, None)))

        self.soon(BUILD_WITHIN_S, built)

    # --- attempts --------------------------------------------------------------------------------------

    def _launch(self, attempt: Attempt) -> None:
        def start() -> None:
            if attempt.phase is not Phase.LAUNCHING:
                return  # stopped meanwhile
            if self.world.timeline.chance(CANNOT_START):
                ending = Ending(succeeded=False, reason="it can't be started")
                self._do(self.machine.handle(st.Exited(attempt, ending)))
                return
            process = self._processes[attempt] = Process(attempt, self.computer)
            self.world.truth.launched(process)
            duration_s, ending = self._fate(attempt)
            self.world.timeline.after(duration_s, lambda: self._exited(process, ending))
            if self.world.fate(attempt.job).deadly:
                self.after(DIES_AFTER_S, lambda: self._die(process))
            self._do(self.machine.handle(st.Launched(attempt)))

        self.soon(LAUNCH_WITHIN_S, start)

    def _die(self, process: Process) -> None:
        if self._runs(process):
            self.world.crash_runner(self)

    def _runs(self, process: Process) -> bool:
        return process in self.world.truth.processes[self.name]

    def _fate(self, attempt: Attempt) -> tuple[float, Ending]:
        if self.computer.broken:
            return FAILS_AT_ONCE_S, Ending(succeeded=False, exit_code=127, wall_s=FAILS_AT_ONCE_S)
        fate = self.world.fate(attempt.job)
        exit_code = int(attempt.number <= fate.failures)
        ending = Ending(succeeded=not exit_code, exit_code=exit_code, wall_s=fate.duration_s)
        return fate.duration_s + (DIES_AFTER_S * 2 if fate.deadly else 0.0), ending

    def _exited(self, process: Process, ending: Ending) -> None:
        """A process ends by itself, whether or not the runner that started it still lives."""
        if self._runs(process):
            self.world.truth.ended(process)
            if self.alive:
                self._do(self.machine.handle(st.Exited(process.attempt, ending)))

    def _collect(self, attempt: Attempt, ending: Ending) -> None:
        name = f"{attempt.job}/{attempt.number}"

        def collected() -> None:
            if not self.link.connected:
                self.soon(COLLECT_WITHIN_S, collected)
                return
            if attempt.phase is Phase.COLLECTING:
                self.world.truth.results.upload(name, EPOCH_S + self.world.timeline.now)
                self._do(self.machine.handle(st.Collected(attempt, ending, _outputs(name))))

        self.soon(COLLECT_WITHIN_S, collected)

    def _stop(self, attempt: Attempt) -> None:
        def stopped() -> None:
            process = self._processes.get(attempt)
            if process is not None and self._runs(process):
                self.world.truth.ended(process)
            self._do(self.machine.handle(st.Stopped(attempt)))

        self.soon(STOP_WITHIN_S, stopped)


def _submitted(stored: StoredEvents, batch: BatchId) -> BatchSpec | None:
    """What was submitted last under this name, if it was not deleted since."""
    for recorded in reversed(stored.of_scope(batch)):
        if isinstance(recorded.event, ev.Submitted | ev.Deleted):
            return recorded.event.spec if isinstance(recorded.event, ev.Submitted) else None
    return None


def _outputs(name: str, nuid: str) -> Outputs:
    stored = StoredObject(name=name, nuid=nuid, size_bytes=1, chunks=1, sha256=sha256(b"x").hexdigest())
    return Outputs(inline=Manifest(objects=(stored,)), objects=1, files=1, size_bytes=1)
