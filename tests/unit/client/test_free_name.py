"""Batches that their owners leave unnamed get a free name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, MemoryCluster
from distribute.client.free_name import under_free_name
from distribute.client.queries import Queries
from distribute.client.submit import submit
from distribute.core.spec.specs import BatchSpec
from distribute.testing import builders as make

SPEC = make.batch([make.job("a")])


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    return MemoryCluster(tmp_path)


def named(name: str) -> BatchSpec:
    return SPEC.model_copy(update={"batch": name})


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        ([], "sweep"),
        (["sweep"], "sweep-2"),
        (["sweep", "sweep-2", "sweep-4"], "sweep-3"),
        (["sweep-2"], "sweep"),
    ],
)
async def test_the_first_name_that_is_free_is_taken(cluster: Any, taken: list[str], name: str) -> None:
    await cluster.say(*(make.submitted(named(each)) for each in taken))
    await cluster.say(make.submitted(SPEC.model_copy(update={"namespace": "other"})))

    async def send(spec: BatchSpec) -> str:
        await submit(cluster, JANE, spec, {})
        return f"sent {spec.batch}"

    spec, sent = await under_free_name(Queries(cluster, lambda: None), SPEC, send)
    assert (spec, sent) == (named(name), f"sent {name}")


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("a" * 255, "a" * 253 + "-2"),
        ("a" * 253, "a" * 253 + "-2"),
        ("é" * 127 + "a", "é" * 126 + "-2"),
        ("a" * 254, "a" * 253 + "-2"),
    ],
)
async def test_a_name_that_is_long_loses_its_end(cluster: Any, name: str, free: str) -> None:
    await cluster.say(make.submitted(named(name)))

    async def send(spec: BatchSpec) -> None:
        await submit(cluster, JANE, spec, {})

    spec, _ = await under_free_name(Queries(cluster, lambda: None), named(name), send)
    assert spec.batch == free


async def test_a_name_that_others_take_meanwhile_is_left_to_them(cluster: Any) -> None:
    tried = []

    async def send(spec: BatchSpec) -> None:
        tried.append(spec.batch)
        if len(tried) < 3:
            await cluster.say(make.submitted(spec))
        await submit(cluster, JANE, spec, {})

    spec, _ = await under_free_name(Queries(cluster, lambda: None), SPEC, send)
    assert (spec.batch, tried) == ("sweep-3", ["sweep", "sweep-2", "sweep-3"])
    assert cluster.types() == ["submitted"] * 3
