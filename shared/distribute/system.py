"""Calls to the operating system: writing files atomically, and waiting for other processes."""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

_POLL_S = 0.05
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader never sees a part of it. Makes missing parent folders.

    Raises:
        OSError: it can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not made of the file's own name, which may be as long as names can be.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def exit_of(pid: int) -> asyncio.Future[None]:
    """A future that is done when a process has ended, whether it is our child or not.

    It is done at once if there is no such process. Cancel it to stop waiting.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        future.set_result(None)
        return future
    except OSError:  # a kernel before 5.3, a seccomp filter, or no descriptor left
        return asyncio.ensure_future(_poll_exit(pid))

    def ended() -> None:
        if not future.done():
            future.set_result(None)

    def clean_up(_: object) -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)

    loop.add_reader(descriptor, ended)
    future.add_done_callback(clean_up)
    return future


async def _poll_exit(pid: int) -> None:
    identity = process_identity(pid)
    while identity is not None and process_identity(pid) == identity:  # noqa: ASYNC110 - nothing to wait on
        await asyncio.sleep(_POLL_S)


def process_identity(pid: int) -> str | None:
    """Identifies a process, also against a later one with the same pid.

    None: there is no such process, or it has ended and only waits for its parent.
    """
    try:
        # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: the name may hold blanks and brackets.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    started_ticks = fields[18]
    return None if state in {"Z", "X"} else f"{boot}/{pid}/{started_ticks}"


def end_with_parent(number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel send a signal to the child when its parent ends, even by SIGKILL.

    "Parent" is the thread that starts the child.
    """
    # Everything is looked up before the fork, because the child may only make the call.
    value = int(number)

    def ask_the_kernel() -> None:
        _prctl(_PR_SET_PDEATHSIG, value)

    return ask_the_kernel


def become_subreaper() -> None:
    """Have orphans among this process's descendants become its children, so that it can wait for them.

    Raises:
        OSError: the kernel refuses.
    """
    if _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"this process could not be made a subreaper: {os.strerror(code)}")
