"""The archiver on a real log: it acts only on events that the fold accepts, and once on each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager

import pytest

from distribute.core.errors import LogReplaced
from distribute.core.files.manifest import Manifest, Outputs, StoredObject
from distribute.core.folding.work import marked
from distribute.core.ids import BatchId
from distribute.core.log.events import Event, JobArchived
from distribute.core.log.recorded import Guard
from distribute.nats.client.jetstream import call
from distribute.nats.cluster import Cluster
from distribute.nats.stream.layout import EVENTS
from distribute.ports import Only
from distribute.testing import builders
from distribute_services.archiver import logic, service
from distribute_services.archiver.service import ArchiverService
from integration.store_kit import stream_of
from log_kit import append

WITHIN_S = 60.0
ARCHIVED = Only(types=frozenset({"job_archived"}))


async def finish(cluster: Cluster, outputs: Outputs, job: str = "job1", attempt: int = 1) -> int:
    """Append an attempt that ends with these outputs. Returns the sequence of its `finished`."""
    assigned = builders.assigned(job, attempt=attempt)
    claimed, finished = builders.claimed(job, attempt=attempt), builders.finished(job, attempt=attempt)
    return await append(cluster, assigned, claimed, finished.model_copy(update={"outputs": outputs}))


async def stored(cluster: Cluster, name: str = "lab/sweep/job1/1/0") -> StoredObject:
    return await cluster.store.put_result(name, "ws1", stream_of(b"told"))


@asynccontextmanager
async def archiver_of(cluster: Cluster) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(ArchiverService(cluster).run(stop))
    try:
        async with asyncio.timeout(WITHIN_S):
            yield
    finally:
        stop.set()
        await running


async def next_archived(cluster: Cluster, after: int) -> JobArchived:
    """Wait for the archiver's next `job_archived`."""
    said = await anext(cluster.log.follow(after=after, only=ARCHIVED))
    event = said[0].event
    assert isinstance(event, JobArchived)
    return event


def noted(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the objects that are committed from now on."""
    names: list[str] = []
    commit = cluster.store.commit_result

    async def note(one: StoredObject) -> None:
        names.append(one.name)
        await commit(one)

    monkeypatch.setattr(cluster.store, "commit_result", note)
    return names


async def test_what_a_job_left_is_committed_and_announced(cluster: Cluster) -> None:
    await append(cluster, builders.submitted())
    outputs = Outputs(inline=Manifest(objects=(await stored(cluster),)))
    async with archiver_of(cluster):
        seq = await finish(cluster, outputs)
        event = await next_archived(cluster, seq)
    assert (event.job, event.attempt, event.missing) == ("job1", 1, None)
    assert event.causation == (await cluster.log.get(seq)).event.id


async def test_what_a_job_left_that_its_node_gave_back_is_committed_and_announced(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = noted(cluster, monkeypatch)
    await append(cluster, builders.submitted(builders.batch(2)))
    outputs = Outputs(inline=Manifest(objects=(await stored(cluster),)))
    async with archiver_of(cluster):
        await append(cluster, builders.assigned("job2"))
        await append(cluster, builders.yielded("job2"))  # it left nothing
        await append(cluster, builders.assigned())
        await append(cluster, builders.claimed())
        seq = await append(cluster, builders.yielded(outputs=outputs))
        event = await next_archived(cluster, 0)
    assert (event.job, event.causation) == ("job1", (await cluster.log.get(seq)).event.id)
    assert names == ["lab/sweep/job1/1/0"]


async def test_what_the_fold_refuses_is_not_archived(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `finished` of an attempt that was never assigned names objects; the archiver must not commit them."""
    names = noted(cluster, monkeypatch)
    await append(cluster, builders.submitted(builders.batch(2)))
    forged = Outputs(inline=Manifest(objects=(await stored(cluster),)))
    async with archiver_of(cluster):
        await append(cluster, builders.finished(outputs=forged))
        right = Outputs(inline=Manifest(objects=(await stored(cluster, "lab/sweep/job2/1/0"),)))
        seq = await finish(cluster, right, "job2")
        assert (await next_archived(cluster, 0)).job == "job2"
    assert names == ["lab/sweep/job2/1/0"], f"event {seq} asked for this alone"


async def test_an_object_of_another_job_is_not_committed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MISSING_AFTER", 1)
    names = noted(cluster, monkeypatch)
    await append(cluster, builders.submitted())
    foreign = Outputs(inline=Manifest(objects=(await stored(cluster, "lab/other/job1/1/0"),)))
    async with archiver_of(cluster):
        event = await next_archived(cluster, await finish(cluster, foreign))
    assert event.missing == "lab/other/job1/1/0 is not an object of lab/sweep/job1"
    assert names == []


async def test_an_archiver_whose_log_lost_what_it_waits_for_raises_log_replaced(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logic, "MAX_EVENTS_HELD", 0)
    await append(cluster, builders.submitted())
    seq = await finish(cluster, Outputs(inline=Manifest(objects=(await stored(cluster),))))
    running = ArchiverService(cluster)
    running._backlog = await running._begin()
    await call(cluster.connection, f"STREAM.MSG.DELETE.{EVENTS}", {"seq": seq})
    with pytest.raises(LogReplaced, match=f"event {seq} of the log is not there any more"):
        await running._see_to(seq)
    # A restored log may have another event there.
    with pytest.raises(LogReplaced, match="or is another one"):
        await running._see_to(1)


async def test_a_note_that_the_broker_does_not_answer_is_reported_so(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def unanswered(_name: str, _data: bytes) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(service, "PATIENCE_S", 0.01)
    monkeypatch.setattr(cluster.store, "put_snapshot", unanswered)
    await append(cluster, builders.submitted())
    running = ArchiverService(cluster)
    running._backlog = await running._begin()
    await running._note()
    assert caplog.messages == ["can't note how far the archiver has come: no answer"]


async def test_a_job_with_noise_on_its_scope_is_archived(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A noise event during the archiving makes the guard fail; the archiver then appends again."""
    began, go_on = asyncio.Event(), asyncio.Event()
    commit = cluster.store.commit_result

    async def slowly(one: StoredObject) -> None:
        began.set()
        await go_on.wait()
        await commit(one)

    monkeypatch.setattr(cluster.store, "commit_result", slowly)
    await append(cluster, builders.submitted())
    outputs = Outputs(inline=Manifest(objects=(await stored(cluster),)))
    async with archiver_of(cluster):
        seq = await finish(cluster, outputs)
        await began.wait()
        await append(cluster, builders.claimed(node="ws9", attempt=7))
        go_on.set()
        assert (await next_archived(cluster, seq)).missing is None


async def test_a_job_whose_scope_ends_with_garbage_is_archived(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archiver waits until it has read what made the guard fail, not the garbage behind that."""
    append_now = cluster.log.append
    noise = [builders.claimed(node="ws9", attempt=7)]

    def append_late(event: Event, guard: Guard) -> asyncio.Future[int]:
        async def append_behind_noise() -> int:
            while noise and isinstance(event, JobArchived):
                await append(cluster, noise.pop())
                await cluster.connection.request("ev.job.lab.sweep.job1.claimed.ws1", b"garbage")
            return await append_now(event, guard)

        return asyncio.ensure_future(append_behind_noise())

    await append(cluster, builders.submitted())
    outputs = Outputs(inline=Manifest(objects=(await stored(cluster),)))
    seq = await finish(cluster, outputs)
    monkeypatch.setattr(cluster.log, "append", append_late)
    async with archiver_of(cluster):
        assert (await next_archived(cluster, seq)).missing is None
    assert not noise


async def test_after_a_restart_unarchived_jobs_are_archived_even_if_acknowledged(
    cluster: Cluster,
) -> None:
    await append(cluster, builders.submitted())
    seq = await finish(cluster, Outputs(inline=Manifest(objects=(await stored(cluster),))))
    for _ in range(2):  # the second archiver finds the event of the first
        async with archiver_of(cluster):
            assert (await next_archived(cluster, seq)).job == "job1"
    said = [
        event
        async for events in cluster.log.follow(after=0, only=ARCHIVED, until=seq + 1)
        for event in events
    ]
    assert len(said) == 1


async def test_a_deletion_that_the_archiver_missed_is_carried_out_later(cluster: Cluster) -> None:
    outputs = Outputs(inline=Manifest(objects=(await stored(cluster),)))
    await append(cluster, builders.submitted())
    async with archiver_of(cluster):
        await next_archived(cluster, await finish(cluster, outputs))
    gone = await append(cluster, builders.completed(), builders.batch_archived(), builders.deleted())
    again = await append(cluster, builders.submitted())
    async with archiver_of(cluster):
        kept = await stored(cluster)
        await next_archived(cluster, await finish(cluster, Outputs(inline=Manifest(objects=(kept,)))))
    assert gone < again
    pieces = [piece async for piece in cluster.store.get_result(kept)]
    assert b"".join(pieces) == b"told", "what a later batch of the same name left stays"


@pytest.mark.parametrize("is_away", [False, True], ids=["at once", "later"])
async def test_what_a_replaced_batch_left_is_deleted_but_not_what_its_kept_jobs_left(
    cluster: Cluster, is_away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_deleted, delete = asyncio.Event(), cluster.store.delete_results

    async def tell(batch: BatchId, before: float, but: Container[str] = ()) -> None:
        await delete(batch, before, but)
        is_deleted.set()

    monkeypatch.setattr(cluster.store, "delete_results", tell)
    jobs = ("job1", "job2")
    left = {job: await stored(cluster, f"lab/sweep/{job}/1/0") for job in jobs}
    submitted = builders.submitted(builders.batch(2))
    await append(cluster, submitted)
    async with archiver_of(cluster):
        for job in jobs:
            await next_archived(
                cluster, await finish(cluster, Outputs(inline=Manifest(objects=(left[job],))), job)
            )
    said = [
        builders.completed(),
        builders.batch_archived(),
        builders.submitted(marked(builders.batch(2), {"job2"}), replaces=submitted.id),
    ]
    if is_away:
        await append(cluster, *said)
    async with archiver_of(cluster):
        if not is_away:
            await append(cluster, *said)
        await is_deleted.wait()
    assert not await cluster.store.has_result(left["job1"])
    pieces = [piece async for piece in cluster.store.get_result(left["job2"])]
    assert b"".join(pieces) == b"told"


async def test_the_objects_of_a_stored_manifest_are_committed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = noted(cluster, monkeypatch)
    objects = [await stored(cluster, f"lab/sweep/job1/1/{number}") for number in range(2)]
    text = Manifest(objects=tuple(objects)).model_dump_json().encode()
    manifest = await cluster.store.put_result("lab/sweep/job1/1/2", "ws1", stream_of(text))
    await append(cluster, builders.submitted())
    async with archiver_of(cluster):
        event = await next_archived(cluster, await finish(cluster, Outputs(stored=manifest)))
    assert event.missing is None
    assert names == [f"lab/sweep/job1/1/{number}" for number in range(3)]


async def test_a_missing_manifest_is_reported_with_its_fault(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MISSING_AFTER", 1)
    text = stream_of(b'{"entries":[{"kind":"file"}]}')
    manifest = await cluster.store.put_result("lab/sweep/job1/1/0", "ws1", text)
    await append(cluster, builders.submitted())
    async with archiver_of(cluster):
        event = await next_archived(cluster, await finish(cluster, Outputs(stored=manifest)))
    assert event.missing == "lab/sweep/job1/1/0 is no manifest: Field required"
