"""How long `add` takes for 100,000 jobs that a sweep makes, and how much memory; what loading takes of it.

The cluster has no node, so that nothing competes with `add`. Then the same sweep with an input of 1 KB for
each job, which is made of a template. `DISTRIBUTE_BENCH_SWEEP_JOBS` is the number of jobs, in hundreds.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.acceptance.processes import Processes

from distribute.config.loading import load

from .child import measured
from .figure import Figure
from .timing import Stopwatch

JOBS = int(os.environ.get("DISTRIBUTE_BENCH_SWEEP_JOBS", "1000")) * 100
TARGET_S = 5.0
RENDERED_TARGET_S = 20.0
TARGET_MB = 300.0

SWEEP = f"""\
meta: {{namespace: bench, batch_name: sweep, resources: {{cpus: 1}}}}
sweep:
  grid: {{re: {{from: 1, to: {JOBS // 100}}}, n: {{from: 1, to: 100}}}}
  name: "re{{re}}-n{{n}}"
command:
  job: {{command: "./solver --re {{re}} --n {{n}}"}}
"""
INPUT = "re = {{ re }}\nn = {{ n }}\n" + 31 * "# what a solver reads for this case\n"
"""A template of a file of about 1 KB."""


def run() -> list[Figure]:
    """Load the sweep and add it to a real cluster, then with input files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "case.in.j2").write_text(INPUT)
        sweep, rendered = folder / "sweep.yaml", folder / "rendered.yaml"
        sweep.write_text(SWEEP)
        with_input = SWEEP.replace('n {n}"}', 'n {n}", required_files: [{template: case.in.j2}]}')
        rendered.write_text(with_input.replace("batch_name: sweep", "batch_name: rendered"))
        # First these: the system counts the memory of a program's parent until the program begins.
        added = [asyncio.run(_added(folder, file)) for file in (sweep, rendered)]
        loading = [_loading(file) for file in (sweep, rendered)]
    figures: list[Figure] = []
    for what, target_s, (seconds, megabytes), loading_s in zip(
        ("of a sweep", "with rendered inputs of 1 KB each"),
        (TARGET_S, RENDERED_TARGET_S),
        added,
        loading,
        strict=True,
    ):
        figures += [
            Figure(f"add {JOBS:,} jobs {what}", seconds, "s", target_s),
            Figure("memory of add", megabytes, "MB", TARGET_MB),
            Figure("of it, loading", loading_s, "s"),
        ]
    return figures


def _loading(file: Path) -> float:
    took = Stopwatch()
    with took:
        loaded = load(file)
    assert len(loaded.spec.work.jobs) == JOBS
    return took.seconds


async def _added(folder: Path, file: Path) -> tuple[float, float]:
    """How long `add` takes, and its memory in MB."""
    async with Processes(folder / f"lab-{file.stem}", {}, lost_s=60.0) as processes:
        command = [sys.executable, "-P", "-m", "distribute_cli", "add", str(file), "--anyway", "--quiet"]
        environment = {**os.environ, "DISTRIBUTE_SERVER": processes.broker.address.urls[0]}
        since = time.perf_counter()
        _, peak_bytes = await asyncio.to_thread(measured, command, folder, environment)
        return time.perf_counter() - since, peak_bytes / 1e6
