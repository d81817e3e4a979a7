"""Start a job's process, and report how it ended.

A process gets a session of its own, its folder as working directory, an empty standard input, one file for
both outputs, default signal dispositions, and none of the runner's open files. (`tree.Trees` closes those
that the runner itself inherited.)
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from distribute.core.os_words import why
from distribute.host import CannotStart, Exit
from distribute_services.node_runner.host.view import (
    NO_SUCH_PROGRAM,
    Looks,
    NotStartedError,
    NoViewError,
    View,
    spawn,
)

DEFAULT_NICENESS = 10

_NOT_IN_PATH = "{!r} can't be started: no such program in the PATH of this node"

_RESET_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


class Process:
    """A started process. It is reaped as soon as it ends."""

    __slots__ = ("_exited", "_loop", "_pidfd", "_runner_rss", "_started", "_started_at", "pid")

    def __init__(self, pid: int, runner_rss_bytes: int) -> None:
        self.pid = pid
        self._started, self._started_at = time.monotonic(), time.time()
        self._runner_rss = runner_rss_bytes
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[Exit] = self._loop.create_future()
        self._pidfd = -1
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            # A kernel before 5.3, a seccomp filter, or no free descriptor: wait in a thread.
            threading.Thread(target=self._wait_in_thread, name=f"wait for {pid}", daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._on_pidfd)

    @property
    def ended(self) -> bool:
        """True once the process is reaped. From then on, another process may have its pid."""
        return self._exited.done()

    async def wait(self) -> Exit:
        """Wait for the end of the process. Its children may live on: see `tree`."""
        return await asyncio.shield(self._exited)

    def _on_pidfd(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._exited.set_result(self._reap())

    def _wait_in_thread(self) -> None:
        ended = self._reap()
        self._loop.call_soon_threadsafe(self._exited.set_result, ended)

    def _reap(self) -> Exit:
        _, status, usage = os.wait4(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return Exit(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            cpu_s=usage.ru_utime + usage.ru_stime,
            max_rss_bytes=_rss(usage.ru_maxrss * 1024, self._runner_rss),
            wall_s=time.monotonic() - self._started,
            started_at=self._started_at,
            ended_at=time.time(),
        )


def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: Path,
    niceness: int = DEFAULT_NICENESS,
    view: View | None = None,
) -> Process | CannotStart:
    """Start `argv` in `cwd`, with exactly the environment `env`. Appends both outputs to `stdout`.

    With a `view`, it starts in the folder of the view.

    Looks up a program without a `/` in the PATH of `env`. Needs a running event loop. All other threads of
    this process must name files by absolute paths: see `_spawn`.
    """
    program: str | None = argv[0]
    if view is None and "/" not in argv[0]:
        program = shutil.which(argv[0], path=env.get("PATH", os.defpath))
    if program is None:
        return CannotStart(_NOT_IN_PATH.format(argv[0]))
    try:
        output = os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        return CannotStart(f"{argv[0]!r} can't be started: no file for its output at {stdout}: {why(error)}")
    runner_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        pid = _spawn(program, argv, cwd, env, output) if view is None else spawn(view, argv, env, output)
    except NoViewError as error:
        return CannotStart(f"{argv[0]!r} can't be started: no private copy of its build: {why(error)}")
    except NotStartedError as error:
        if error.errno == NO_SUCH_PROGRAM:
            return CannotStart(_NOT_IN_PATH.format(argv[0]))
        return CannotStart(f"{argv[0]!r} can't be started: {_why(error, program, cwd, error.looks)}")
    except OSError as error:
        looks = Looks.of(program, str(cwd))
        return CannotStart(f"{argv[0]!r} can't be started: {_why(error, program, cwd, looks)}")
    except ValueError as error:  # a NUL byte, or a `=` in a variable's name
        return CannotStart(
            f"{argv[0]!r} can't be started: its arguments or environment are not valid: {error}"
        )
    finally:
        os.close(output)
    _be_nice(pid, niceness)
    return Process(pid, runner_rss)


def _spawn(program: str, argv: Sequence[str], cwd: Path, env: Mapping[str, str], output: int) -> int:
    """Start a process in `cwd` by posix_spawn. Returns its pid.

    CPU time of the runner per start of `/bin/true`, measured on two cores: posix_spawn 57 µs,
    subprocess.Popen 110 to 130 µs (a whole job may take 1,600). Popen would also keep ignored signals
    ignored. posix_spawn can't set the working directory, so this process changes its own for a moment. That
    affects its other threads, hence the rule about absolute paths.
    """
    here = os.open(".", os.O_PATH)
    try:
        os.chdir(cwd)
        return os.posix_spawn(
            program,
            list(argv),
            env,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_RESET_SIGNALS,
        )
    finally:
        os.fchdir(here)
        os.close(here)


def _be_nice(pid: int, niceness: int) -> None:
    """Lower the priority of a new session, unless the runner's own is lower still.

    Sets it for the process group, which includes processes that it has forked meanwhile.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) < niceness:
        with contextlib.suppress(PermissionError):  # it has become another user's (setuid) already
            os.setpriority(os.PRIO_PGRP, pid, niceness)


def _why(error: OSError, program: str, cwd: Path, looks: Looks) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR if not looks.has_folder:
            return f"its folder {cwd} is gone"
        case errno.ENOENT if looks.exists:
            return (
                f"the interpreter named in the first line of {program!r}, or its loader, is not on this node"
            )
        case errno.EACCES if looks.is_folder:
            return f"{program!r} is a folder"
        case errno.EACCES:
            return f"{program!r} is not executable: mark it so (chmod +x), or name its interpreter first"
        case errno.ENOEXEC:
            return f"{program!r} is no program for this node: a script needs a first line like '#!/bin/sh'"
        case errno.E2BIG:
            return "its arguments and environment are too long for the kernel: put them in a file"
        case errno.EAGAIN:
            return "this node is at its limit of processes"
        case _:
            return f"{program!r}: {why(error)}"


def _rss(measured_bytes: int, runner_rss_bytes: int) -> int:
    """The peak memory of a process; 0 if it is unknown.

    A process inherits the peak of the runner, because exec keeps the high-water mark of the memory that it
    replaces. So a figure up to the runner's own peak tells nothing.
    """
    return measured_bytes if measured_bytes > runner_rss_bytes else 0
