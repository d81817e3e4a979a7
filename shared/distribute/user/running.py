"""Runs coroutines for code that is not asynchronous, also where a loop runs already, as in a notebook."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

BEGINS_WITHIN_S = 10.0
"""A thread that was started and interrupted at once begins within this time, unless it never does."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do the work, and return its result. Ctrl-C, or a notebook's interrupt, cancels it."""
    return _run_beside(work) if _has_loop() else asyncio.run(work)


def _has_loop() -> bool:
    """Does an event loop run in this thread?"""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_beside(work: Coroutine[Any, Any, T]) -> T:
    """Do the work in a thread with an event loop of its own: that of this thread waits meanwhile."""
    done: Future[T] = Future()
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()

    async def main() -> T:
        task = asyncio.create_task(work)
        begun.set_result((asyncio.get_running_loop(), task))
        return await task

    def in_thread() -> None:
        try:
            done.set_result(asyncio.run(main()))
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            done.set_exception(error)

    thread = threading.Thread(target=copy_context().run, args=(in_thread,), name="distribute", daemon=True)
    try:
        thread.start()  # may be interrupted, too, while it waits for the thread to begin
        return done.result()
    except KeyboardInterrupt:
        if thread in threading.enumerate():
            loop, task = begun.result(BEGINS_WITHIN_S)
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        if thread.is_alive():
            thread.join()
