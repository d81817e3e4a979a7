"""A modelled computer: `Host`, with jobs whose fate the scenario knows.

Jobs are the computer's, not the runner's: they outlive a runner that is killed, until the next one clears up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distribute.core.ids import JobId
from distribute.core.manifest import STDOUT_NAME, Manifest, Outputs, StoredFile, build_output_name
from distribute_services.node_runner.host.port import CannotStart, Capacity, Exit, Figures, Unit

from .truth import Process

if TYPE_CHECKING:
    from .node import RunnerProcess

STAGE_WITHIN_S = 0.3
COLLECT_WITHIN_S = 1.0
STOP_WITHIN_S = 3.0
BUILD_WITHIN_S = 10.0
CLEAR_WITHIN_S = 2.0
CANNOT_START = 0.01
"""The probability that a process can't be started."""
FAILS_AT_ONCE_S = 0.2
DIES_AFTER_S = 1.0
SIGTERM = 15


@dataclass(frozen=True, slots=True)
class Place:
    """A unit's folder."""

    unit: Unit
    printed: list[bytes] = field(default_factory=list)
    """The lines that its process has printed."""


class SimulatedHost:
    """`Host` for one runner. Whatever a killed runner still wants, the host does not do."""

    def __init__(self, runner: RunnerProcess) -> None:
        self._runner = runner
        self._world = runner.world
        self._computer = runner.computer
        self._loop = runner.loop

    @property
    def identity(self) -> str:
        return f"folder of {self._computer.name}"

    @property
    def boot_id(self) -> str:
        return f"boot {self._computer.boots}"

    @property
    def capacity(self) -> Capacity:
        computer = self._computer
        return Capacity(computer.cpus, computer.memory_bytes, computer.gpus, computer.capabilities)

    async def clear(self) -> None:
        """As `Host.clear`."""
        await self._within(CLEAR_WITHIN_S)
        for process in list(self._world.truth.processes.get(self._computer.name, ())):
            self.end(process, Exit(None, SIGTERM, 0.0, 0, self._loop.now - process.started_at))

    async def full(self) -> None:
        """As `Host.full`. The disks of this world are large."""
        await self._loop.create_future()

    async def stage(self, unit: Unit, built: Place | None) -> Place:
        """As `Host.stage`."""
        await self._within(STAGE_WITHIN_S)
        return Place(unit)

    def start(self, unit: Unit, place: Place) -> Process | CannotStart:
        """As `Host.start`."""
        if self._loop.chance(CANNOT_START):
            return CannotStart("it can't be started")
        process = Process(
            unit, self._computer, self._loop.now, self._loop.create_future(), self._loop.next_number()
        )
        if not self._runner.alive:
            return process
        self._world.truth.launched(process)
        self._print(process, place, "begins")
        duration_s, exit_code = self._fate(unit)
        ended = Exit(exit_code, None, 0.0, 0, duration_s)
        self._loop.after(duration_s / 2, lambda: self._print(process, place, "goes on"))
        self._loop.after(duration_s, lambda: self.end(process, ended))
        if isinstance(unit.of, JobId) and self._world.fate(unit.of).deadly:
            self._loop.after(DIES_AFTER_S, lambda: self._die(process))
        return process

    async def wait(self, running: Process) -> Exit:
        """As `Host.wait`."""
        return await asyncio.shield(running.ended)

    async def kill(self, running: Process) -> None:
        """As `Host.kill`."""
        if self._runner.alive and not self._runner.stop.is_set():
            self._world.truth.stopped(running)
        await self._within(STOP_WITHIN_S)
        self.end(running, Exit(None, SIGTERM, 0.0, 0, self._loop.now - running.started_at))

    async def collect(self, unit: Unit, place: Place) -> Outputs | None:
        """As `Host.collect`."""
        await self._within(COLLECT_WITHIN_S)
        name = self._computer.name
        prefix = f"{unit.of}/{unit.attempt}" if unit.attempt else f"{unit.of}//{name}"
        stored = await self._runner.cluster.store.put_result(f"{prefix}/0", name, _pieces(place))
        path = STDOUT_NAME if unit.attempt else build_output_name(unit.of.batch, name)
        entry = StoredFile(path=path, size_bytes=stored.size_bytes, sha256=stored.sha256, object=0)
        manifest = Manifest(entries=(entry,), objects=(stored,))
        return Outputs(inline=manifest, objects=1, files=1, size_bytes=stored.size_bytes)

    async def remove(self, place: Place) -> None:
        """As `Host.remove`."""

    async def sweep(self) -> None:
        """As `Host.sweep`. Nothing ever escapes, so this need not be asked again."""
        await self._loop.create_future()

    async def sample(self) -> Figures:
        """As `Host.sample`."""
        return Figures()

    def end(self, process: Process, ended: Exit) -> None:
        """A process ends: by itself, or killed. It is the computer's, so it ends whoever lives."""
        if not process.ended.done():
            self._world.truth.ended(process)
            process.ended.set_result(ended)

    def _print(self, process: Process, place: Place, what: str) -> None:
        """A process prints a line, which its runner sends to whoever watches."""
        if process.ended.done():
            return
        line = f"process {process.number} {what}\n".encode()
        place.printed.append(line)
        unit = process.unit
        if isinstance(unit.of, JobId):
            self._world.truth.printed.setdefault((unit.of, unit.attempt), []).append(line)
            if self._runner.alive:
                self._runner.run(self._runner.cluster.live.send(unit.of, unit.attempt, line))

    async def _within(self, longest_s: float) -> None:
        await asyncio.sleep(self._loop.random.uniform(0, longest_s))
        if not self._runner.alive:
            await self._loop.create_future()  # for ever: it is dead

    def _die(self, process: Process) -> None:
        if not process.ended.done():
            self._world.crash_runner(self._runner)

    def _fate(self, unit: Unit) -> tuple[float, int]:
        """How long a unit takes, and its exit code."""
        if not isinstance(unit.of, JobId):
            fails = (unit.of, self._computer.name) in self._world.scenario.failing_builds
            return self._loop.random.uniform(0, BUILD_WITHIN_S), int(fails)
        if self._computer.broken:
            return FAILS_AT_ONCE_S, 127
        fate = self._world.fate(unit.of)
        return fate.duration_s + (DIES_AFTER_S * 2 if fate.deadly else 0.0), int(
            unit.attempt <= fate.failures
        )


async def _pieces(place: Place) -> AsyncIterator[bytes]:
    for line in place.printed:
        yield line
