"""How many cores others use, with real processes. The computer may be busy with other things meanwhile."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.owner.load import SMOOTHED_OVER_S, OthersLoad

CHILDREN = """
import os
while True:
    if (pid := os.fork()) == 0:
        for _ in range(200_000):
            pass
        os._exit(0)
    os.waitpid(pid, 0)
"""
"""Works in children that live for milliseconds."""

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def burner() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-P", "-c", CHILDREN])
    yield process.pid
    process.kill()
    process.wait()


def used_s(pid: int) -> float:
    return procfs.cpu_ticks(pid) / TICKS


def test_the_work_of_jobs_and_of_their_children_is_not_that_of_others(burner: int, tmp_path: Path) -> None:
    all_of_it = OthersLoad(lambda: (), tmp_path)
    without_it = OthersLoad(lambda: procfs.with_descendants([burner]), tmp_path)

    def read(now: float) -> tuple[float, float, float]:
        """The difference of the two, and the seconds that the burner had used just before and after.

        Both read the same copy of /proc/stat: others work here, too.
        """
        (tmp_path / "stat").write_text(Path("/proc/stat").read_text())
        before = used_s(burner)
        difference = all_of_it.read(now) - without_it.read(now)
        return difference, before, used_s(burner)

    _, before, after = read(0.0)
    while used_s(burner) - before < 1.0:
        os.sched_yield()
    difference, earlier, later = read(10.0)  # as if 10 s had passed
    worked_s = 10.0 * difference / -math.expm1(-10.0 / SMOOTHED_OVER_S)
    assert 0.8 * (earlier - after) <= worked_s <= 1.2 * (later - before)


def proc(folder: Path, *, user: int = 0, nice: int = 0, system: int = 0, idle: int = 0) -> None:
    """Write a /proc/stat, in seconds."""
    ticks = [seconds * TICKS for seconds in (user, nice, system, idle, 0, 0, 0, 0)]
    (folder / "stat").write_text("cpu  " + " ".join(map(str, ticks)) + "\ncpu0 1 2 3\n")


def test_load_is_averaged_over_a_minute_and_forgotten_likewise(tmp_path: Path) -> None:
    load = OthersLoad(lambda: (), tmp_path)
    proc(tmp_path)
    assert load.read(0.0) == 0.0
    for second in range(1, 11):
        proc(tmp_path, user=2 * second, nice=second, system=second, idle=50 * second)
        lately = load.read(float(second))
    assert 0.5 < lately < 0.7, "ten seconds of four cores"
    for second in range(11, 311):
        proc(tmp_path, user=2 * second, nice=second, system=second, idle=50 * second)
        lately = load.read(float(second))
    assert lately == pytest.approx(4.0, rel=0.01)
    for later in range(311, 611):
        lately = load.read(float(later))
    assert lately < 0.05


def test_a_job_whose_time_vanishes_with_it_adds_no_more_than_all_cores_do(tmp_path: Path) -> None:
    """Its parent did not wait for it, so the sum of what jobs used falls by all that it ever used."""
    jobs = [os.getpid()]
    load = OthersLoad(lambda: jobs, tmp_path)
    assert procfs.cpu_ticks(jobs[0]) > 0
    proc(tmp_path)
    load.read(0.0)
    jobs.clear()
    proc(tmp_path, user=1)
    assert load.read(1e6) == pytest.approx(1e-6)
