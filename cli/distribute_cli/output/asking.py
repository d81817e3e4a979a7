"""Asking a person a question, so that Ctrl-C ends it."""

from __future__ import annotations

import asyncio
import sys


async def answer_to(question: str) -> str:
    """A person's answer to a question, without surrounding blanks. Empty if there is no answer.

    Waits for the line in the event loop. A thread that reads it could not be cancelled, and
    would hold the process until Enter is pressed.
    """
    print(question, end=" ", file=sys.stderr, flush=True)
    if sys.stdin is None:  # closed, as `<&-` does
        return ""
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
