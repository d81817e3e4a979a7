"""How much of this computer is in use: of its processors, and of its memory.

It reads /proc itself, because psutil takes 1 MB, and a node-runner must stay small on somebody's workstation.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Memory(NamedTuple):
    """The memory of the computer. `available_bytes` can be had without swapping."""

    total_bytes: int
    available_bytes: int


def memory(proc: Path = _PROC) -> Memory:
    """The computer's memory now."""
    kibibytes = {
        name: int(words.split()[0])
        for name, _, words in (line.partition(":") for line in (proc / "meminfo").read_text().splitlines())
    }
    return Memory(kibibytes["MemTotal"] << 10, kibibytes["MemAvailable"] << 10)


class Processors:
    """Measures how busy all processors are together, with this process's and everybody else's work."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._stat = proc / "stat"
        self._busy, self._all = self._ticks()

    def percent(self) -> float:
        """The share of the time since the last call, or since the start, in which they worked."""
        before_busy, before_all = self._busy, self._all
        self._busy, self._all = self._ticks()
        # Clocks of the kernel may run back a little: that of waiting for disks does.
        passed = max(1, self._all - before_all)
        return 100.0 * min(max(0, self._busy - before_busy), passed) / passed

    def _ticks(self) -> tuple[int, int]:
        """Ticks since the boot in which they worked, and all ticks."""
        with self._stat.open() as file:
            # Behind these: the time of guests, which `user` has, too.
            user, nice, system, idle, io_wait, irq, soft_irq, stolen = map(int, file.readline().split()[1:9])
        busy = user + nice + system + irq + soft_irq + stolen
        return busy, busy + idle + io_wait
