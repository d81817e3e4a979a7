"""Whether the cluster's nodes could run a batch, and if not, why."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_kit import MemoryCluster
from distribute.client.queries import Queries
from distribute.client.submit import check
from distribute.core.spec.specs import Resources
from distribute.testing import builders as make

GIB = 1 << 30


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        (Resources(cpus=9), "no node has 9 cpus for one job; the largest has 8 cpus"),
        (
            Resources(memory_bytes=9 * GIB),
            "no node has 1 cpu and 9G for one job; the largest has 8 cpus and 8G",
        ),
        (
            Resources(cpus=2, memory_bytes=GIB, gpus=2),
            "no node has 2 cpus, 1G and 2 GPUs for one job; the largest has 8 cpus, 8G and 1 GPU",
        ),
        (Resources(cpus=8, gpus=1), "no single node has 8 cpus and 1 GPU for one job"),
        (Resources(cpus=8), None),
    ],
)
async def test_a_job_that_is_too_large_is_refused_with_the_largest_node(
    tmp_path: Path, resources: Resources, problem: str | None
) -> None:
    cluster = MemoryCluster(tmp_path)
    await cluster.say(
        make.joined("a", cpus=8, memory_bytes=2 * GIB),
        make.joined("b", cpus=4, memory_bytes=8 * GIB, gpus=("x",)),
    )
    jobs = [make.job("small", resources=Resources(cpus=1)), make.job("large", resources=resources)]
    fit = await check(Queries(cluster), make.batch(jobs, resources=None))
    assert fit.problem == problem
    assert fit.jobs_by_fit == {2: 1, (0 if problem else 1): 1}


async def test_jobs_that_only_nodes_could_run_that_are_away_wait_for_them(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path)
    small, large = (make.job(f"cpus{n}", resources=Resources(cpus=n)) for n in (1, 8))
    fit = await check(Queries(cluster), make.batch([small, large], resources=None))
    assert (fit.problem, fit.waits_for) == (None, "no node has joined yet; the batch waits for one")

    away = [f"big{n}" for n in range(7)]
    await cluster.say(
        make.joined("a", cpus=4), *(make.joined(name, cpus=8) for name in away), *map(make.lost, away)
    )
    fit = await check(Queries(cluster), make.batch([small, large], resources=None))
    assert (fit.problem, fit.jobs_by_fit) == (None, {1: 1, 0: 1})
    assert fit.waits_for == (
        "for 1 job, the batch waits until one of these nodes is here: big0, big1, big2, big3, big4 and 2 more"
    )
    fit = await check(Queries(cluster), make.batch([small], resources=None))
    assert (fit.problem, fit.waits_for) == (None, None)
