"""Processes of the simulated world. They note their starts and ends in the world's story."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from distribute.core.errors import DistributeError
from distribute.core.state.state import State
from distribute.runtime import Stop
from distribute.sim.process import SimulatedProcess

from .stories import require

if TYPE_CHECKING:
    from .world import World

ENDS_WITHIN_S = 30.0
"""Max. seconds until a service ends that is told to stop; for a node-runner, after it is told twice."""


class WorldProcess(SimulatedProcess):
    """The common part of all processes of the world."""

    def __init__(
        self, world: World, name: str, *, clock_offset_s: float = 0.0, clock_rate: float = 1.0
    ) -> None:
        super().__init__(
            world.hub,
            name,
            lambda: world.weather,
            log=world.parts.log,
            clock_offset_s=clock_offset_s,
            clock_rate=clock_rate,
        )
        self.world = world
        self.note("starts")

    def crash(self) -> None:
        """Kill the process, and note that in the story."""
        if self.alive:
            self.note("is killed")
            self.world.truth.happened[f"{type(self).__name__} killed"] += 1
        self.kill()

    def note(self, what: object) -> None:
        self.world.truth.note(self.name, what)

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later, if this process still lives."""
        self.loop.after(delay_s, lambda: action() if self.alive else None)

    def soon(self, longest_s: float, action: Callable[[], None]) -> None:
        """Do something after some time."""
        self.after(self.loop.random.uniform(0, longest_s), action)


class ServiceProcess(WorldProcess, ABC):
    """A process that runs a real service. However it ends, the world starts a new one."""

    waits_for_results = False
    """True: a process that is told to end once may store all results first, however long that takes."""

    def __init__(
        self, world: World, name: str, *, clock_offset_s: float = 0.0, clock_rate: float = 1.0
    ) -> None:
        super().__init__(world, name, clock_offset_s=clock_offset_s, clock_rate=clock_rate)
        self.stop = Stop()
        self.run(self._serve())

    @abstractmethod
    async def service(self) -> None:
        """Run the service until `stop` is set."""

    @property
    def state(self) -> State | None:
        """What the service has folded of the log. None: it folds nothing, or has not begun."""
        return None

    def drain(self) -> None:
        """Tell the service to end, as by SIGTERM; the second time, at once."""
        self.note("is told to end")
        if self.stop.is_set() or not self.waits_for_results:
            self.after(ENDS_WITHIN_S, lambda: require(False, f"{self.name} was told to end, and goes on"))
        self.stop.ask()

    def leave_jobs(self) -> None:
        """Tell a node-runner to end, and to leave its jobs to the next."""
        self.note("is told to end, and to keep its jobs")
        self.after(ENDS_WITHIN_S, lambda: require(False, f"{self.name} was told to end, and goes on"))
        self.world.truth.happened["a runner leaves its jobs to the next"] += 1
        self.stop.keep_jobs()

    async def _serve(self) -> None:
        try:
            await self.service()
            require(self.stop.is_set() or not self.alive, f"{self.name} ended by itself")
            self.note("has ended")
            self.world.truth.happened[f"{type(self).__name__} drained"] += 1
        except DistributeError as error:
            self.note(f"ends: {type(error).__name__}: {error}")
            self.world.truth.happened[f"{type(self).__name__} failed"] += 1
        except Exception as error:  # noqa: BLE001  # the world ends with it
            if self.alive:
                self.world.fail(error)
        if self.alive:
            self.link.close()
            self.world.ended(self)
