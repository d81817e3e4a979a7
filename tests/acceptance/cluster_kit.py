"""A cluster of `up` for tests that use it from Python, in this process or in others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acceptance.person import Person


@contextmanager
def person_with_cluster(home: Path, *options: str) -> Iterator[Person]:
    """A person who runs a cluster of `up`. It is ended in good order, if it still runs."""
    home.mkdir(exist_ok=True)
    with Person(home) as person:
        person.runs("up", "--dir", str(home / "cluster"), "--detach", *options)
        yield person
        person.runs("down", "--dir", str(home / "cluster"))


@contextmanager
def as_person(person: Person, folder: Path) -> Iterator[None]:
    """In the block, this process is a program that the person runs in the folder."""
    with pytest.MonkeyPatch.context() as patched:
        for name in os.environ:
            if name.startswith("DISTRIBUTE_"):
                patched.delenv(name)
        for name, value in person.environment.items():
            patched.setenv(name, value)
        patched.chdir(folder)
        yield
