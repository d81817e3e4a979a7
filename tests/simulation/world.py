"""The simulated world: a broker, services, computers and people, and trouble until calm sets in.

Everything that happens follows from the seed. The world ends when all that was asked for is done; it is
`Broken` where something does not hold, or where it takes longer than it may.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from distribute.core.beats import Beat
from distribute.core.events import Recorded
from distribute.core.ids import JobId
from distribute.ports import Only
from distribute.testing.simulated import Broker, Link, Timeline
from distribute.testing.simulated_log import Durable, SimulatedLog
from distribute_services.archiver.logic import CONSUMED, Task, task_of
from distribute_services.node_runner.machine.machine import RunnerMachine

from .archiving import ArchiverProcess
from .node import RunnerProcess
from .people import Person
from .scenario import CLEAR, Computer, Fate, Scenario, scenario
from .scheduling import IdleNode, SchedulerProcess
from .stories import Broken, require
from .truth import Truth

LONGEST_DOWN_S = 90.0
LONGEST_CUT_S = 120.0
LONGEST_BEAT_DELAY_S = 3.0
ADMIN_EVERY_S = 20.0
LOOK_EVERY_S = 5.0
PATIENCE_S = 900.0
"""So long after the last trouble everything that takes no time must be done."""


@dataclass(frozen=True)
class Parts:
    """What a world is built of. Tests break one, and see that it is noticed."""

    scenario: Callable[[Random], Scenario] = scenario
    broker: type[Broker] = Broker
    log: type[SimulatedLog] = SimulatedLog
    machine: type[RunnerMachine] = RunnerMachine
    task_of: Callable[[Recorded, float, Callable[[], str]], Task] = task_of


class World:
    """One simulated world."""

    def __init__(self, seed: int, parts: Parts = Parts()) -> None:
        self.timeline = Timeline(seed)
        self.parts = parts
        self.scenario = parts.scenario(self.timeline.random)
        self.weather = self.scenario.weather
        self.truth = Truth()
        self.broker = parts.broker(self.timeline, replicated=self.scenario.replicated)
        self.broker.on_append.append(self.truth.appended)
        self.consumer = Durable(self.broker, Only(types=CONSUMED))
        self.snapshot = b""
        self.calm = False
        self._over = False
        self._idle: set[IdleNode] = set()
        self._deadline = self.scenario.calm_at + PATIENCE_S + self.scenario.work_s
        self.people = Person(self, "people")
        self.archiver = ArchiverProcess(self)
        self.schedulers = [self._new_scheduler(number) for number in range(self.scenario.schedulers)]
        self.runners: dict[str, RunnerProcess] = {}
        for computer in self.scenario.computers:
            self.timeline.after(self._uniform(20.0), partial(self.start_runner, computer))
        self._plan()

    def run(self) -> None:
        """Let everything happen. Raises `Broken`, or what a process raised."""
        while not self._over:
            self.timeline.step()
            self.truth.now = self.timeline.now
        self.truth.finish()

    # --- what processes ask of the world -----------------------------------------------------------

    def fate(self, job: JobId) -> Fate:
        return self.scenario.fates[job]

    def beat(self, link: Link, beat: Beat) -> None:
        """A heartbeat: lost, or heard by every scheduler, later than what was said after it, perhaps."""
        if not link.connected or not self.broker.up or self.timeline.chance(self.weather.loss):
            return
        for scheduler in self.schedulers:
            self.timeline.after(self._uniform(LONGEST_BEAT_DELAY_S), partial(scheduler.hear, beat))

    def start_runner(self, computer: Computer) -> None:
        """Start a computer's node-runner, unless it runs."""
        runner = self.runners.get(computer.name)
        if runner is None or not runner.alive:
            self.runners[computer.name] = RunnerProcess(self, computer)

    def crash_runner(self, runner: RunnerProcess) -> None:
        """Kill a node-runner; it is started again some time."""
        if runner.alive:
            runner.kill()
            self._later(lambda: self.start_runner(runner.computer))

    # --- what happens ------------------------------------------------------------------------------

    def _plan(self) -> None:
        plan, timeline = self.scenario, self.timeline
        for moment, spec, user in plan.submissions:
            timeline.at(moment, partial(self.people.submit, spec, user))
        for moment, verb in plan.requests:
            request = self._leave if verb == "leave" else partial(self.people.request, verb)
            timeline.at(moment, request)
        if plan.trouble_every_s:
            self._plan_trouble()
        timeline.at(plan.calm_at, self._calm_down)

    def _plan_trouble(self) -> None:
        def happen() -> None:
            if not self.calm:
                self._trouble()
                self._plan_trouble()

        self.timeline.after(self.timeline.random.expovariate(1 / self.scenario.trouble_every_s), happen)

    def _trouble(self) -> None:
        random = self.timeline.random
        runner = random.choice([self.runners[name] for name in sorted(self.runners)] or [None])
        number = random.randrange(len(self.schedulers))
        match random.choice(
            ("scheduler", "archiver", "runner", "runner", "cut", "cut", "deaf", "broker", "loss")
        ):
            case "scheduler":
                self.schedulers[number].kill()
                self._later(lambda: self._start_scheduler(number))
            case "archiver":
                self.archiver.kill()
                self._later(self._start_archiver)
            case "runner" if runner is not None:
                self.crash_runner(runner)
            case "cut" if runner is not None:
                self._cut(runner.link)
            case "deaf":
                self._cut(random.choice([self.schedulers[number], self.archiver]).link)
            case "broker":
                self.broker.up = False
                self.truth.note("broker", "is down")
                self.truth.happened["broker down"] += 1
                self._later(self.broker.come_up)
            case "loss" if self.truth.results.uncommitted():
                self.truth.results.lose(random.choice(self.truth.results.uncommitted()))
                self.truth.happened["results lost"] += 1
            case _:
                pass

    def _later(self, action: Callable[[], None]) -> None:
        longest = 10.0 if self.calm else self.timeline.random.choice((2.0, 10.0, LONGEST_DOWN_S))
        self.timeline.after(self._uniform(longest), action)

    def _cut(self, link: Link) -> None:
        self.truth.note("network", "is cut")
        self.truth.happened["cut off"] += 1
        link.cut()
        self.timeline.after(self._uniform(LONGEST_CUT_S), link.heal)

    def _leave(self) -> None:
        runners = [self.runners[name] for name in sorted(self.runners) if self.runners[name].alive]
        if runners:
            self.timeline.random.choice(runners).leave()

    def _new_scheduler(self, number: int) -> SchedulerProcess:
        if self.timeline.chance(0.3):
            self.snapshot = b""
        return SchedulerProcess(self, f"scheduler{number + 1}", clock_offset_s=self._uniform(600.0) - 300.0)

    def _start_scheduler(self, number: int) -> None:
        if not self.schedulers[number].alive:
            self.schedulers[number] = self._new_scheduler(number)

    def _start_archiver(self) -> None:
        if not self.archiver.alive:
            self.archiver = ArchiverProcess(self)

    def _uniform(self, longest_s: float) -> float:
        return self.timeline.random.uniform(0, longest_s)

    # --- calm --------------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        """Whatever is broken is mended, and stays so."""
        self.truth.note("world", "calms down")
        self.calm = True
        self.weather = CLEAR
        self.broker.come_up()
        for number in range(len(self.schedulers)):
            self._start_scheduler(number)
        self._start_archiver()
        for computer in self.scenario.computers:
            computer.broken = False
            self.start_runner(computer)
        for process in (*self.schedulers, self.archiver, *self.runners.values()):
            process.link.heal()
        self.timeline.after(ADMIN_EVERY_S, self._administer)
        self.timeline.after(LOOK_EVERY_S, self._look)

    def _administer(self) -> None:
        """An admin starts what left, and lets nodes take jobs that were told not to."""
        for computer in self.scenario.computers:
            self.start_runner(computer)
            node = self.truth.state.nodes.get(computer.name)
            if node is not None and (node.draining is not None or node.quarantined is not None):
                self.people.undrain(node.name)
        self.timeline.after(ADMIN_EVERY_S, self._administer)

    def _look(self) -> None:
        """Is everything done?"""
        undone = self.truth.unfinished() or self._restless()
        if not undone:
            self._over = True
            return
        require(self.timeline.now < self._deadline, f"still not done: {undone}")
        idle = {pair for process in self.schedulers for pair in process.idle_and_waited_for()}
        require(not idle & self._idle, f"idle, and waited for: {sorted(idle & self._idle)}")
        self._idle = idle
        self.timeline.after(LOOK_EVERY_S, self._look)

    def _restless(self) -> list[str]:
        """Who is not at rest: has something under way, or has not read all of the log."""
        last_seq = self.broker.stored.last_seq
        found = []
        for process in self.schedulers:
            scheduler = process.scheduler
            if scheduler is None or scheduler.state.seq < last_seq or scheduler.agenda.pending:
                found.append(f"{process.name} has something under way")
            else:
                process.check()
        found += [f"{name} is not idle" for name, runner in self.runners.items() if not runner.machine.idle]
        found += [f"{name} runs {len(running)}" for name, running in self.truth.processes.items() if running]
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
