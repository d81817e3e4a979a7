from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.person import PATIENCE_S, Person
from slurm_kit import Slurm, need_slurm, running_slurm


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """One SLURM for all tests of a process. Starting it takes some seconds."""
    with running_slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture
def jane(tmp_path: Path) -> Iterator[Person]:
    """A person with a cluster of one node."""
    need_slurm()
    (tmp_path / "home").mkdir()
    with Person(tmp_path / "home") as person:
        person.runs("up", "--nodes", "1", "--detach")
        yield person
        person.starts("down").communicate(timeout=PATIENCE_S)
