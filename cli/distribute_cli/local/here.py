"""Starts the program that runs a batch on this computer, and hands on what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Iterator

from distribute.core.errors import DistributeError, InputError, Refused
from distribute.core.ways import Way
from distribute.here import Asked, Failed, News, decode_news
from distribute.inherited import end_signals
from distribute.runtime import PARENT_GONE
from distribute.standard_streams import drop_output
from distribute.system import end_with_parent
from distribute_cli.local.services import python_program
from distribute_cli.local.supervisor import how_ended

_MODULE = "distribute_services.here"
_MOST_BYTES = 1 << 30
"""Max. bytes of one piece of news: the last one names all jobs."""


async def run_here(
    asked: Asked, show: Callable[[News], None], on_interrupt: Callable[[], None]
) -> signal.Signals | None:
    """Run a batch on this computer, and show what happens.

    Args:
        asked: the batch.
        show: is given all news but failures.
        on_interrupt: is called at the first signal that tells this program to end. The jobs are ended then,
            and their results come; at the second one, what still runs is ended at once.

    Returns:
        The first such signal; None: there was none.

    Raises:
        InputError, Refused: the batch can't run here.
        DistributeError: running it failed.
    """
    reading, writing = os.pipe()
    try:
        debug = ["--debug"] if logging.getLogger().isEnabledFor(logging.DEBUG) else []
        process = await asyncio.create_subprocess_exec(
            *python_program(_MODULE, "--news", str(writing), *debug),
            stdin=PIPE,
            stdout=DEVNULL,
            pass_fds=(writing,),
            start_new_session=True,  # Ctrl-C is for this program, which passes it on
            preexec_fn=end_with_parent(PARENT_GONE),
        )
    finally:
        os.close(writing)
    ending = _Ending(process, on_interrupt)
    news = await _opened(reading)
    try:
        with ending.on_signals():
            await _hand_over(process, asked)
            failed = await _pass_on(news, show)
            await process.wait()
    except BaseException:
        ending.ask()
        while await news.read(1 << 16):  # it ends when it has told all
            pass
        await process.wait()
        raise
    if failed is not None:
        raise _error(failed)
    if process.returncode and ending.signal is None:
        how = how_ended(process.returncode)
        raise DistributeError(
            f"the program that runs the jobs ended by itself ({how}); what still ran is ended within "
            "seconds, and the results that came are in their folder"
        )
    return ending.signal


class _Ending:
    """Passes the signals on that tell this program to end."""

    def __init__(self, process: asyncio.subprocess.Process, on_interrupt: Callable[[], None]) -> None:
        self.signal: signal.Signals | None = None
        self._process = process
        self._on_interrupt = on_interrupt
        self._asked = False

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Pass them on while the context lasts."""
        loop, numbers = asyncio.get_running_loop(), end_signals()
        for number in numbers:
            loop.add_signal_handler(number, self._heard, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def ask(self) -> None:
        """Ask the program to end. The second time means at once: by another signal, for two of a kind may
        become one before it looks."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(PARENT_GONE if self._asked else signal.SIGTERM)
        self._asked = True

    def _heard(self, number: signal.Signals) -> None:
        if number is signal.SIGHUP:
            if self.signal is not None:  # a terminal that closes sends it twice
                return
            drop_output()
        first = self.signal is None
        self.signal = self.signal or number
        self.ask()
        if first:
            self._on_interrupt()


async def _opened(reading: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_MOST_BYTES)
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(reading, "rb", buffering=0)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def _hand_over(process: asyncio.subprocess.Process, asked: Asked) -> None:
    assert process.stdin is not None, "it has a pipe"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended, and its end is told
        process.stdin.write(asked.encode())
        await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()


async def _pass_on(news: asyncio.StreamReader, show: Callable[[News], None]) -> Failed | None:
    """Show all news. Returns why it failed, if it has."""
    async for line in news:
        told = decode_news(line)
        if isinstance(told, Failed):
            return told
        show(told)
    return None


def _error(failed: Failed) -> DistributeError:
    return _without_ways(failed).with_ways(*map(Way, failed.ways))


def _without_ways(failed: Failed) -> DistributeError:
    match failed.code:
        case 2:
            return InputError(*failed.message.split("\n"))
        case 4:
            return Refused(failed.message)
        case _:
            return DistributeError(failed.message)
