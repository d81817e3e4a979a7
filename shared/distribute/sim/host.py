"""A modelled computer: `Host`, with processes that run for as long as somebody says.

Processes are the computer's, not the runner's: they outlive a runner that is killed, and the next one takes
up those of jobs.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from distribute.core.files.manifest import STDOUT_NAME, Manifest, Outputs, StoredFile, build_output_name
from distribute.core.ids import AttemptId, BatchId
from distribute.core.log.event_base import MAX_LINES
from distribute.core.spec.specs import DEFAULT_GRACE_S, DEFAULT_MAX_PAUSE_S, DEFAULT_SUPERSEDED_KEEP_S
from distribute.host import (
    CannotStart,
    Capacity,
    EndedFor,
    Exit,
    Figures,
    FoundBuild,
    Kept,
    Pause,
    Presence,
    SetAside,
    Unit,
)
from distribute.sim.computer import ModelledComputer, Process, begin_pause
from distribute.sim.process import SimulatedProcess
from distribute.sim.visits import ModelledVisits

STAGE_WITHIN_S = 0.3
COLLECT_WITHIN_S = 1.0
STOP_SOON_S = 2.0
CLEAR_WITHIN_S = 2.0
LOOK_WITHIN_S = 0.5
PAUSE_WITHIN_S = 0.2
EXACTLY_S = 1e-6
SIGTERM = 15


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A unit's folder."""

    unit: Unit
    built: Place | None = None
    printed: list[bytes] = field(default_factory=list)
    """The lines that its process has printed."""


class Outcome(NamedTuple):
    """How long a unit runs, and its exit code."""

    duration_s: float
    exit_code: int = 0


class ModelledHost(ABC):
    """`Host` for one runner. Whatever a killed runner still wants, the host does not do.

    Who uses it says in `outcome` how units end, and looks on in the other abstract methods.
    """

    def __init__(self, runner: SimulatedProcess, computer: ModelledComputer) -> None:
        self.runner = runner
        self.computer = computer
        self.visits = ModelledVisits()
        self._loop = runner.loop

    # --- what the user of the model says, and sees ---------------------------------------------------

    @abstractmethod
    def outcome(self, unit: Unit) -> Outcome:
        """How a unit ends that is started now."""

    @abstractmethod
    def launched(self, process: Process) -> None:
        """A process has begun."""

    @abstractmethod
    def stopped(self, process: Process) -> None:
        """The runner has begun to end a process."""

    @abstractmethod
    def taken_up(self, process: Process) -> None:
        """A runner has found the process, or the exit, of an attempt that an earlier one left."""

    @abstractmethod
    def gone(self, process: Process) -> None:
        """A process is gone, by itself or killed."""

    @abstractmethod
    def printed(self, process: Process, line: bytes) -> None:
        """A process has printed a line."""

    # --- the port ------------------------------------------------------------------------------------

    @property
    def identity(self) -> str:
        return f"folder of {self.computer.name}"

    @property
    def boot_id(self) -> str:
        return f"boot {self.computer.boots}"

    @property
    def capacity(self) -> Capacity:
        computer = self.computer
        return Capacity(
            computer.cpus,
            computer.memory_bytes,
            computer.gpus,
            computer.capabilities,
            computer.gpu_memory_bytes,
        )

    async def kept(self) -> Sequence[Kept[Place, Process]]:
        """As `Host.kept`."""
        await self._within(LOOK_WITHIN_S)
        found = []
        for process in self.computer.kept:
            assert process.unit.record is not None, "only attempts are kept"
            process.host = self
            self.taken_up(process)
            place, started_at = process.place, self.runner.clock() + process.started_at - self._loop.now
            found.append(Kept(process.unit.record, place, place.built, process, started_at))
        return found

    async def clear(self) -> None:
        """As `Host.clear`."""
        await self._within(CLEAR_WITHIN_S)
        for process in [one for one in self.computer.running if one not in self.computer.kept]:
            self._end(process, signal=SIGTERM)

    async def full(self) -> None:
        """As `Host.full`. The disks of modelled computers are large."""
        await self._loop.create_future()

    async def stage(self, unit: Unit, built: Place | None) -> Place:
        """As `Host.stage`."""
        await self._within(STAGE_WITHIN_S)
        return Place(unit, built)

    async def find_build(self, unit: Unit) -> FoundBuild[Place] | None:
        """As `Host.find_build`."""
        await self._within(STAGE_WITHIN_S)
        return None if unit.recipe.always else self.computer.builds.get(unit.recipe.identity())

    async def keep_build(self, unit: Unit, place: Place) -> None:
        """As `Host.keep_build`."""
        if not unit.recipe.always and isinstance(unit.of, BatchId) and self.runner.alive:
            self.computer.builds[unit.recipe.identity()] = FoundBuild(place, unit.of)

    def start(self, unit: Unit, place: Place) -> Process:
        """As `Host.start`. The process prints a line when it begins, and one when half its time is over."""
        process = self._new_process(unit, place)
        if not self.runner.alive:
            return process
        self.computer.running.append(process)
        if unit.record is not None:
            self.computer.kept.append(process)
        self.launched(process)
        self._print(process, "begins")
        duration_s, exit_code = self.outcome(unit)
        self._when_it_ran(process, duration_s / 2, lambda: self._print(process, "goes on"))
        self._when_it_ran(process, duration_s, lambda: self._end(process, exit_code=exit_code))
        limit_s, warning = unit.recipe.timeout_s, unit.recipe.warning
        if limit_s is not None:
            takes_s = self._takes_s(unit)
            self._when_it_ran(process, limit_s, lambda: self._reach_limit(process, takes_s))
        if limit_s is not None and warning is not None:
            warn_s = max(0.0, limit_s - warning.before_s)
            self._when_it_ran(process, warn_s, lambda: self._print(process, f"got {warning.signal}"))
        if self.computer.pause is not None:
            process.freeze(self._loop.now)
        return process

    async def wait(self, running: Process) -> Exit | CannotStart:
        """As `Host.wait`."""
        return await asyncio.shield(running.ended)

    async def kill(self, running: Process, *, thaw: bool = False, soon: bool = False) -> None:
        """As `Host.kill`. The computer ends the process, even if the runner is killed meanwhile."""
        if self.runner.alive and not running.ended.done():
            running.is_ending = True
            self.stopped(running)
            takes_s = min(self._takes_s(running.unit), STOP_SOON_S if soon else math.inf)
            self._loop.after(takes_s, lambda: self._end(running, signal=SIGTERM))
        await self.wait(running)
        await self._within(0.0)

    def disown(self, place: Place) -> None:
        """As `Host.disown`."""
        if self.runner.alive:
            self.computer.kept[:] = [process for process in self.computer.kept if process.place is not place]

    async def collect(self, unit: Unit, place: Place) -> Outputs | None:
        """As `Host.collect`."""
        await self._within(COLLECT_WITHIN_S)
        name = self.computer.name
        prefix = f"{unit.of}/{unit.attempt}" if unit.attempt else f"{unit.of}//{name}"
        stored = await self.runner.cluster.store.put_result(f"{prefix}/0", name, _pieces(place))
        path = STDOUT_NAME if unit.attempt else build_output_name(unit.of.batch, name, unit.is_job)
        entry = StoredFile(path=path, size_bytes=stored.size_bytes, sha256=stored.sha256, object=0)
        manifest = Manifest(entries=(entry,), objects=(stored,))
        return Outputs(inline=manifest, objects=1, files=1, size_bytes=stored.size_bytes)

    def last_lines(self, place: Place) -> tuple[str, ...]:
        """As `Host.last_lines`."""
        return tuple(line.decode().strip() for line in place.printed[-MAX_LINES:])

    async def set_aside(self, of: AttemptId, place: Place) -> SetAside | None:
        """As `Host.set_aside`."""
        await self._within(COLLECT_WITHIN_S)
        if not place.printed:
            return None
        size_bytes = sum(map(len, place.printed))
        return SetAside(f"/superseded/{of}", size_bytes, self.runner.clock() + DEFAULT_SUPERSEDED_KEEP_S)

    async def remove(self, place: Place) -> None:
        """As `Host.remove`."""
        self.disown(place)

    async def broken(self) -> None:
        """As `Host.broken`. A modelled computer holds its processes by itself."""
        await self._loop.create_future()

    async def sample(self) -> Figures:
        """As `Host.sample`."""
        return Figures()

    async def presence(self) -> Presence:
        """As `Host.presence`."""
        used_at = self.computer.used_at
        idle_s = None if used_at is None else (self._loop.now - used_at) * self.computer.clock_rate
        return Presence(idle_s, ("model",))

    # --- the pause ---------------------------------------------------------------------------------

    @property
    def paused(self) -> Pause | None:
        """As `Host.paused`."""
        return self.computer.pause

    async def pause(self, duration_s: float, *, by: str | None, reason: str) -> None:
        """As `Host.pause`."""
        await self._within(PAUSE_WITHIN_S)
        duration_s = min(duration_s, DEFAULT_MAX_PAUSE_S)
        begin_pause(
            self._loop, self.computer, duration_s, Pause(self.runner.clock() + duration_s, by, reason)
        )

    async def resume(self) -> None:
        """As `Host.resume`."""
        await self._within(PAUSE_WITHIN_S)
        if self.computer.pause is not None:
            self.computer.change_pause(None, self._loop.now)

    async def pause_changed(self, known: Pause | None) -> None:
        """As `Host.pause_changed`."""
        while self.computer.pause == known:
            await self.computer.pause_changed.wait()
        await self._within(PAUSE_WITHIN_S)

    # --- processes -----------------------------------------------------------------------------------

    def _new_process(self, unit: Unit, place: Place) -> Process:
        number = self._loop.next_number()
        return Process(unit, self, place, self._loop.now, number, self._loop.create_future())

    def _when_it_ran(self, process: Process, for_s: float, action: Callable[[], None]) -> None:
        """Do something when a process has run for so long, without pauses, unless it has ended."""

        def look() -> None:
            left_s = for_s - process.ran_s(self._loop.now)
            if process.ended.done():
                return
            if process.frozen_at is not None:
                process.plans.append(look)
            elif left_s > EXACTLY_S:
                self._loop.after(left_s, look)
            else:
                action()

        self._loop.after(for_s, look)

    def _takes_s(self, unit: Unit) -> float:
        """How long a unit takes to end once it is asked: its grace period at most."""
        grace_s = unit.recipe.grace_s
        return self._loop.random.uniform(0, DEFAULT_GRACE_S if grace_s is None else grace_s)

    def _reach_limit(self, process: Process, takes_s: float) -> None:
        """The computer ends a process that has reached its time limit, unless that is being ended already."""
        if not process.is_ending:
            process.is_ending = True
            self._loop.after(takes_s, lambda: self._end(process, signal=SIGTERM, ended_for="timeout"))

    def _end(
        self,
        process: Process,
        *,
        exit_code: int | None = None,
        signal: int | None = None,
        ended_for: EndedFor | None = None,
    ) -> None:
        """A process ends. It is the computer's, so it ends whoever lives."""
        if process.ended.done():
            return
        self.computer.running.remove(process)
        process.host.gone(process)
        lived_s, now = self._loop.now - process.started_at, self.runner.clock()
        wall_s = process.ran_s(self._loop.now)
        ended = Exit(
            exit_code, signal, 0.0, 0, wall_s, now - lived_s, now, lived_s - wall_s, ended_for=ended_for
        )
        process.ended.set_result(ended)

    def lose(self, process: Process) -> None:
        """A process is gone with the computer's power."""
        self._end(process, signal=SIGTERM)

    def _print(self, process: Process, what: str) -> None:
        """A process prints a line, which its runner sends to whoever watches."""
        if process.ended.done():
            return
        line = f"process {process.number} {what}\n".encode()
        process.place.printed.append(line)
        self.printed(process, line)
        unit, runner = process.unit, process.host.runner
        if runner.alive:
            of = unit.output_of(self.computer.name)
            runner.run(runner.cluster.live.send(of, unit.attempt, line))

    async def _within(self, longest_s: float) -> None:
        await asyncio.sleep(self._loop.random.uniform(0, longest_s))
        if not self.runner.alive:
            raise asyncio.CancelledError  # it is dead; a task that waited for ever would be lost, not ended


async def _pieces(place: Place) -> AsyncIterator[bytes]:
    for line in place.printed:
        yield line
