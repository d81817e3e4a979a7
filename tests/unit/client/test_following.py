"""Whoever follows a batch's archive looks again after whatever may have brought more."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from client_kit import WITH_AND_WITHOUT_SCHEDULER, MemoryCluster, left
from distribute.client.pull import following
from distribute.client.pull.fetching import Pulled, fetch
from distribute.client.pull.filters import Filter
from distribute.client.pull.following import Turn, archive_changes, follow_results
from distribute.client.pull.listing import Known, Listing, list_results
from distribute.core.files.manifest import StoredFile
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
    async with asyncio.timeout(60), aclosing(archive_changes(cluster, SPEC.id, pause_s=0)) as changes:
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
    async with asyncio.timeout(60), aclosing(archive_changes(cluster, SPEC.id, pause_s=0)) as changes:
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
    async with asyncio.timeout(60), aclosing(archive_changes(cluster, SPEC.id, pause_s=0)) as changes:
        await anext(changes)
        began = clock()
        while clock() - began < 0.05:
            await cluster.say(make.build_started(), make.build_finished())
        worked = clock() - began
        await anext(changes)
        assert clock() - began >= 2 * worked


async def test_a_replaced_log_is_looked_at_again(cluster: Any) -> None:
    await cluster.say(*BEGUN, *run("job1"))
    async with asyncio.timeout(60), aclosing(archive_changes(cluster, SPEC.id, pause_s=0)) as changes:
        await anext(changes)
        await cluster.log.replace(keeps=2)
        await cluster.say(*run("job1"), *run("job2"))
        await anext(changes)
        assert (await list_results(cluster, SPEC.id, Filter())).jobs == 2


class Puller:
    """Pulls to a folder, and counts what it looks at and fetches."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.listed: list[int] = []
        self.turns: list[int] = []
        self.broken = 0
        """So many turns fail, as if the disk had a bad sector."""

    async def look(self, known: Known) -> Listing:
        listing = await list_results(self.cluster, SPEC.id, Filter(), known=known)
        self.listed.append(len(listing.ends))
        return listing

    async def fetch(self, listing: Listing) -> Pulled:
        if self.broken:
            self.broken -= 1
            return Pulled(problems=["sweep/job1/r: can't be written: Input/output error"])
        return await fetch(self.cluster.store, listing, self.folder)

    async def follow(self, *more: tuple[Any, ...]) -> Turn:
        """Follow to the end; after each turn, the next of these events happen."""
        coming = list(more)

        def told(turn: Turn) -> None:
            self.turns.append(turn.pulled.fetched)
            if coming:
                saying.append(asyncio.ensure_future(self.cluster.say(*coming.pop(0))))

        saying: list[asyncio.Future[None]] = []
        async with asyncio.timeout(60):
            return await follow_results(self.cluster, SPEC.id, self.look, self.fetch, told)


async def left_by(cluster: Any, job: str) -> tuple[Any, ...]:
    """The events of a job that leaves a file of its own name."""
    content = job.encode()
    stored = await cluster.keep(content, f"lab/sweep/{job}/1/0")
    digest = hashlib.sha256(content).hexdigest()
    entry = StoredFile(path="r", size_bytes=len(content), sha256=digest, object=0)
    finished = make.finished(job, outputs=left(entry, objects=(stored,)))
    return (make.assigned(job), make.claimed(job), finished, make.job_archived(job))


ENDED = (make.completed(SPEC), make.batch_archived(SPEC))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAUSE_S", 0.0)


async def test_each_result_is_looked_at_and_fetched_once(cluster: Any, tmp_path: Path) -> None:
    """To look at all of them in every turn would read a hundred gigabytes again and again."""
    await cluster.say(*BEGUN)
    puller = Puller(cluster, tmp_path / "here")
    job1, job2 = await left_by(cluster, "job1"), await left_by(cluster, "job2")
    listing, pulled = await puller.follow(job1, (*job2, *ENDED))
    assert {path.read_text() for path in (tmp_path / "here").rglob("r")} == {"job1", "job2"}
    assert (listing.complete, listing.jobs, len(listing.files)) == (True, 2, 2)
    assert (pulled.fetched, pulled.kept, pulled.problems) == (2, 0, [])
    assert sum(puller.listed) == 2


async def test_what_failed_in_a_turn_is_tried_again_at_the_end(cluster: Any, tmp_path: Path) -> None:
    await cluster.say(*BEGUN, *await left_by(cluster, "job1"))
    puller = Puller(cluster, tmp_path / "here")
    puller.broken = 1
    _, pulled = await puller.follow((*await left_by(cluster, "job2"), *ENDED))
    assert (pulled.fetched, pulled.problems) == (2, [])
    assert (tmp_path / "here/sweep/job1/r").read_text() == "job1"


async def test_what_fails_to_the_end_is_a_problem(cluster: Any, tmp_path: Path) -> None:
    await cluster.say(*BEGUN, *await left_by(cluster, "job1"), *await left_by(cluster, "job2"), *ENDED)
    puller = Puller(cluster, tmp_path / "here")
    puller.broken = 2
    _, pulled = await puller.follow()
    assert len(pulled.problems) == 1


async def test_a_result_that_a_replaced_log_has_in_the_place_of_another_is_fetched(
    cluster: Any, tmp_path: Path
) -> None:
    """It has the sequence of an event that was seen, so that no turn looks at it, but for the last."""
    job1, job2 = await left_by(cluster, "job1"), await left_by(cluster, "job2")
    await cluster.say(*BEGUN, *job1)
    puller = Puller(cluster, tmp_path / "here")
    seen = await puller.look(Known())
    await cluster.log.replace(keeps=2)
    again = [event.model_copy(update={"id": make.new_id()}) for event in job2]
    await cluster.say(*again, *await left_by(cluster, "job1"), *ENDED)
    assert min(seen.ends) in (await puller.look(Known())).ends
    listing = await puller.look(Known(seqs=set(seen.ends), ids=set(seen.ends.values())))
    assert len(listing.ends) == 1
    rest = await puller.look(Known(ids=set(seen.ends.values())))
    assert len(rest.ends) == 2
