"""What the scheduler's log costs: the start and the end of 100,000 jobs, two lines each.

The floor writes the same number of such lines to a file, one by one.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from distribute.core.log.recorded import Recorded
from distribute.core.state.state import State
from distribute.testing import builders as make
from distribute_services import logs
from distribute_services.scheduler.story import Story

from .figure import Figure, Floor

JOBS = 100_000
LINE = b"2030-01-31 18:40:10+0000 INFO lab/sweep/job1 succeeded on ws1 after 1m\n"


class Costs(NamedTuple):
    """Processor seconds of all lines, and of the floor; bytes that are kept of them."""

    lines_s: float
    floor_s: float
    kept_bytes: int


def run() -> Iterator[Figure]:
    """Measure in a process of its own: a log takes its standard streams."""
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, spawning) as pool:
        costs = pool.submit(_measure, Path(folder)).result()
    each_us, floor_us = (1e6 * seconds / (2 * JOBS) for seconds in (costs.lines_s, costs.floor_s))
    yield Figure("processor time a line", each_us, "µs", None, Floor("writing a line", floor_us))
    yield Figure(
        f"kept of {JOBS:,} jobs", costs.kept_bytes / 1e6, "MB", (logs.KEPT_FILES + 1) * logs.MAX_BYTES / 1e6
    )


def _measure(folder: Path) -> Costs:
    began = time.process_time()
    with (folder / "floor").open("wb", buffering=0) as file:
        for _ in range(2 * JOBS):
            file.write(LINE)
    floor_s = time.process_time() - began
    log = folder / "scheduler.log"
    logs.begin(log, debug=False)
    story = Story(State())
    events = [Recorded(1, 0.0, make.started("job1")), Recorded(2, 60.0, make.finished("job1"))]
    began = time.process_time()
    for _ in range(JOBS):
        story.tell(events)
    lines_s = time.process_time() - began
    return Costs(lines_s, floor_s, sum(file.stat().st_size for file in folder.glob("scheduler.log*")))
