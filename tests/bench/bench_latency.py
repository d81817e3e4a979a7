"""Milliseconds from the submission of one job, in Python, to an idle cluster, until its process runs.

The process runs when it has opened a pipe. The floor is the same process, started directly.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from .figure import Figure, Floor
from .running_lab import event_of, running_lab, submit
from .timing import median_and_p99

TIMES = 50
WARM_UP_TIMES = 5
TARGET_MS = 5.0


def run() -> list[Figure]:
    """Submit one job after another to an idle cluster."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder) / "pipe"
        os.mkfifo(pipe)
        command = ("/bin/sh", "-c", f": >{pipe}")
        alone = [await _spawn(pipe, command) for _ in range(TIMES)]
        async with running_lab(cpus=4) as (_, cluster):
            samples = []
            for number in range(TIMES + WARM_UP_TIMES):
                async with _opened(pipe) as opened:
                    since = time.perf_counter()
                    submitted = await submit(cluster, f"one-{number}", [command])
                    samples.append(1e3 * (await opened - since))
                await event_of(cluster, "batch_archived", after=submitted)
    floor = Floor("posix_spawn of the same", median_and_p99(alone)[0])
    median, p99 = median_and_p99(samples[WARM_UP_TIMES:])
    return [
        Figure("submitted to running, median", median, "ms", TARGET_MS, floor),
        Figure("submitted to running, 99 of 100", p99, "ms", None, floor),
    ]


async def _spawn(pipe: Path, command: tuple[str, ...]) -> float:
    """Milliseconds from starting a command directly until its process runs."""
    async with _opened(pipe) as opened:
        since = time.perf_counter()
        pid = os.posix_spawn(command[0], command, os.environ)  # noqa: ASYNC221 (that is measured)
        milliseconds = 1e3 * (await opened - since)
        os.waitpid(pid, 0)  # noqa: ASYNC222
    return milliseconds


@asynccontextmanager
async def _opened(pipe: Path) -> AsyncIterator[asyncio.Future[float]]:
    """Yields a future: the time, by the performance counter, when a process opened the pipe to write."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[float] = loop.create_future()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def opened() -> None:
        loop.remove_reader(reader)
        future.set_result(time.perf_counter())

    loop.add_reader(reader, opened)
    try:
        yield future
    finally:
        loop.remove_reader(reader)
        os.close(reader)
