"""What the node-runner holds for an attempt or a build, and how it ends and removes that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Generic

from distribute.host import Host, P, R, Unit
from distribute.lazy_submission import Submission
from distribute_services.node_runner.machine.attempts import Ending

log = logging.getLogger(__name__)

Step = Coroutine[Any, Any, None]


@dataclass(slots=True, eq=False)
class Held(Generic[P, R]):
    """What is held for an attempt or a build: its task, its place, its process."""

    task: asyncio.Task[None] | None = None
    unit: Unit | None = None
    submission: Submission | None = None
    """For a build: the submission of its batch, once it is read."""
    place: P | None = None
    running: R | None = None
    started_at: float | None = None
    ended_for: str | None = None
    """Why this runner ends the process. The first reason counts."""
    is_wanted: bool = True
    thaws: bool = False


class Ender(Generic[P, R]):
    """Ends processes and removes places. What fails there is logged, and stops nothing else."""

    def __init__(self, host: Host[P, R]) -> None:
        self.is_hurried = False
        """Wait for no long grace periods."""
        self._host = host

    def with_last_lines(self, ending: Ending, held: Held[P, R]) -> Ending:
        """The same ending; if it is a failure, with the last lines that were printed."""
        if ending.succeeded or held.place is None:
            return ending
        return replace(ending, last_lines=self._host.last_lines(held.place))

    def end_step(
        self, held: Held[P, R], whose: object, reason: str, tell_no_process: Callable[[], None]
    ) -> Step:
        """End the process for this reason. Its step goes on, and tells how it ended.

        A step that is still making the place is cancelled; then `tell_no_process` is called instead.
        """
        held.ended_for = held.ended_for or reason
        step = held.task

        async def end() -> None:
            if held.running is not None:
                await self.kill(held, whose)
            elif held.place is None and step is not None and step.cancel():
                await asyncio.wait({step})
                if step.cancelled():
                    tell_no_process()

        return end()

    async def end(self, held: Held[P, R], whose: object) -> None:
        """End the process, and wait for its task to end. Without a process, cancel the task."""
        held.is_wanted = False
        if held.running is not None:
            await self.kill(held, whose)
        elif held.task is not None:
            held.task.cancel()
        if held.task is not None:
            await asyncio.wait({held.task})

    async def kill(self, held: Held[P, R], whose: object) -> None:
        """End the remaining processes. Call this after a failed step, too."""
        try:
            if held.running is not None:
                await self._host.kill(held.running, thaw=held.thaws, soon=self.is_hurried)
        except Exception:
            log.exception("%s: its processes could not be ended", whose)

    async def remove(self, held: Held[P, R], whose: object) -> None:
        """Remove the place."""
        try:
            if held.place is not None:
                await self._host.remove(held.place)
        except Exception:
            log.exception("%s: its folder could not be removed", whose)
