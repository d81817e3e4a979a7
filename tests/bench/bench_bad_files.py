"""How long a wrong file of jobs takes to be refused, for each kind of fault that `bad_files` can make.

A file of a megabyte may take a second, and one of two megabytes twice as long: nothing is searched for in a
list whose length the file decides. The ratio is that of the two sizes.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.bad_files import MAKERS

from distribute.config.loading import load
from distribute.core.errors import InputError

from .figure import Figure
from .timing import Stopwatch

SIZE = 1_000_000
TARGET_S = 1.0
TARGET_RATIO = 3.0
"""Twice as much, and room for noise. What is quadratic takes four times as long."""

SHORTEST_S = 0.05
"""Below this, a ratio says nothing."""

JOBS = 100_000


def run() -> Iterator[Figure]:
    """Load each bad file, in both sizes; and a good file, for the ratio of two trees."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "distribute-jobs.yaml")
        for fault, make in MAKERS.items():
            one, two = (_seconds(path, make(size)) for size in (SIZE, 2 * SIZE))
            yield Figure(fault, one, "s", TARGET_S)
            yield Figure(f"{fault}, of 2 MB", two / max(one, SHORTEST_S), "x", TARGET_RATIO)
        yield Figure(f"a good file of {JOBS:,} jobs", _seconds(path, _good()), "s")


def _seconds(path: Path, content: bytes) -> float:
    path.write_bytes(content)
    took = Stopwatch()
    gc.collect()  # errors hold their tracebacks in circles, which would be collected in the next file's time
    with took, suppress(InputError):
        load(path)
    return took.seconds


def _good() -> bytes:
    """A file of the usual kind: its jobs differ by an argument and a seed."""
    jobs = "".join(
        f'    - name: job{number}\n      command: ["./solver", "--re", "{number}"]\n      timeout: 2h\n'
        f'      env: {{SEED: "{number}"}}\n      resources: {{cpus: 2, memory: 4G}}\n'
        for number in range(JOBS)
    )
    return f"meta: {{namespace: n, batch_name: b}}\ncommand:\n  jobs:\n{jobs}".encode()
