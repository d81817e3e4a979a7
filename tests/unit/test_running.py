"""Coroutines are run for code that is not asynchronous, also inside a running event loop."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading

import pytest

from distribute.user.running import run

NAME = contextvars.ContextVar("NAME", default="nobody")


async def _answer() -> tuple[str, int]:
    await asyncio.sleep(0)
    return NAME.get(), threading.get_ident()


async def _fails() -> None:
    await asyncio.sleep(0)
    raise ValueError("wrong")


def test_it_runs_in_this_thread_if_no_loop_does() -> None:
    assert run(_answer()) == ("nobody", threading.get_ident())


async def test_it_runs_beside_a_running_loop_with_its_context() -> None:
    NAME.set("jane")
    name, thread = run(_answer())
    assert name == "jane"
    assert thread != threading.get_ident()


async def test_what_it_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="wrong"):
        run(_fails())


async def test_an_interrupt_cancels_the_work() -> None:
    """As in a notebook, whose kernel lets the signal raise KeyboardInterrupt in the main thread."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    cancelled = threading.Event()

    async def waits() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    try:
        with pytest.raises(KeyboardInterrupt):
            run(waits())
    finally:
        signal.signal(signal.SIGINT, before)
    assert cancelled.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "distribute"]
