"""The computers of the simulated world: what runs on them ends as the scenario says, and is watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.core.ids import JobId
from distribute.core.spec.specs import DEFAULT_GRACE_S
from distribute.host import CannotStart, Unit
from distribute.sim.computer import Process
from distribute.sim.host import ModelledHost, Outcome, Place

from .stories import require

if TYPE_CHECKING:
    from .node import RunnerProcess

BUILD_WITHIN_S = 10.0
SLACK_S = 0.5
"""A clock of the runner may be a little off."""
CANNOT_START = 0.01
"""The probability that a process can't be started."""
FAILS_AT_ONCE_S = 0.2
DIES_AFTER_S = 1.0


class WorldHost(ModelledHost):
    """A host on which something goes wrong now and then."""

    def __init__(self, runner: RunnerProcess) -> None:
        super().__init__(runner, runner.computer)
        self._runner = runner
        self._world = runner.world
        self._launched: set[Process] = set()
        """Those of this runner. The computer may have others, of a runner that was killed."""

    def start(self, unit: Unit, place: Place) -> Process:
        """As `Host.start`."""
        if self._loop.chance(CANNOT_START):
            process = self._new_process(unit, place)
            process.ended.set_result(CannotStart("it can't be started"))
            return process
        return super().start(unit, place)

    def outcome(self, unit: Unit) -> Outcome:
        """As `ModelledHost.outcome`."""
        if not isinstance(unit.of, JobId):
            fails = (unit.of, self.computer.name) in self._world.scenario.failing_builds
            return Outcome(self._loop.random.uniform(0, BUILD_WITHIN_S), int(fails))
        if self._runner.computer.broken:
            return Outcome(FAILS_AT_ONCE_S, 127)
        fate = self._world.fate(unit.of)
        duration_s = fate.duration_s + (DIES_AFTER_S * 2 if fate.deadly else 0.0)
        return Outcome(duration_s, int(unit.attempt <= fate.failures))

    def launched(self, process: Process) -> None:
        """As `ModelledHost.launched`."""
        self._launched.add(process)
        self._world.truth.launched(process)
        of = process.unit.of
        if isinstance(of, JobId) and self._world.fate(of).deadly:
            self._loop.after(DIES_AFTER_S, lambda: self._die(process))

    def taken_up(self, process: Process) -> None:
        """As `ModelledHost.taken_up`."""
        is_over = process.ended.done()
        self._world.truth.note(
            self.computer.name, f"has {process.unit}, which {'ended' if is_over else 'runs'}"
        )
        self._world.truth.happened[f"{'an ended' if is_over else 'a running'} job is taken up"] += 1

    def stopped(self, process: Process) -> None:
        """As `ModelledHost.stopped`."""
        was_paused = process.frozen_at is not None or process.paused_s > 0
        is_vacated = was_paused and self._runner.computer.vacate_after_s is not None
        if self._runner.alive and not self._runner.stop.is_set() and not is_vacated:
            self._world.truth.stopped(process)

    def gone(self, process: Process) -> None:
        """As `ModelledHost.gone`."""
        self._world.truth.note(self.computer.name, f"{process.unit} is gone")
        if process.frozen_at is None and process.paused_s:
            self._world.truth.happened["a frozen process goes on"] += 1
        of = process.unit.of
        limit_s = None if isinstance(of, JobId) else self._world.build_timeout_s(of)
        if limit_s is not None and process in self._launched and self._runner.alive:
            ran_s = process.ran_s(self._loop.now)
            grace_s = process.unit.recipe.grace_s
            is_in_time = ran_s <= limit_s + (DEFAULT_GRACE_S if grace_s is None else grace_s) + SLACK_S
            require(is_in_time, f"{process.unit} ran for {ran_s:.1f} s, past its limit of {limit_s:g} s")
        if self._runner.alive and self._world.scenario.is_untroubled:
            self._world.truth.gone(process)

    def printed(self, process: Process, line: bytes) -> None:
        """As `ModelledHost.printed`."""
        unit = process.unit
        if isinstance(unit.of, JobId):
            self._world.truth.printed.setdefault((unit.of, unit.attempt), []).append(line)

    def _die(self, process: Process) -> None:
        if not process.ended.done():
            # The runner that started it may be gone by now: the next one goes down with the computer.
            self._world.reboot(self._world.runners[self.computer.name])
