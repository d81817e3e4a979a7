"""A person who runs batches without a cluster, and what their runs leave behind."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from acceptance.person import Person, until
from distribute.client.pull.note import NOTE_NAME

LOOP = "while :; do sleep 0.1; done"
"""The end of a job that runs until it is ended."""


@contextlib.contextmanager
def person_who_runs(home: Path) -> Iterator[Person]:
    """A person with a folder of their own for temporary files. No process of a run outlives this."""
    (home / "tmp").mkdir()
    try:
        with Person(home) as person:
            person.sets(TMPDIR=str(home / "tmp"))
            yield person
    finally:
        for process in processes_of(home):
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end with another one
                process.kill()


def processes_of(home: Path) -> list[psutil.Process]:
    """Keepers and jobs: what works in this person's folder for temporary files, or was started for it."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.cwd()]
        except psutil.Error:
            continue
        if any(str(home / "tmp") in word for word in words):
            found.append(process)
    return found


def left_of_runs(jane: Person) -> list[str]:
    """The folders that runs have left."""
    return [path.name for path in (jane.home / "tmp").iterdir()]


def is_gone(jane: Person) -> bool:
    """Has a run ended with all that it started, and is its folder gone?"""
    return not processes_of(jane.home) and not left_of_runs(jane)


def tree(folder: Path) -> dict[str, Any]:
    """Modes and contents of all that is in a folder, but the note of it; times of files."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_dir():
            found[name] = "folder"
        elif os.fsencode(path.name) != NOTE_NAME:
            found[name] = stat.S_IMODE(status.st_mode), path.read_bytes()
    return found


def with_one_node(found: dict[str, Any]) -> dict[str, Any]:
    """The same, with the name of the only node left out of that of its build's output."""
    return {name.partition("_build_output-")[0]: content for name, content in found.items()}


def results(jane: Person) -> Path:
    """Where the results of the batch `b` are."""
    return jane.home / "distribute-run" / "b"


def begun(jane: Person, *files: str) -> subprocess.Popen[str]:
    """Start a run, and wait until its jobs have made these files in the home folder."""
    process = jane.starts("run", "b.yaml")
    until(lambda: all((jane.home / name).exists() for name in files), process)
    return process


def pid_in(path: Path) -> psutil.Process:
    until(lambda: path.exists() and path.read_text().endswith("\n"))
    return psutil.Process(int(path.read_text()))
