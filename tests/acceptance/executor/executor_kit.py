"""A cluster on this computer whose nodes have the Python of the tests, for executors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from acceptance.person import Person
from distribute.config.settings.cluster_record import running_clusters

PYTHON = f"python3.{sys.version_info.minor}"


def base_python() -> Path:
    """The Python that the tests' environment was made with: jobs never get the environment's own."""
    return Path(os.path.realpath(sys.executable))


@contextmanager
def cluster_of(home: Path, *options: str, python: str = PYTHON) -> Iterator[tuple[Person, str]]:
    """A person with a running cluster, and its address. Its nodes have the tests' Python, or `python`."""
    programs = home / "programs"
    programs.mkdir(parents=True)
    if python == PYTHON:
        (programs / python).symlink_to(base_python())
    else:
        (programs / python).write_text(f"#!/bin/sh\necho P{python[1:6]} {python[6:]}.1\n")
        (programs / python).chmod(0o755)
    with Person(home) as jane:
        jane.sets(PATH=f"{programs}:/usr/bin:/bin" if python == PYTHON else str(programs))
        jane.runs("up", "--detach", *options)
        yield jane, running_clusters(jane.environment)[0].server
        jane.runs("down")


def batches(jane: Person) -> list[str]:
    """The batches that the cluster lists, whatever their state."""
    return [batch["batch"] for batch in jane.asks("status")["batches"]]
