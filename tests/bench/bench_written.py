"""What 100,000 jobs take that are written out: to load their file, or to describe them in Python.

Each job has a command, then also resources, then an input of 1 KB of its own. Times are processor time, with
the start of Python.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .child import measured
from .figure import Figure

JOBS = 100_000
TARGET_S = 10.0
TARGET_MB = 300.0

_LOAD = f"""\
import sys
from pathlib import Path
from distribute.config.loading import load
assert len(load(Path(sys.argv[1])).spec.work.jobs) == {JOBS}
"""
_DESCRIBE = f"""\
from distribute import Batch
batch = Batch("b", namespace="bench")
for number in range({JOBS}):
    batch.job(f"re{{number}}", ["./solver", str(number)]FILES)
assert len(batch.loaded().spec.work.jobs) == {JOBS}
"""
_FILES = ', files={"case.in": f"{number:<1000}"}'


def run() -> Iterator[Figure]:
    """Load three files, then describe the jobs of two batches."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shapes: dict[str, dict[str, object]] = {
            "a command each": {},
            "resources each": {"resources": {"cpus": 2, "memory": "4G"}},
            "an input of 1 KB each": {"required_files": []},
        }
        for shape, keys in shapes.items():
            file = _written(folder, keys)
            yield from _figures(f"load {JOBS:,} jobs, {shape}", [_LOAD, str(file)], folder)
        for shape, files in (("a command each", ""), ("an input of 1 KB each", _FILES)):
            program = _DESCRIBE.replace("FILES", files)
            yield from _figures(f"describe {JOBS:,} jobs in Python, {shape}", [program], folder)


def _figures(what: str, program: list[str], folder: Path) -> Iterator[Figure]:
    seconds, peak_bytes = measured([sys.executable, "-P", "-c", *program], folder)
    yield Figure(what, seconds, "s", TARGET_S)
    yield Figure("the same, peak memory", peak_bytes / 1e6, "MB", TARGET_MB)


def _written(folder: Path, keys: dict[str, object]) -> Path:
    """The file of a batch whose jobs have these keys; with `required_files`, each has a file of its own."""
    file = folder / "jobs.yaml"
    with file.open("w") as writing:
        writing.write("meta: {namespace: bench, batch_name: b}\ncommand:\n  jobs:\n")
        for number in range(JOBS):
            job = {"name": f"re{number}", "command": ["./solver", f"{number}"], **keys}
            if "required_files" in keys:
                path = folder / f"{number // 1000:03}" / f"{number}.in"
                path.parent.mkdir(exist_ok=True)
                path.write_text(f"{number:<1000}")
                job["required_files"] = [str(path.relative_to(folder))]
            writing.write(f"  - {json.dumps(job)}\n")
    return file
