"""Terminals that a test has for itself. Those of a computer come and go, and their numbers are used again."""

from __future__ import annotations

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
        if os.geteuid() != 0:
            pytest.skip("only root can make terminals that nobody else uses")
        libc = ctypes.CDLL(None, use_errno=True)

        def hide_the_others() -> None:
            _check(libc.unshare(_CLONE_NEWNS))
            _check(libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None))
            _check(libc.mount(b"devpts", b"/dev/pts", b"devpts", ctypes.c_ulong(0), b"ptmxmode=0666"))
            test()

        in_a_fork(hide_the_others)

    return alone


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"there can be no terminals of its own: {os.strerror(code)}")


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
