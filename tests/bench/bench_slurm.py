"""What 100,000 jobs cost as a folder for SLURM: to write, to schedule, and to read once they have run.

SLURM itself is not measured: `sbatch` here does nothing. Times are processor time, with the start of Python.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .child import measured
from .figure import Figure

JOBS = 100_000
WHERE = (
    "--cluster-username=jane", "--cluster-address=hpc", "--cluster-upload-destination=sweep",
)  # fmt: skip
_END = {
    "v": 1,
    "exit_code": 0,
    "started_at": "2030-01-01T07:00:00Z",
    "finished_at": "2030-01-01T07:01:00Z",
    "node": "nid001",
}


def run() -> Iterator[Figure]:
    """Write the folder in both shapes, schedule its arrays, and say what would be collected."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        jobs = [{"name": f"re{number}", "command": ["./solver", f"{number}"]} for number in range(JOBS)]
        batch = {"meta": {"namespace": "n", "batch_name": "b", "timeout": "2h"}, "command": {"jobs": jobs}}
        (home / "b.yaml").write_text(json.dumps(batch))
        for shape, options in (("single", ()), ("array", ("--array",))):
            seconds, peak_bytes = _verb(home, "slurm", shape, "b.yaml", *WHERE, *options)
            yield Figure(f"write {JOBS:,} jobs, {shape}", seconds, "s", 60.0)
            yield Figure(f"the same, peak memory, {shape}", peak_bytes / 1e6, "MB", 1000.0)
            files = sum(len(names) for _, _, names in os.walk(home / shape))
            yield Figure(f"files for each job, {shape}", files / JOBS, "", 2.1 if shape == "single" else 1.1)
        yield from _scheduled(home)
        _ran(home / "array")
        seconds, peak_bytes = _verb(home, "slurm", "--collect", "array", "--dry")
        yield Figure(f"read the ends of {JOBS:,} jobs", seconds, "s", 60.0)
        yield Figure("the same, peak memory", peak_bytes / 1e6, "MB", 1000.0)


def _scheduled(home: Path) -> Iterator[Figure]:
    """Schedule the arrays, and do it once more."""
    programs = home / "bin"
    programs.mkdir()
    (programs / "sbatch").write_text("#!/bin/sh\necho 7\n")
    (programs / "sbatch").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    for what in ("schedule all arrays", "schedule them once more"):
        command = ["sh", str(home / "array" / "schedule_jobs.sh")]
        seconds, _ = measured(command, home, environment)
        yield Figure(what, seconds, "s", 60.0)


def _ran(folder: Path) -> None:
    """All jobs have run, and SLURM has accounted for them."""
    lines = ["JobID|State|ExitCode|Start|End|Elapsed|TotalCPU|MaxRSS|NodeList"]
    end = json.dumps(_END)
    for number in range(JOBS):
        (folder / "state" / f"{number}.json").write_text(end)
        left = folder / "results" / "b" / f"re{number}"
        left.mkdir(parents=True)
        (left / "stdout.txt").touch()
        id_ = (folder / "state" / f"{number}.id").read_text().strip()
        at = "COMPLETED|0:0|2030-01-01T07:00:00|2030-01-01T07:01:00|00:01:00|00:59.069"
        lines += [f"{id_}|{at}||nid001", f"{id_}.batch|{at}|1234K|nid001", f"{id_}.extern|{at}|12K|nid001"]
    (folder / "accounting.txt").write_text("\n".join([*lines, ""]))


def _verb(home: Path, *arguments: str) -> tuple[float, int]:
    """Run a verb. Returns its processor time in seconds, and the most memory that it had, in bytes."""
    return measured([sys.executable, "-P", "-m", "distribute_cli", *arguments], home, os.environ)
