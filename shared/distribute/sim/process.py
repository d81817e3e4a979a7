"""A simulated process: a connection, a clock of its own, tasks, and an end at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from distribute.sim.cluster import Hub, SimulatedCluster
from distribute.sim.log import SimulatedLog
from distribute.sim.loop_tasks import OWNER, Tasks
from distribute.sim.network import EPOCH_S, Link, Weather


class SimulatedProcess:
    """What all processes have.

    A killed process does nothing any more that anybody could notice. What it has sent may arrive.
    """

    def __init__(
        self,
        hub: Hub,
        name: str,
        weather: Callable[[], Weather],
        *,
        log: Callable[[Link], SimulatedLog] = SimulatedLog,
        clock_offset_s: float = 0.0,
        clock_rate: float = 1.0,
    ) -> None:
        self.name = name
        self.loop = hub.broker.loop
        self.link = Link(hub.broker, weather)
        self.link.context.run(OWNER.set, self)
        self.cluster = SimulatedCluster(hub, self.link, self.new_id, log)
        self._clock_offset_s = clock_offset_s
        self._clock_rate = clock_rate
        self._tasks = Tasks()

    @property
    def alive(self) -> bool:
        return not self.link.closed

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work`, and all tasks that it begins, as this process."""
        return self.link.context.copy().run(self.loop.create_task, work)

    def kill(self) -> None:
        """End at once, as by `kill -9`.

        Python can't drop a task without running its cleanup. So the process loses its connection first:
        whatever the cleanup says, nobody hears it.
        """
        if self.alive:
            self.link.close()
        for task in self._tasks.running():
            task.cancel()

    def clock(self) -> float:
        """What this process takes for the time, in seconds since 1970."""
        return EPOCH_S + self.loop.now * self._clock_rate + self._clock_offset_s

    def new_id(self) -> str:
        """An id that no other process of this simulation makes, and that is the same in every run."""
        return f"{round(self.clock() * 1000):011X}-{self.loop.next_number():X}"

    def owns(self, task: asyncio.Task[Any]) -> None:
        """As `loop_tasks.Owner.owns`."""
        self._tasks.add(task)
