from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from distribute_services.node_runner.host.meters import Processors, memory


def test_the_memory_is_what_psutil_measures() -> None:
    found, measured = memory(), psutil.virtual_memory()
    assert found.total_bytes == measured.total
    assert found.available_bytes == pytest.approx(measured.available, abs=0.2 * measured.total)


class Stat:
    """A /proc/stat whose first line a test writes."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "stat"
        self.is_at(busy=1000, idle=9000)
        self.processors = Processors(folder)

    def is_at(self, *, busy: int, idle: int) -> None:
        # Of `busy`, one tick each was: nice, for the system, for interrupts (two kinds), and stolen. Of
        # `idle`, ten were spent waiting for disks. The guests' 500 are part of `user`.
        line = f"cpu  {busy - 5} 1 1 {idle - 10} 10 1 1 1 500 0"
        self._file.write_text(f"{line}\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 12345\n")


@pytest.mark.parametrize(
    ("busy", "idle", "percent"),
    [(1030, 9070, 30.0), (1100, 9000, 100.0), (1000, 9100, 0.0), (1000, 9000, 0.0), (1050, 8990, 100.0)],
)
def test_processors_are_busy_for_a_share_of_the_time_since_the_last_call(
    tmp_path: Path, busy: int, idle: int, percent: float
) -> None:
    stat = Stat(tmp_path)
    stat.is_at(busy=busy, idle=idle)
    assert stat.processors.percent() == percent
    assert stat.processors.percent() == 0.0
