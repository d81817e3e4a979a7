"""Asking a person a question, so that Ctrl-C ends it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys


async def answer_to(question: str) -> str:
    """A person's answer to a question, without surrounding blanks. Empty if there is no answer.

    Waits for the line in the event loop. A thread that reads it could not be cancelled, and
    would hold the process until Enter is pressed.
    """
    print(question, end=" ", file=sys.stderr, flush=True)
    if sys.stdin is None or not _is_readable(sys.stdin.fileno()):
        return ""  # closed, as `<&-` does, or open for writing only, as `nohup` leaves it
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    try:
        loop.add_reader(sys.stdin, there.set)
    except PermissionError:
        pass  # a file, which is always there
    else:
        try:
            await there.wait()
        finally:
            loop.remove_reader(sys.stdin)
    return sys.stdin.readline().strip()


def _is_readable(fd: int) -> bool:
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_WRONLY
