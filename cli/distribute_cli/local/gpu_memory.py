"""How much of the GPUs' memory processes of this computer hold."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterable

ASK_EVERY_S = 10.0
"""A call of `nvidia-smi` takes 20 ms to 1 s of a core."""
ANSWER_S = 5.0
_COMMAND = ("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")


class GpuMemory:
    """Asks the driver now and then."""

    def __init__(self) -> None:
        self._by_pid: dict[int, int] | None = None
        self._asked_at: float | None = None

    async def held_by(self, pids: Iterable[int]) -> int | None:
        """The bytes of GPU memory that these processes hold. None: no driver of GPUs says anything."""
        now = time.monotonic()
        if self._asked_at is None or now - self._asked_at >= ASK_EVERY_S:
            self._asked_at = now
            self._by_pid = await _ask()
        if self._by_pid is None:
            return None
        return sum(self._by_pid.get(pid, 0) for pid in set(pids))


async def _ask() -> dict[int, int] | None:
    if shutil.which(_COMMAND[0]) is None:
        return None
    process = await asyncio.create_subprocess_exec(*_COMMAND, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), ANSWER_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            process.kill()
        return None
    return parsed(out.decode(errors="replace")) if process.returncode == 0 else None


def parsed(text: str) -> dict[int, int]:
    """Bytes by process, of lines such as `1234, 512` (in MiB). The driver writes `[N/A]` where it hides."""
    found: dict[int, int] = {}
    for line in text.splitlines():
        pid, _, used = line.partition(",")
        if pid.strip().isdecimal() and used.strip().isdecimal():
            found[int(pid)] = found.get(int(pid), 0) + (int(used) << 20)
    return found
