"""Asking a person something, in a way that Ctrl-C ends."""

from __future__ import annotations

import asyncio
import sys


async def answer_to(question: str) -> str:
    """What a person answers to a question, without the blanks around it. Empty: nothing, or nobody is there.

    Waits for the line rather than for a thread that reads it: such a thread could not be called back, and
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
