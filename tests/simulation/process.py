"""A process of the simulated world: it has a connection and clocks, and can be killed at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from distribute.core.events import Recorded
from distribute.ports import Only
from distribute.testing.simulated import EPOCH_S, Link
from distribute.testing.simulated_log import Follower

if TYPE_CHECKING:
    from .world import World


class SimulatedProcess:
    """What all processes have. What a killed one had planned does not happen; what it has sent may arrive."""

    def __init__(
        self, world: World, name: str, *, clock_offset_s: float = 0.0, clock_rate: float = 1.0
    ) -> None:
        self.world = world
        self.name = name
        self.link = Link(world.broker, lambda: world.weather)
        self.log = world.parts.log(self.link)
        self._clock_offset_s = clock_offset_s
        self._clock_rate = clock_rate
        self.note("starts")

    @property
    def alive(self) -> bool:
        return not self.link.closed

    def kill(self) -> None:
        self.note("is killed")
        self.world.truth.happened[f"{type(self).__name__} killed"] += 1
        self.link.close()

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later, if this process still lives."""
        self.world.timeline.after(delay_s, lambda: action() if self.alive else None)

    def every(self, period_s: float, action: Callable[[], None]) -> None:
        """Do something now and again, as long as this process lives."""

        def again() -> None:
            action()
            self.after(period_s, again)

        again()

    def follow(self, after: int, only: Only, deliver: Callable[[Sequence[Recorded]], None]) -> None:
        """Have the events behind a sequence delivered."""
        Follower(self.link, after, only, deliver)

    def soon(self, longest_s: float, action: Callable[[], None]) -> None:
        """Do something after some time."""
        self.after(self.world.timeline.random.uniform(0, longest_s), action)

    def wall(self) -> float:
        """What this process takes for the time, in seconds since 1970."""
        return EPOCH_S + self.world.timeline.now * self._clock_rate + self._clock_offset_s

    def note(self, what: object) -> None:
        self.world.truth.note(self.name, what)
