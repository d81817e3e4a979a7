"""What the first calls of a function show about it: is it a quick one?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distribute.executor.calls import Call

LONG_AFTER_S = 30.0
"""If nothing came of a job that started so long ago, its function is taken for a long one.

The first calls keep all that the cluster lends busy meanwhile, so nothing is lost by waiting. On a busy
computer, to start Python and to import what a function uses takes some seconds."""
GATHER_S = 0.05
"""So long after the first outcome of an unknown function we wait for others."""


class Probe:
    """What is learned of an unknown function from its first calls."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._known: asyncio.Future[None] = self._loop.create_future()
        self._decides: asyncio.TimerHandle | None = None
        self._seconds: float | None = None

    def started(self) -> None:
        """A job has run for 100 ms."""
        self._decide_in(LONG_AFTER_S)

    def took(self, seconds: float) -> None:
        """A call took so long."""
        self._seconds = max(seconds, self._seconds or 0.0)
        self._decide_in(GATHER_S)

    async def wait(self) -> float | None:
        """Wait until enough is known. Returns the seconds of a call; None: many, or nothing came of it."""
        await self._known
        return self._seconds

    def give_up(self) -> None:
        """Nothing more can be learned."""
        if not self._known.done():
            self._known.set_result(None)

    def _decide_in(self, seconds: float) -> None:
        if self._decides is None:
            self._decides = self._loop.call_later(seconds, self.give_up)


@dataclass(frozen=True, slots=True)
class Ears:
    """Hears of the calls of a batch, and tells its probe and the executor. See `batch_run.Hears`."""

    probe: Probe | None
    learn: Callable[[Sequence[Call], float], None]
    again: Callable[[Sequence[Call]], None]

    def started(self) -> None:
        """A job has run for 100 ms."""
        if self.probe is not None:
            self.probe.started()

    def took(self, calls: Sequence[Call], seconds: Sequence[float]) -> None:
        """A job did these calls. The first of several took longer, for it imported what the function uses."""
        if not seconds:
            return
        typical = fmean(seconds[1:] or seconds)
        self.learn(calls, typical)
        if self.probe is not None:
            self.probe.took(typical)

    def not_begun(self, calls: Sequence[Call]) -> None:
        """A job ended without having begun these calls."""
        self.again(calls)
