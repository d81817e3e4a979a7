"""Keeps processes running: one that ends is started again, with a growing delay, and logged."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from distribute.core.errors import DistributeError
from distribute.runtime import PARENT_GONE

log = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 30.0

STABLE_AFTER_S = 10.0
"""What ran for this long came up well: its next start is not delayed."""

GIVE_UP_STARTING_AFTER = 3

PATIENCE_S = 20.0
"""How long a process may take to end in good order before it is killed."""

TOLD_AFTER_S = 5.0
"""So long one that is waited for is waited for in silence."""

_PR_SET_PDEATHSIG = 1
_LAST_WORDS_BYTES = 2000

Run = Callable[[], Awaitable[str]]
"""Starts a process and says, when it has ended, how. Cancelled, it ends the process."""


class StartFailed(DistributeError):
    """A process does not come up."""


class Supervisor:
    """Some processes, each kept running under its name until it is stopped."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets a `StartFailed` when a process ends at once, several times. It is tried on even so."""
        # Once the start is over nobody waits for it, and the log has told already.
        self.failed.add_done_callback(asyncio.Future.exception)

    def keep(self, name: str, run: Run) -> None:
        """Run a process from now on."""
        self._tasks[name] = asyncio.create_task(self._keep_running(name, run), name=name)

    async def stop(self, *names: str) -> None:
        """End those of these processes that were started, all at once, and wait until they have ended."""
        tasks = [self._tasks.pop(name) for name in names if name in self._tasks]
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def _keep_running(self, name: str, run: Run) -> None:
        delay_s = FIRST_DELAY_S
        quick_ends = 0
        while True:
            began = time.monotonic()
            try:
                how = await run()
            except (DistributeError, OSError) as error:
                how = str(error)
            if time.monotonic() - began > STABLE_AFTER_S:
                delay_s, quick_ends = FIRST_DELAY_S, 0
            quick_ends += 1
            if quick_ends >= GIVE_UP_STARTING_AFTER and not self.failed.done():
                self.failed.set_exception(StartFailed(f"the {name} does not stay up: {how}"))
            log.warning("the %s ended and is started again in %.1f s: %s", name, delay_s, how)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)


async def run_process(argv: Sequence[str], log_path: Path, at_once: asyncio.Event | None = None) -> str:
    """Run a program to its end, its output added to a log. Returns how it ended, and its last words.

    Cancelled, it ends the program. With `at_once`, that may take as long as it takes, until this is set.
    """
    with log_path.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the supervisor, which ends the others in order
            preexec_fn=_end_with_parent,
        )
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            await _end(process, log_path, at_once)
    how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    return f"{how}; {log_path} ends with: {last_line(log_path)}"


async def gone(pid: int) -> None:
    """Wait until a process, be it a child or not, has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _end(process: asyncio.subprocess.Process, log_path: Path, at_once: asyncio.Event | None) -> None:
    process.terminate()
    if at_once is not None and not await _ended(process, log_path, at_once):
        process.terminate()  # said again, it is meant
    try:
        # Not `asyncio.timeout`: in a task that is being cancelled, as this one, it raises no
        # TimeoutError before Python 3.11.3.
        await asyncio.wait_for(process.wait(), PATIENCE_S)
    except TimeoutError:
        log.warning("process %d did not end within %g s and is killed", process.pid, PATIENCE_S)
        process.kill()
        await process.wait()


async def _ended(process: asyncio.subprocess.Process, log_path: Path, at_once: asyncio.Event) -> bool:
    """Wait until a process has ended, and say what it waits for; False where nobody is to wait any more."""
    ended = asyncio.ensure_future(process.wait())
    hurried = asyncio.ensure_future(at_once.wait())
    try:
        for timeout_s in (TOLD_AFTER_S, None):
            done, _ = await asyncio.wait(
                {ended, hurried}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                break
            log.warning(
                "process %d has not ended yet, and is waited for: %s ends with: %s; Ctrl-C or"
                " `distribute down`, once more, ends it at once", process.pid, log_path, last_line(log_path),
            )  # fmt: skip
        return ended in done
    finally:
        hurried.cancel()
        ended.cancel()


def last_line(path: Path) -> str:
    """The last line of a log."""
    lines = path.read_bytes()[-_LAST_WORDS_BYTES:].decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing"


_prctl = ctypes.CDLL(None).prctl
_PARENT_GONE = int(PARENT_GONE)


def _end_with_parent() -> None:
    """Have the kernel end this process when the supervisor is gone, even by SIGKILL."""
    _prctl(_PR_SET_PDEATHSIG, _PARENT_GONE)
