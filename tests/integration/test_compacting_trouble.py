"""Batches that are compacted out of a real stream, while something goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from client_kit import JANE
from compacting_kit import (
    LATER,
    OTHER,
    SWEEP,
    WITHIN_S,
    archiver,
    compacted,
    documents,
    events,
    gone,
    life,
    live,
)
from distribute.client.compacting import closed_batches, compact
from distribute.client.control import kill
from distribute.client.history import batch_history
from distribute.client.queries import Queries
from distribute.client.verifying import verify
from distribute.core.errors import IntegrityError, LogReplaced, Refused, Unreachable
from distribute.core.ids import BatchId
from distribute.core.log.events import Compacted
from distribute.nats.client.jetstream import call
from distribute.nats.cluster import Cluster
from distribute.nats.stream.subjects import event_subject
from distribute.ports import Only
from distribute.testing import builders
from distribute_services.archiver.service import ArchiverService
from log_kit import append, put


class Killed(Exception):
    """The archiver was killed."""


@pytest.mark.parametrize("step", ["put_input", "get_input", "append", "purge", "purge half"])
async def test_a_crash_between_two_steps_loses_nothing(
    cluster: Cluster, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(cluster)
    before, told = await events(cluster.log), await documents(cluster)
    compacting = asyncio.create_task(_compacted_until(cluster, step, monkeypatch))
    with pytest.raises(Killed):
        await asyncio.wait_for(compacting, WITHIN_S)
    monkeypatch.undo()
    assert (await events(cluster.log))[: len(before)] == before
    assert await documents(cluster) == told
    if step.startswith("purge"):
        async with archiver(cluster):
            await gone(cluster)
    else:
        await compacted(cluster)
    assert (await events(cluster.log))[:-1] == before
    assert await documents(cluster) == told


async def _compacted_until(cluster: Cluster, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compact the batch, and kill the archiver before or, of a purge, in the midst of a step."""
    killed = asyncio.Event()

    async def never(*_: object, **__: object) -> None:
        killed.set()
        await asyncio.Event().wait()

    async def half(batch: BatchId, *, before: int) -> None:
        await purge(batch, before=before // 2)
        await never()

    purge = cluster.log.purge
    owner: object = cluster.store if step.endswith("_input") else cluster.log
    name = step.partition(" ")[0]
    monkeypatch.setattr(owner, name, half if step == "purge half" else never)
    service = ArchiverService(cluster, remove_after_s=0.0)
    stop = asyncio.Event()
    running = asyncio.create_task(service.run(stop))
    asking = asyncio.create_task(_ask(cluster))
    await killed.wait()
    for task in (running, asking):
        task.cancel()
    await asyncio.gather(running, asking, return_exceptions=True)
    raise Killed


async def _ask(cluster: Cluster) -> None:
    while True:
        try:
            [batch] = await closed_batches(Queries(cluster), LATER)
            await compact(cluster, JANE, batch, LATER)
        except Unreachable:
            await asyncio.sleep(0.05)
        else:
            return


async def test_a_reader_whose_events_are_removed_meanwhile_is_told_so(cluster: Cluster) -> None:
    await live(cluster)
    reading = cluster.log.follow(after=0, until=await cluster.log.last_seq())
    await anext(reading)
    await compacted(cluster)
    with pytest.raises(LogReplaced, match="lab/sweep was compacted while its events were read"):
        async for _ in reading:
            pass


async def test_events_stay_a_while_after_they_were_moved(cluster: Cluster) -> None:
    """By then the broker has on its disk what names the archive, and who began to read before has ended."""
    await live(cluster)
    end, before = await cluster.log.last_seq(), await events(cluster.log)
    reading = cluster.log.follow(after=0, until=end)
    read = list(await anext(reading))
    async with archiver(cluster, remove_after_s=1000.0):
        [batch] = await closed_batches(Queries(cluster), LATER)
        await compact(cluster, JANE, batch, LATER)
    assert (await events(cluster.stream))[:-1] == before
    assert [*read, *[recorded async for records in reading for recorded in records]] == before
    async with archiver(cluster):
        await gone(cluster)
    assert (await events(cluster.log))[:-1] == before


async def test_no_events_are_removed_whose_archive_the_store_lost(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a cut of power, if the disk kept the event that names the archive, but not the archive."""
    await live(cluster)
    before = await events(cluster.log)
    async with archiver(cluster, remove_after_s=1000.0):
        [batch] = await closed_batches(Queries(cluster), LATER)
        await compact(cluster, JANE, batch, LATER)
    await call(cluster.connection, "STREAM.PURGE.OBJ_inputs")
    async with archiver(cluster):
        while "the events of lab/sweep stay in the log" not in caplog.text:  # noqa: ASYNC110 - no event says it
            await asyncio.sleep(0.01)
    assert (await events(cluster.log))[:-1] == before
    assert (await verify(cluster))["sound"]


async def test_garbage_behind_the_last_event_of_a_batch_does_not_keep_it_from_being_compacted(
    cluster: Cluster,
) -> None:
    await live(cluster)
    before = await events(cluster.log)
    for number, subject in enumerate((event_subject(builders.notified()), event_subject(life("job1")[-1]))):
        await put(cluster, subject, b"garbage %d" % number)
    await compacted(cluster)
    assert (await events(cluster.log))[:-1] == before


async def test_what_happens_to_a_batch_meanwhile_comes_first(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(cluster)
    store = cluster.store.put_input

    async def put_late(path: Path, sha256: str) -> None:
        await append(cluster, builders.notified(SWEEP))
        await store(path, sha256)

    monkeypatch.setattr(cluster.store, "put_input", put_late)
    async with archiver(cluster):
        [batch] = await closed_batches(Queries(cluster), LATER)
        with pytest.raises(Refused, match="something happened to lab/sweep meanwhile: try again"):
            await compact(cluster, JANE, batch, LATER)
    assert "compacted" not in {recorded.event.type for recorded in await events(cluster.log)}


async def test_an_archive_that_is_gone_is_named_and_stops_no_other_reader(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    await live(cluster)
    await compacted(cluster)
    await call(cluster.connection, "STREAM.PURGE.OBJ_inputs")
    with pytest.raises(
        IntegrityError,
        match=r"the archive of lab/sweep, .*, is damaged or gone .*`distribute delete lab/sweep` frees",
    ):
        await events(cluster.log, Only(batch=SWEEP.id))
    left = {recorded.event.type for recorded in await events(cluster.log)}
    assert {"joined", "submitted", "compacted"} <= left
    assert "what happened to lab/sweep is left out" in caplog.text


@pytest.mark.parametrize("names", ["nothing", "no saved log", "the archive of another batch"])
async def test_a_forged_compaction_changes_nothing_for_any_reader(
    cluster: Cluster, names: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await live(cluster)
    sha256 = "0" * 64
    if names == "no saved log":
        input_file = tmp_path / "input"
        input_file.write_bytes(b"an input of a job")
        sha256 = hashlib.sha256(input_file.read_bytes()).hexdigest()
        await cluster.store.put_input(input_file, sha256)
    elif names == "the archive of another batch":
        await compacted(cluster)
        found = await cluster.log.last(SWEEP.id, "compacted")
        assert found is not None
        assert isinstance(found.event, Compacted)
        sha256 = found.event.archive
    before = await events(cluster.log)
    history = [told async for told in batch_history(cluster, OTHER.id)]
    standing = await Queries(cluster, clock=lambda: LATER).batch(OTHER.id)
    forged = builders.compacted(2**62, OTHER, archive=sha256, events=9)
    await append(cluster, forged)
    after = await events(cluster.log)
    assert after[:-1] == before
    assert after[-1].event == forged
    assert "an event says that those of lab/other were moved into an archive" in caplog.text
    ours = [recorded for recorded in after if getattr(recorded.event, "batch", "") == "other"]
    assert await events(cluster.log, Only(batch=OTHER.id)) == ours
    assert [told async for told in batch_history(cluster, OTHER.id)][: len(history)] == history
    assert await Queries(cluster, clock=lambda: LATER).batch(OTHER.id) == standing
    assert await cluster.log.last(OTHER.id, "deleted") is None
    assert (await verify(cluster))["sound"]
    kill_seq = await cluster.log.last_seq() + 1
    await kill(cluster, Queries(cluster), JANE, OTHER.id)
    assert (await cluster.log.get(kill_seq)).event.type == "kill_requested"
