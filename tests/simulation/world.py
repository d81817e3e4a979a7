"""The simulated world: a broker, services, computers and people, and trouble until calm sets in.

Everything that happens follows from the seed. The world ends when all that was asked for is done. It raises
`Broken` if something does not hold, or takes longer than it may.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from distribute.core.ids import BatchId, JobId
from distribute.host import Pause
from distribute.restoring import SNAPSHOT
from distribute.scratch import scratch_folder
from distribute.sim.cluster import Hub
from distribute.sim.computer import begin_pause
from distribute.sim.log import SimulatedLog
from distribute.sim.loop import VirtualLoop
from distribute.sim.network import EPOCH_S, Broker
from distribute.sim.remembering import RememberingLog

from .archiving import ArchiverProcess
from .inputs import Inputs
from .logs import Logs
from .node import RunnerProcess
from .notifying import Mailboxes, NotifierProcess
from .people import People
from .process import ServiceProcess
from .scenario import CLEAR, PAUSES_S, Computer, Fate, Scenario, scenario
from .scheduling import IdleNode, SchedulerProcess
from .stories import Broken, require
from .trouble import Trouble
from .truth import Truth
from .unfinished import unfinished

LONGEST_DOWN_S = 90.0
ADMIN_EVERY_S = 20.0
LOOK_EVERY_S = 5.0
PATIENCE_S = 900.0
"""So long after the last trouble everything that takes no time must be done."""
CLOSING_S = 60.0
NOTIFIED_EVERY = 3
"""One world in so many has a notifier. The others are faster without."""
TWICE_NOTIFIED_EVERY = 9
"""One world in so many has two."""
IN_MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK | os.X_OK) else None
"""Where worlds have their folders. On a disk, to make and remove them takes a tenth of a world's time."""


@dataclass(frozen=True)
class Parts:
    """What a world is built of. Tests break one, and see that it is noticed."""

    scenario: Callable[[Random], Scenario] = scenario
    broker: type[Broker] = Broker
    log: type[SimulatedLog] = RememberingLog


class World:
    """One simulated world."""

    def __init__(self, seed: int, parts: Parts = Parts(), *, tells_logs: bool = False) -> None:
        self._logs = Logs(self, tells_all=tells_logs)
        self.loop = VirtualLoop(seed)
        self.random = self.loop.random
        self.parts = parts
        self.scenario = parts.scenario(self.random)
        self.weather = self.scenario.weather
        self.loop.thread_delay_s = lambda: self.uniform(self.weather.transfer_s)
        self.broker = parts.broker(self.loop, replicated=self.scenario.replicated)
        self.hub = Hub(self.broker)
        self.truth = Truth(self.loop, self.broker.files)
        self.broker.on_append.append(self.truth.appended)
        self.broker.on_loss.append(self.truth.lost)
        self.calm = False
        self._closing = ExitStack()
        self._folders: Path | None = None
        self._failure: Exception | None = None
        self._idle: set[IdleNode] = set()
        self._deadline = self.scenario.calm_at + PATIENCE_S + self.scenario.work_s
        self.inputs = Inputs(self)
        self.people = People(self)
        self.archivers = [self._new_archiver(number) for number in range(self.scenario.archivers)]
        self.mailboxes = Mailboxes(self)
        notifiers = (seed % NOTIFIED_EVERY == 0) + (seed % TWICE_NOTIFIED_EVERY == 0)
        self.notifiers = [self._new_notifier(number) for number in range(notifiers)]
        self.broker.on_append.append(self.mailboxes.appended)
        self.broker.on_loss.append(self.mailboxes.lost)
        self.schedulers = [self._new_scheduler(number) for number in range(self.scenario.schedulers)]
        self.runners: dict[str, RunnerProcess] = {}
        for computer in self.scenario.computers:
            self.loop.after(self.uniform(20.0), partial(self.start_runner, computer))
        self._plan()

    def run(self) -> None:
        """Let everything happen. Raises `Broken`, or what a process raised."""
        with self._logs.taken():
            try:
                self.loop.run_forever()
                for error in (self._failure, *self.loop.faults):
                    if error is not None:
                        raise error
                self.truth.finish()
                self.mailboxes.finish()
            finally:
                self._close()

    def _close(self) -> None:
        """Kill every process, and let the tasks end, so that nothing is left for the garbage collector."""
        self.loop.forget_actions()
        for process in self.processes:
            process.kill()
        self.people.close()
        self.loop.end_tasks(CLOSING_S)
        self.loop.close()
        self._closing.close()

    # --- what processes ask of the world -----------------------------------------------------------

    def fate(self, job: JobId) -> Fate:
        return self.scenario.fates[job]

    def build_timeout_s(self, batch: BatchId) -> float | None:
        """How long the build of a batch may run; None: it has no limit."""
        return next(spec.build_timeout_s for _, spec, _ in self.scenario.submissions if spec.id == batch)

    def new_folder(self) -> Path:
        """An empty folder on a disk. It stays until the world ends: what is killed never removes its own."""
        if self._folders is None:
            # What a killed run left in the computer's memory goes when the next one begins.
            self._folders = self._closing.enter_context(scratch_folder("sim", IN_MEMORY))
        folder = self._folders / str(self.loop.next_number())
        folder.mkdir()
        return folder

    def fail(self, error: Exception) -> None:
        """Something does not hold: the world ends here."""
        self._failure = self._failure or error
        self.loop.stop()

    def ended(self, process: ServiceProcess) -> None:
        """A service ended by itself, or was told to: its supervisor starts it again."""
        if process in self.archivers:
            self.later(partial(self.start_archiver, self.archivers.index(process)))
        if process in self.notifiers:
            self.later(partial(self.start_notifier, self.notifiers.index(process)))
        if process in self.schedulers:
            self.later(partial(self.start_scheduler, self.schedulers.index(process)))
        for runner in self.runners.values():
            if process is runner:
                self.later(partial(self.start_runner, runner.computer))

    def start_runner(self, computer: Computer) -> None:
        """Start a computer's node-runner, unless it runs."""
        runner = self.runners.get(computer.name)
        if runner is None or not runner.alive:
            self.runners[computer.name] = RunnerProcess(self, computer)

    def crash_runner(self, runner: RunnerProcess) -> None:
        """Kill a node-runner; it is started again some time."""
        if runner.alive:
            runner.crash()
            self.later(lambda: self.start_runner(runner.computer))

    def reboot(self, runner: RunnerProcess) -> None:
        """A node's computer loses power, and starts again some time."""
        self.truth.note(runner.name, "loses power")
        self.truth.happened["a computer reboots"] += 1
        runner.crash()
        runner.computer.reboot()
        self.later(lambda: self.start_runner(runner.computer))

    def start_scheduler(self, number: int) -> None:
        """Start a scheduler, unless it runs."""
        if not self.schedulers[number].alive:
            self.schedulers[number] = self._new_scheduler(number)

    def start_archiver(self, number: int) -> None:
        """Start an archiver, unless it runs."""
        if not self.archivers[number].alive:
            self.archivers[number] = self._new_archiver(number)

    def _new_archiver(self, number: int) -> ArchiverProcess:
        return ArchiverProcess(self, f"archiver{number + 1}" if number else "archiver")

    def start_notifier(self, number: int) -> None:
        """Start a notifier, unless it runs."""
        if not self.notifiers[number].alive:
            self.notifiers[number] = self._new_notifier(number)

    def _new_notifier(self, number: int) -> NotifierProcess:
        return NotifierProcess(self, f"notifier{number + 1}" if number else "notifier")

    def _new_scheduler(self, number: int) -> SchedulerProcess:
        if self.loop.chance(0.3):
            self.broker.files.snapshots.pop(SNAPSHOT, None)
        offset_s = self.uniform(600.0) - 300.0
        return SchedulerProcess(self, f"scheduler{number + 1}", clock_offset_s=offset_s)

    # --- chance ------------------------------------------------------------------------------------

    def uniform(self, longest_s: float) -> float:
        return self.random.uniform(0, longest_s)

    def later(self, action: Callable[[], None]) -> None:
        """Do something some time: soon, when the world is calm."""
        longest = 10.0 if self.calm else self.random.choice((2.0, 10.0, LONGEST_DOWN_S))
        self.loop.after(self.uniform(longest), action)

    # --- what happens ------------------------------------------------------------------------------

    def _plan(self) -> None:
        plan = self.scenario
        for moment, spec, user in plan.submissions:
            self.loop.at(moment, partial(self.people.submit, spec, user))
        for moment, verb, batch in plan.requests:
            own = {
                "leave": self._leave,
                "pause_here": self._pause_here,
                "sit_down": self._sit_down,
                "collect": self.people.bring_in_another,
                "compact": self.people.compact,
            }
            self.loop.at(moment, own.get(verb, partial(self.people.request, verb, batch)))
        if plan.trouble_every_s:
            Trouble(self).begin()
        self.loop.at(plan.calm_at, self._calm_down)

    def _pause_here(self) -> None:
        """Somebody pauses the computer that they sit at, whether its node-runner lives or not."""
        computer = self.random.choice(self.scenario.computers)
        duration_s = self.random.choice(PAUSES_S)
        until = EPOCH_S + computer.clock_offset_s + (self.loop.now + duration_s) * computer.clock_rate
        self.truth.note(computer.name, f"is paused for {duration_s:g} s")
        begin_pause(self.loop, computer, duration_s, Pause(until, "owner"))

    def _sit_down(self) -> None:
        """The owner of a computer works at it for a while."""
        computer = self.random.choice(self.scenario.computers)
        until = self.loop.now + self.random.choice(PAUSES_S)
        self.truth.note(computer.name, f"is in use until {until:.1f}")
        self.truth.happened["an owner sits down"] += 1

        def work() -> None:
            computer.used_at = self.loop.now
            if self.loop.now < until:
                self.loop.after(self.uniform(5.0), work)

        work()

    def _leave(self) -> None:
        runners = [self.runners[name] for name in sorted(self.runners) if self.runners[name].alive]
        if runners:
            runner = self.random.choice(runners)
            runner.drain()
            if self.loop.chance(0.3):
                runner.soon(60.0, runner.drain)

    @property
    def processes(self) -> list[ServiceProcess]:
        """All services, living or dead."""
        return [*self.services, *self.runners.values()]

    @property
    def services(self) -> list[ServiceProcess]:
        """Those of the head, living or dead."""
        return [*self.schedulers, *self.archivers, *self.notifiers]

    def _calm_down(self) -> None:
        """Whatever is broken is mended, and stays so."""
        self.truth.note("world", "calms down")
        self.calm = True
        self.weather = CLEAR
        self.broker.come_up()
        self.broker.files.is_full = False
        for number in range(len(self.schedulers)):
            self.start_scheduler(number)
        for number in range(len(self.archivers)):
            self.start_archiver(number)
        for number in range(len(self.notifiers)):
            self.start_notifier(number)
        for computer in self.scenario.computers:
            computer.broken = False
            self.start_runner(computer)
        for process in self.processes:
            process.link.heal()
        self.loop.after(ADMIN_EVERY_S, self._administer)
        self.loop.after(LOOK_EVERY_S, self._look)

    def _administer(self) -> None:
        """An admin starts what left, lets nodes take jobs that were told not to, releases batches."""
        for computer in self.scenario.computers:
            self.start_runner(computer)
            node = self.truth.state.nodes.get(computer.name)
            if node is not None and (node.draining is not None or node.quarantined is not None):
                self.people.undrain(node.name)
        self.people.release_all()
        self.people.bring_in_the_rest()
        self.loop.after(ADMIN_EVERY_S, self._administer)

    def _look(self) -> None:
        """Is everything done?"""
        undone = list(unfinished(self.truth.state)) or self._restless() or self.mailboxes.untold()
        if not undone:
            self._finish()
            return
        require(self.loop.now < self._deadline, f"still not done: {undone}")
        last_seq = self.broker.stored.last_event_seq
        idle = {
            pair
            for process in self.schedulers
            # One whose reader stalls knows no better.
            if process.scheduler is not None and process.scheduler.state.seq == last_seq
            for pair in process.scheduler.idle_and_waited_for()
        }
        require(not idle & self._idle, f"idle, and waited for: {sorted(idle & self._idle, key=str)}")
        self._idle = idle
        self.loop.after(LOOK_EVERY_S, self._look)

    def _finish(self) -> None:
        """Somebody looks at the results of a batch, and then the world ends.

        A batch that can't end may have a job under way still: what it leaves may come in between.
        """
        for process in self.schedulers:
            if process.scheduler is not None:
                process.scheduler.check()
        for service in self.services:
            if service.state is not None:
                self.truth.agrees_in_the_end(service.name, service.state)
        batches = [
            batch_id
            for batch_id, batch in sorted(self.truth.state.batches.items())
            if not batch.active and not batch.unarchived
        ]
        batches += sorted(self.truth.state.compacted)
        if batches:
            self.people.pull(self.random.choice(batches), self.loop.stop)
            self.loop.after(PATIENCE_S, partial(self.fail, Broken("its results are never read to their end")))
        else:
            self.loop.stop()

    def _restless(self) -> list[str]:
        """Who is not at rest: has something under way, or has not read all of the log."""
        last_seq = self.broker.stored.last_event_seq
        found = []
        for process in self.schedulers:
            scheduler = process.scheduler
            if not process.alive or scheduler is None:
                found.append(f"{process.name} is not there")
            elif scheduler.state.seq < last_seq or scheduler.agenda.pending:
                found.append(f"{process.name} has something under way")
        found += [
            f"{process.name} waits for an answer"
            for process in self.processes
            if process.cluster.stream.unanswered
        ]
        found += self.people.still_follow()
        for name, runner in self.runners.items():
            node = self.truth.state.nodes.get(name)
            if not runner.alive or runner.stop.is_set():
                continue
            if node is None or node.presence != "here":
                found.append(f"{name} runs, and is not there")
            elif (node.paused_until is None) != (runner.computer.pause is None):
                found.append(f"{name} is paused by the log, or there, but not both")
        found += [
            f"{computer.name} runs {len(computer.running)}"
            for computer in self.scenario.computers
            if computer.running
        ]
        return found


def simulate(seed: int, parts: Parts = Parts()) -> World:
    """Run one world. A failure names the seed, the command that replays it, and what happened before."""
    world = World(seed, parts)
    try:
        world.run()
    except Exception as error:
        raise Broken(told(world, seed, error)) from error
    return world


def told(world: World, seed: int, error: Exception) -> str:
    """The story of a world that broke."""
    at_fault = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{world.truth.trace}\nseed {seed}: {type(error).__name__}: {error}"
        f"\nraised in {at_fault.name}, {Path(at_fault.filename).name}:{at_fault.lineno}"
        f"\nreplay it with: python -m tests.simulation {seed}"
    )
