"""Persons that several files of tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.person import Person
from acceptance.run_kit import person_who_runs


@pytest.fixture
def jane(tmp_path: Path) -> Iterator[Person]:
    """A person who runs batches without a cluster. Files of tests that need another one have their own."""
    with person_who_runs(tmp_path) as person:
        yield person
