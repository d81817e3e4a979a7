"""A process of the simulated world, as the world knows it: its starts and ends are noted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from distribute.core.errors import Conflict, DistributeError
from distribute.core.events import Event
from distribute.core.recorded import Guard, Recorded
from distribute.ports import Only
from distribute.runtime import Stop
from distribute.sim.process import SimulatedProcess
from distribute.sim.stored_events import StoredEvents

from .stories import require

if TYPE_CHECKING:
    from .world import World

T = TypeVar("T")

ENDS_WITHIN_S = 30.0
"""A service that is told to stop has ended after this many seconds; a node-runner, when it is told twice."""


class WorldProcess(SimulatedProcess):
    """What all processes of the world have."""

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
        """Be killed, as part of the story."""
        if self.alive:
            self.note("is killed")
            self.world.truth.happened[f"{type(self).__name__} killed"] += 1
        self.kill()

    def note(self, what: object) -> None:
        self.world.truth.note(self.name, what)

    # --- for those that are written in callbacks ---

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later, if this process still lives."""
        self.loop.after(delay_s, lambda: action() if self.alive else None)

    def every(self, period_s: float, action: Callable[[], None]) -> None:
        """Do something now and again, as long as this process lives."""

        def again() -> None:
            action()
            self.after(period_s, again)

        again()

    def soon(self, longest_s: float, action: Callable[[], None]) -> None:
        """Do something after some time."""
        self.after(self.loop.random.uniform(0, longest_s), action)

    def follow(self, after: int, only: Only, deliver: Callable[[Sequence[Recorded]], None]) -> None:
        """Have the events behind a sequence delivered."""

        async def follow() -> None:
            async for records in self.cluster.log.follow(after=after, only=only):
                deliver(records)

        self.run(follow())

    def append(self, event: Event, guard: Guard, then: Callable[[int | None], None]) -> None:
        """Append; `then` gets the sequence, or None for a conflict."""

        def answered(future: asyncio.Future[int]) -> None:
            if self.alive and not future.cancelled():
                then(None if isinstance(future.exception(), Conflict) else future.result())

        self.cluster.log.append(event, guard).add_done_callback(answered)

    def ask(self, question: Callable[[StoredEvents], T], then: Callable[[T], None]) -> None:
        """Read from the log, asking until there is an answer."""

        def answered(future: asyncio.Future[T]) -> None:
            if self.alive:
                then(future.result())

        self.link.ask(lambda: question(self.link.broker.stored)).add_done_callback(answered)


class ServiceProcess(WorldProcess):
    """A process that runs a real service. The world starts a new one when it has ended, however that was."""

    waits_for_results = False
    """Told to end once, it does so when all results are stored, however long that takes."""

    def __init__(
        self, world: World, name: str, *, clock_offset_s: float = 0.0, clock_rate: float = 1.0
    ) -> None:
        super().__init__(world, name, clock_offset_s=clock_offset_s, clock_rate=clock_rate)
        self.stop = Stop()
        self.run(self._serve())

    async def service(self) -> None:
        """What the process does until `stop` is set."""
        raise NotImplementedError

    def drain(self) -> None:
        """Tell the service to end, as by SIGTERM; the second time, at once."""
        self.note("is told to end")
        if self.stop.is_set() or not self.waits_for_results:
            self.after(ENDS_WITHIN_S, lambda: require(False, f"{self.name} was told to end, and goes on"))
        self.stop.ask()

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
