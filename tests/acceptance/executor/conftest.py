"""A cluster for each file of tests, and an executor for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import distribute
from acceptance.executor.executor_kit import cluster_of
from acceptance.person import Person


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, str]]:
    with cluster_of(tmp_path_factory.mktemp("jane"), "--cpus", "2") as found:
        yield found


@pytest.fixture
def server(cluster: tuple[Person, str]) -> str:
    return cluster[1]


@pytest.fixture
def jane(cluster: tuple[Person, str]) -> Person:
    return cluster[0]


@pytest.fixture
def pool(server: str) -> Iterator[distribute.Executor]:
    with distribute.Executor(server=server, name="tests") as pool:
        yield pool
