"""What every service's process is made of: a stop signal, named tasks that are watched, facts in order.

Knows the ports, never NATS.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, NoReturn, TypeVar

from distribute.core.errors import Conflict, LogReplaced
from distribute.core.events import Event
from distribute.core.ids import ulid
from distribute.core.recorded import Guard, guard_scope
from distribute.ports import EventLog

log = logging.getLogger(__name__)

T = TypeVar("T")


def new_id() -> str:
    """The id of an event that happens now."""
    return ulid(time.time_ns() // 1_000_000, os.urandom(10))


PARENT_GONE = signal.SIGUSR1
"""What a supervisor has the kernel send its services when it dies itself."""


class Stop(asyncio.Event):
    """The wish that a service ends in good order. `at_once`: and that it waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.at_once = asyncio.Event()

    def ask(self) -> None:
        """The first time it is a wish; said again, it is meant."""
        if self.is_set():
            self.at_once.set()
        self.set()

    def insist(self) -> None:
        self.set()
        self.at_once.set()


def stop_on_signals() -> Stop:
    """A wish to end that SIGTERM and SIGINT say. Where the supervisor is gone, so may the broker be, and
    nobody is there to say it again: then it is meant at once."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.ask)
    loop.add_signal_handler(PARENT_GONE, stop.insist)
    return stop


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives; None where `stop` is set first, which cancels it. For what may wait for ever."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def supervise(stop: asyncio.Event, tasks: dict[str, Coroutine[Any, Any, None]]) -> None:
    """Run named tasks until `stop` is set, then cancel them.

    A service's tasks never end by themselves: one that does takes the others down with it, and its
    error, or the fact that it ended, is raised.
    """
    running = {asyncio.create_task(task, name=name) for name, task in tasks.items()}
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        done, _ = await asyncio.wait({*running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()
            raise RuntimeError(f"the task {task.get_name()!r} ended by itself")
    finally:
        for task in (*running, stopping):
            task.cancel()
        await asyncio.gather(*running, stopping, return_exceptions=True)


class Failure:
    """The first error of a service's side work: what a callback or a task that nobody awaits has raised."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._there = asyncio.Event()

    def report(self, error: BaseException) -> None:
        """Remember an error. Only the first counts: the others follow from it as a rule."""
        if self._error is None:
            self._error = error
            self._there.set()

    async def raised(self) -> NoReturn:
        """Wait for an error, and raise it."""
        await self._there.wait()
        self.check()
        raise AssertionError("an error is there")

    def check(self) -> None:
        """Raise the error, if there is one. For the end, when nothing waits in `raised` any more."""
        if self._error is not None:
            raise self._error


@contextlib.asynccontextmanager
async def draining(pending: set[asyncio.Future[int]], patience_s: float) -> AsyncIterator[None]:
    """On the way out, wait for appends that are under way, but not for ever."""
    try:
        yield
    finally:
        if pending:
            _, late = await asyncio.wait(pending, timeout=patience_s)
            if late:
                log.warning("%d events were not acknowledged within %s s", len(late), patience_s)


class Facts:
    """Appends one scope's facts, one after another, each behind whatever is the scope's last event.

    For facts that are true whatever else was said of the scope, as a node's about itself. What must
    not happen after something else is appended with its own guard instead.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._one_at_a_time = asyncio.Lock()

    async def append(self, event: Event) -> int:
        """The event's sequence, once it is in the log."""
        async with self._one_at_a_time:
            while True:
                last = await self._log.last(guard_scope(event))
                try:
                    return await self._log.append(event, Guard(last.seq if last is not None else 0))
                except Conflict:
                    continue  # somebody spoke between the two; the fact stands all the same
                except LogReplaced as error:
                    log.info("%s: said again", error)
                    self._log.begin_anew()
