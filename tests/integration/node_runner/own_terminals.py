"""Terminals that a test has for itself. Those of a computer come and go, and their numbers are used again."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import pty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from .as_user import in_a_fork

_CLONE_NEWNS = 0x00020000
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18


def with_own_terminals(test: Callable[[], None]) -> Callable[[], None]:
    """Let a test run in a fork of this process where `/dev/pts` has no terminals but its own."""

    @functools.wraps(test)
    def alone() -> None:
        if not _can_hide_others():
            pytest.skip("no test can have terminals of its own here: that needs root's right to mount")

        def run() -> None:
            _hide_others()
            test()

        in_a_fork(run)

    return alone


@functools.cache
def _can_hide_others() -> bool:
    """May a process of this user mount a `/dev/pts` of its own? A container's root may not."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            _hide_others()
            os._exit(0)
        os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def _hide_others() -> None:
    """Give this process a mount namespace with a `/dev/pts` of its own. Raises OSError if that is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNS))
    _check(libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None))
    _check(libc.mount(b"devpts", b"/dev/pts", b"devpts", ctypes.c_ulong(0), b"ptmxmode=0666"))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextmanager
def login(*command: str) -> Iterator[tuple[int, int]]:
    """A program at a new terminal, as sshd starts a shell: its pid, and the terminal's other end."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    try:
        yield pid, master
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(master)


def name_of(master: int) -> str:
    """The name of the terminal whose other end this is. A program at it may not have begun yet."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptsname.restype = ctypes.c_char_p
    path: bytes | None = libc.ptsname(master)
    assert path is not None
    return path.decode().removeprefix("/dev/")
