"""A modelled computer and its processes: what outlives the node-runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distribute.host import CannotStart, Exit, FoundBuild, Pause, Unit

if TYPE_CHECKING:
    from distribute.sim.host import ModelledHost, Place
    from distribute.sim.loop import VirtualLoop


@dataclass(slots=True, eq=False)
class ModelledComputer:
    """What a node-runner runs on. It outlives the runner, and so does what runs on it."""

    name: str
    cpus: int
    memory_bytes: int
    gpus: tuple[str, ...]
    capabilities: frozenset[str]
    clock_offset_s: float = 0.0
    clock_rate: float = 1.0
    gpu_memory_bytes: tuple[int, ...] = ()
    boots: int = 1
    """How often it was started."""
    builds: dict[str, FoundBuild[Place]] = field(default_factory=dict)
    """The builds that it has kept, by what decides how they turn out."""
    running: list[Process] = field(default_factory=list)
    """The processes that run on it."""
    kept: list[Process] = field(default_factory=list)
    """Those of jobs whose places are there, running or ended. A runner that starts takes them up."""
    used_at: float | None = None
    """When its owner last used it, by the loop's clock. None: nobody has."""
    pause: Pause | None = None
    pauses: int = 0
    """How often it was paused or resumed."""
    pause_changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when `pause` changes; then another one takes its place."""

    def reboot(self) -> None:
        """Lose all processes, and what is known of them. Kill the runner before that."""
        for process in list(self.running):
            process.host.lose(process)
        self.kept.clear()
        self.boots += 1

    def change_pause(self, pause: Pause | None, now: float) -> None:
        """Pause or resume. `now` is by the loop's clock."""
        was_paused = self.pause is not None
        self.pause = pause
        self.pauses += 1
        for process in list(self.running):
            if pause is not None and not was_paused:
                process.freeze(now)
            elif pause is None and was_paused:
                process.go_on(now)
        changed, self.pause_changed = self.pause_changed, asyncio.Event()
        changed.set()


@dataclass(slots=True, eq=False)
class Process:
    """The process of a job or a build on a computer. `ended` gets how it ended.

    `host` is that of the runner that started it, or of the last that took it up.
    """

    unit: Unit
    host: ModelledHost
    place: Place
    started_at: float
    number: int
    """No other process has it."""
    ended: asyncio.Future[Exit | CannotStart] = field(repr=False)
    is_ending: bool = False
    """Is it told to end? Then its time limit does not count any more."""
    paused_s: float = 0.0
    frozen_at: float | None = None
    plans: list[Callable[[], None]] = field(default_factory=list, repr=False)
    """What was due while it was frozen."""

    def ran_s(self, now: float) -> float:
        """For how long it has run, without pauses."""
        return (now if self.frozen_at is None else self.frozen_at) - self.started_at - self.paused_s

    def freeze(self, now: float) -> None:
        """It is paused."""
        self.frozen_at = now

    def go_on(self, now: float) -> None:
        """Its pause is over."""
        assert self.frozen_at is not None, "only a frozen process goes on"
        self.paused_s += now - self.frozen_at
        self.frozen_at = None
        plans, self.plans = self.plans, []
        for plan in plans:
            plan()

    @property
    def computer(self) -> ModelledComputer:
        return self.host.computer


def begin_pause(loop: VirtualLoop, computer: ModelledComputer, duration_s: float, pause: Pause) -> None:
    """Pause a computer for so long, whatever becomes of who asked for it."""
    computer.change_pause(pause, loop.now)
    number = computer.pauses

    def end() -> None:
        if computer.pauses == number:
            computer.change_pause(None, loop.now)

    loop.after(duration_s / computer.clock_rate, end)
