"""Whoever follows a batch's archive looks again after whatever may have brought more."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from client_kit import WITH_AND_WITHOUT_SCHEDULER, MemoryCluster
from distribute.client.pull.filters import Filter
from distribute.client.pull.following import archive_changes
from distribute.client.pull.listing import list_results
from distribute.testing import builders as make

SPEC = make.batch(2)
BEGUN = (make.joined(), make.submitted(SPEC))


def run(job: str) -> tuple[Any, ...]:
    return (make.assigned(job), make.claimed(job), make.finished(job), make.job_archived(job))


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


async def test_every_job_is_seen_when_it_is_archived_and_the_end_last(cluster: Any) -> None:
    await cluster.say(*BEGUN)
    more = [run("job1"), run("job2"), (make.completed(SPEC), make.batch_archived(SPEC))]
    seen: list[tuple[int, bool]] = []
    async with asyncio.timeout(20), aclosing(archive_changes(cluster, SPEC.id, pause_s=0)) as changes:
        async for _ in changes:
            listing = await list_results(cluster, SPEC.id, Filter())
            seen.append((listing.jobs, listing.complete))
            if listing.complete:
                break
            if more:
                await cluster.say(*more.pop(0))
    assert seen[0] == (0, False)
    assert {(1, False), (2, False)} <= set(seen)
    assert seen[-1] == (2, True)


async def test_news_during_a_turn_is_not_missed(cluster: Any) -> None:
    """All of it comes while the reader pulls: nothing happens afterwards."""
    await cluster.say(*BEGUN)
    turns = 0
    async with asyncio.timeout(20), aclosing(archive_changes(cluster, SPEC.id, pause_s=0)) as changes:
        async for _ in changes:
            turns += 1
            if (await list_results(cluster, SPEC.id, Filter())).complete:
                break
            if turns == 1:
                await cluster.say(*run("job1"), *run("job2"), make.completed(SPEC), make.batch_archived(SPEC))
    assert turns >= 2


async def test_a_reader_that_takes_long_is_not_asked_again_at_once(cluster: Any) -> None:
    await cluster.say(*BEGUN, *run("job1"))
    clock = asyncio.get_running_loop().time
    async with asyncio.timeout(20), aclosing(archive_changes(cluster, SPEC.id, pause_s=0)) as changes:
        await anext(changes)
        began = clock()
        while clock() - began < 0.05:
            await cluster.say(make.build_started(), make.build_finished())
        worked = clock() - began
        await anext(changes)
        assert clock() - began >= 2 * worked


async def test_a_replaced_log_is_looked_at_again(cluster: Any) -> None:
    await cluster.say(*BEGUN, *run("job1"))
    async with asyncio.timeout(20), aclosing(archive_changes(cluster, SPEC.id, pause_s=0)) as changes:
        await anext(changes)
        await cluster.log.replace(keeps=2)
        await cluster.say(*run("job1"), *run("job2"))
        await anext(changes)
        assert (await list_results(cluster, SPEC.id, Filter())).jobs == 2
