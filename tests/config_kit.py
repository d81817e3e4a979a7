"""Helpers for the tests of the configuration."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from distribute.config.loading import LoadedBatch, load
from distribute.core.errors import InputError
from distribute.core.spec.specs import InputFile
from distribute.inputs.sources import as_source, read_source

META = "meta: {namespace: n, batch_name: b}\n"
MODE = 0o640
MTIME_NS = 978_307_200_123_456_789


def problems_of(text: str) -> list[str]:
    """The problems of a file with this text, without the file's name."""
    Path("jobs.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load(Path("jobs.yaml"))
    assert all("\n" not in problem for problem in caught.value.problems)
    return [problem.removeprefix("jobs.yaml:") for problem in caught.value.problems]


def job(keys: str) -> str:
    return f"{META}command:\n  jobs:\n    - {{name: ab, command: [x], {keys}}}\n"


def age(path: Path) -> None:
    """Give a file the mode and the time that `entry` has."""
    path.chmod(MODE)
    os.utime(path, ns=(MTIME_NS, MTIME_NS))


def put(folder: Path, **files: str | bytes) -> list[Path]:
    """Write files. In their names, `__` stands for a slash, and `_DOT_` for a dot."""
    paths = [folder / name.replace("__", "/").replace("_DOT_", ".") for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return paths


def write(folder: Path, text: str, **files: bytes) -> Path:
    """Write a jobs file, and others as `put` does."""
    for path in put(folder, **files):
        age(path)
    path = folder / "distribute-jobs.yaml"
    path.write_text(text)
    return path


def entry(alias: str, content: bytes) -> InputFile:
    """A file that was written here, as a batch has it."""
    return InputFile(
        alias=alias,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        mode=MODE,
        mtime_ns=MTIME_NS,
    )


def content_of(batch: LoadedBatch, file: InputFile) -> str:
    """What is sent of an input file, as a text."""
    content = read_source(as_source(batch.sources[file.stored.sha256]), file.stored.sha256)
    start = file.offset or 0
    return content[start : start + file.size_bytes].decode()
