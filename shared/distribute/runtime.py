"""Parts of every service's process: the stop signal, supervised tasks, and appending without conflicts.

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
from distribute.core.ids import ulid
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, guard_scope
from distribute.inherited import end_signals
from distribute.ports import EventLog

log = logging.getLogger(__name__)

T = TypeVar("T")


def new_id() -> str:
    """The id of an event that happens now."""
    return ulid(time.time_ns() // 1_000_000, os.urandom(10))


PARENT_GONE = signal.SIGUSR1
"""The signal that the kernel sends to a service when its supervisor dies."""


KEEP_JOBS = signal.SIGUSR2
"""Ends a node-runner, and lets its jobs run on."""


class Stop(asyncio.Event):
    """A request to shut down. `at_once` is set if the service should skip the graceful part.

    `keeps_jobs`: a node leaves its running jobs to its next start.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at_once = asyncio.Event()
        self.keeps_jobs = False

    def ask(self) -> None:
        """Request a graceful end. A second call sets `at_once`."""
        if self.is_set():
            self.at_once.set()
        self.set()

    def keep_jobs(self) -> None:
        """Request an end that leaves running jobs to the next start. A later request doesn't end them."""
        self.keeps_jobs |= not self.is_set()
        self.ask()

    def insist(self) -> None:
        self.set()
        self.at_once.set()


def stop_on_signals() -> Stop:
    """A `Stop` that SIGTERM, SIGINT and SIGHUP set, unless this process was started to ignore them.

    So does `KEEP_JOBS`, by which a node leaves its running jobs to its next start.
    If the supervisor dies, it is set at once: the broker may be gone, too, and nobody could ask a second
    time.
    """
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in end_signals():
        loop.add_signal_handler(number, stop.set if number is signal.SIGHUP else stop.ask)
    loop.add_signal_handler(KEEP_JOBS, stop.keep_jobs)
    loop.add_signal_handler(PARENT_GONE, stop.insist)
    return stop


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Await `work`, which may wait for ever. If `stop` is set first, cancel it and return None."""
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

    A service's tasks never end by themselves. If one does, cancel the others, and raise its error, or a
    RuntimeError if it had none.
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
    """The first error that a callback, or a task that is not awaited, has raised in a service."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._there = asyncio.Event()

    def report(self, error: BaseException) -> None:
        """Keep an error. Only the first counts, because the others usually follow from it."""
        if self._error is None:
            self._error = error
            self._there.set()

    async def raised(self) -> NoReturn:
        """Wait for an error, and raise it."""
        await self._there.wait()
        self.check()
        raise AssertionError("an error is there")

    def check(self) -> None:
        """Raise the error, if there is one. Call this at the end, when no task waits in `raised`."""
        if self._error is not None:
            raise self._error


@contextlib.asynccontextmanager
async def draining(pending: set[asyncio.Future[int]], patience_s: float) -> AsyncIterator[None]:
    """At the end of the context, wait for appends under way, for at most `patience_s` seconds."""
    try:
        yield
    finally:
        if pending:
            _, late = await asyncio.wait(pending, timeout=patience_s)
            if late:
                log.warning("%d events were not acknowledged within %s s", len(late), patience_s)


class Facts:
    """Appends events of one scope, one after another, each behind the scope's last event.

    For events that hold whatever else the scope contains, such as a node's events about itself. An event that
    must not follow certain others needs a guard of its own instead.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._one_at_a_time = asyncio.Lock()

    async def append(self, event: Event) -> int:
        """Append an event. Returns its sequence once it is in the log."""
        async with self._one_at_a_time:
            while True:
                last = await self._log.last(guard_scope(event))
                try:
                    return await self._log.append(event, Guard(last.seq if last is not None else 0))
                except Conflict:
                    continue  # another event came between the two; ours still holds
                except LogReplaced as error:
                    log.info("%s: appended again", error)
                    self._log.begin_anew()
