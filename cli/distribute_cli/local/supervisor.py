"""Keeps processes running: one that ends is logged, and restarted with a growing delay."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from distribute.core.errors import DistributeError
from distribute.core.os_words import signal_name, why
from distribute.runtime import KEEP_JOBS, PARENT_GONE, Stop
from distribute.system import end_with_parent

log = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 30.0

STABLE_AFTER_S = 10.0
"""A process that ran for this long started well: its next start is not delayed."""

GIVE_UP_STARTING_AFTER = 3

PATIENCE_S = 20.0
"""How long a process may take to end by itself before it is killed."""

TOLD_AFTER_S = 5.0
"""Seconds to wait before logging that we are waiting."""

_LAST_WORDS_BYTES = 2000

Run = Callable[[], Awaitable[str]]
"""Runs a process, and returns how it ended. Cancelling it ends the process."""


class StartFailed(DistributeError):
    """A process does not start, or ends again at once."""


class Supervisor:
    """Keeps processes running, each under a name, until they are stopped."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets a `StartFailed` when a process has ended at once several times. It is still restarted."""
        # After the start nobody awaits it; the log has the error.
        self.failed.add_done_callback(asyncio.Future.exception)

    def keep(self, name: str, run: Run) -> None:
        """Keep a process running from now on."""
        self._tasks[name] = asyncio.create_task(self._keep_running(name, run), name=name)

    async def stop(self, *names: str) -> None:
        """End these processes, all at once, and wait until they have ended. Unknown names are fine."""
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
            except DistributeError as error:
                how = str(error)
            except OSError as error:
                how = f"{error.filename or name} can't be used: {why(error)}"
            if _is_cancelled():
                log.warning("the %s did not end as it should: %s", name, how)
                return
            if time.monotonic() - began > STABLE_AFTER_S:
                delay_s, quick_ends = FIRST_DELAY_S, 0
            quick_ends += 1
            if quick_ends >= GIVE_UP_STARTING_AFTER and not self.failed.done():
                self.failed.set_exception(StartFailed(f"the {name} does not stay up: {how}"))
            log.warning("the %s ended and is restarted in %.1f s: %s", name, delay_s, how)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)


def _is_cancelled() -> bool:
    """Has this task been cancelled? An error while it ends its process takes the cancellation's place."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def run_process(argv: Sequence[str], log_path: Path, stop: Stop | None = None) -> str:
    """Run a program to its end, and append its output to a log. Returns how it ended, and its last line.

    Cancelling it ends the program. With `stop`, it is a node, which may take any time to end until that is to
    be at once, and leaves its jobs to its next start if `stop` says so.
    """
    with log_path.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the supervisor, which ends the others in order
            preexec_fn=end_with_parent(PARENT_GONE),
        )
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            await _end(process, log_path, stop)
    return f"{how_ended(code)}; {log_path} ends with: {last_line(log_path)}"


def how_ended(code: int) -> str:
    """How a process ended, by its return code: `exit code 3`, `SIGKILL`."""
    return f"exit code {code}" if code >= 0 else signal_name(-code)


async def _end(process: asyncio.subprocess.Process, log_path: Path, stop: Stop | None) -> None:
    process.send_signal(KEEP_JOBS if stop is not None and stop.keeps_jobs else signal.SIGTERM)
    if stop is not None and not await _ended(process, log_path, stop.at_once):
        process.terminate()  # the second signal means: at once
    try:
        # Not `asyncio.timeout`: before Python 3.11.3 it raises no TimeoutError in a task that is being
        # cancelled, as this one is.
        await asyncio.wait_for(process.wait(), PATIENCE_S)
    except TimeoutError:
        log.warning("process %d did not end within %g s and is killed", process.pid, PATIENCE_S)
        process.kill()
        await process.wait()


async def _ended(process: asyncio.subprocess.Process, log_path: Path, at_once: asyncio.Event) -> bool:
    """Wait until a process has ended, and log what it waits for. False: `at_once` was set first."""
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
                "waiting for process %d to end: %s ends with: %s; a second Ctrl-C or `distribute down`"
                " ends it at once", process.pid, log_path, last_line(log_path),
            )  # fmt: skip
        return ended in done
    finally:
        hurried.cancel()
        ended.cancel()


def last_line(path: Path) -> str:
    """The last line of a log, or why it can't be read."""
    try:
        text = path.read_bytes()[-_LAST_WORDS_BYTES:].decode(errors="replace")
    except OSError as error:
        return f"nothing that can be read: {why(error)}"
    lines = text.strip().splitlines()
    return lines[-1] if lines else "nothing"
