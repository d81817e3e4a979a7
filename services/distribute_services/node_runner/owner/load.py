"""Measure how many cores the processes of others use, those that are not of this node's jobs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from distribute_services.node_runner.keeper import procfs

SMOOTHED_OVER_S = 60.0
"""Shorter bursts of work hardly count."""


class OthersLoad:
    """A moving average of the cores that others use."""

    def __init__(self, own_pids: Callable[[], Iterable[int]], proc: Path = Path("/proc")) -> None:
        """`own_pids` gives the processes of this node and its jobs, with the parents that waited for them."""
        self._own_pids = own_pids
        self._stat = proc / "stat"
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self._before: tuple[float, float, float] | None = None
        self._average = 0.0

    def read(self, now: float) -> float:
        """The cores that others have used lately. `now` is by a monotonic clock."""
        ours_s = sum(map(procfs.cpu_ticks, self._own_pids())) / self._ticks_per_s
        all_s = _busy_ticks(self._stat.read_text()) / self._ticks_per_s
        if self._before is not None and now > self._before[0]:
            passed_s = now - self._before[0]
            others_s = all_s - self._before[1] - (ours_s - self._before[2])
            # If a job ends and nobody waits for it, ours become less by all that it has ever used.
            cores = min(max(0.0, others_s / passed_s), (all_s - self._before[1]) / passed_s)
            self._average += (cores - self._average) * -math.expm1(-passed_s / SMOOTHED_OVER_S)
        self._before = now, all_s, ours_s
        return self._average


def _busy_ticks(stat: str) -> int:
    """Clock ticks of all cores in which they worked, from the first line of /proc/stat."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, stat.splitlines()[0].split()[1:])
    return user + nice + system + irq + softirq
