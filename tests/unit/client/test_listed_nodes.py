"""Telling the cluster which nodes its head lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, WITH_AND_WITHOUT_SCHEDULER, MemoryCluster
from distribute.client.control import drain, forget, undrain
from distribute.client.listed_nodes import list_nodes
from distribute.client.pausing import ask_pause
from distribute.client.queries import Queries
from distribute.core.errors import Refused
from distribute.testing import builders as make

FFTW, MPI = frozenset({"fftw"}), frozenset({"mpi"})


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


@pytest.fixture
def queries(cluster: Any) -> Queries:
    return Queries(cluster, clock=lambda: make.EPOCH.timestamp())


def listed(cluster: Any, after: int) -> list[tuple[str, frozenset[str] | None]]:
    found = cluster.log.stored.between(after, len(cluster.types()))
    return [(recorded.event.node, recorded.event.capabilities) for recorded in found]


async def test_only_what_changes_is_said(cluster: Any, queries: Queries) -> None:
    await cluster.say(make.joined())
    await list_nodes(cluster, queries, JANE, {"ws1": FFTW, "ws2": MPI, "ws3": frozenset()})
    assert cluster.types()[1:] == ["listed"] * 3
    await list_nodes(cluster, queries, JANE, {"ws1": FFTW, "ws2": FFTW, "ws4": MPI})
    assert listed(cluster, 4) == [("ws3", None), ("ws2", FFTW), ("ws4", MPI)]
    await list_nodes(cluster, queries, JANE, {"ws1": FFTW, "ws2": FFTW, "ws4": MPI})
    assert len(cluster.types()) == 7
    await list_nodes(cluster, queries, JANE, {})
    assert listed(cluster, 7) == [("ws1", None), ("ws2", None), ("ws4", None)]


async def test_of_a_node_that_never_joined_nothing_but_its_name_is_taken_away(
    cluster: Any, queries: Queries
) -> None:
    await list_nodes(cluster, queries, JANE, {"ws2": MPI})
    refused = "ws2 is in the head's nodes file, but has not joined yet"
    with pytest.raises(Refused, match=refused):
        await drain(cluster, queries, JANE, "ws2")
    with pytest.raises(Refused, match=refused):
        await undrain(cluster, queries, JANE, "ws2")
    with pytest.raises(Refused, match=refused):
        await ask_pause(cluster, queries, JANE, "ws2", 60.0)
    await forget(cluster, queries, JANE, "ws2")
    assert cluster.types() == ["listed", "forgotten"]
    assert (await queries.nodes())["nodes"] == []
