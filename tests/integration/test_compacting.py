"""Batches that are compacted out of a real stream: readers find all events, whatever crashes when."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from client_kit import JANE
from distribute.client.compacting import Compaction, closed_batches, compact
from distribute.client.control import delete, kill
from distribute.client.history import batch_history, job_history
from distribute.client.queries import Queries
from distribute.client.replacing import Replacement
from distribute.client.replaying import state_at
from distribute.client.retrying import retry
from distribute.client.verifying import verify
from distribute.core.errors import Conflict, IntegrityError, LogReplaced, NobodyAnswers, Refused, Unreachable
from distribute.core.events import Compacted, Event
from distribute.core.fold import apply
from distribute.core.ids import BatchId, JobId
from distribute.core.recorded import Guard, Recorded
from distribute.core.specs import BatchSpec
from distribute.core.state import State
from distribute.nats.client.jetstream import call
from distribute.nats.cluster import Cluster
from distribute.ports import EventLog, Only
from distribute.snapshot import digest
from distribute.testing import builders
from distribute_services.archiver.service import ArchiverService
from log_kit import append

WITHIN_S = 120.0
LATER = 4e9
"""A time in seconds since 1970, long after all tests."""
SWEEP = builders.batch(3, build="make")
OTHER = builders.batch(2, batch="other")


def life(job: str, of: BatchSpec = SWEEP) -> list[Event]:
    name = JobId(*of.id, job)
    return [
        builders.assigned(name),
        builders.claimed(name),
        builders.started(name),
        builders.finished(name, outputs=None),
    ]


async def live(cluster: Cluster) -> None:
    """Two batches run side by side, and only the first one ends."""
    await append(cluster, builders.joined())
    first, second = builders.submitted(SWEEP), builders.submitted(OTHER)
    await append(cluster, first, second, *life("job1"), *life("job1", OTHER), *life("job2"), *life("job3"))
    ends = {"of": SWEEP, "submission": first.id}
    await append(cluster, builders.completed(**ends), builders.batch_archived(**ends))


async def events(log: EventLog, only: Only = Only()) -> list[Recorded]:  # noqa: B008 - it is frozen
    until = await log.last_seq()
    return [recorded async for records in log.follow(after=0, only=only, until=until) for recorded in records]


async def documents(cluster: Cluster) -> list[object]:
    """What people are told of the batches, without the time of the compaction."""
    queries = Queries(cluster, clock=lambda: LATER)
    batch = await queries.batch(SWEEP.id)
    every = (await queries.batches())["batches"]
    job = await queries.job(JobId(*SWEEP.id, "job2"))
    for document in (batch, *every):
        document["compacted_at"] = None
    return [batch, every, job, await queries.why(JobId(*SWEEP.id, "job1"))]


@asynccontextmanager
async def archiver(cluster: Cluster) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(ArchiverService(cluster).run(stop))
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    await cluster.queries.ask("compact", b"{}", timeout_s=WITHIN_S)
                except NobodyAnswers:
                    await asyncio.sleep(0.05)
                except Refused:
                    break  # it is there, and does not understand that
            yield
    finally:
        stop.set()
        await running


async def compacted(cluster: Cluster) -> Compaction:
    """Have the first batch compacted, and wait until its events are gone from the stream."""
    async with archiver(cluster):
        [batch] = await closed_batches(Queries(cluster), LATER)
        done = await compact(cluster, JANE, batch, LATER)
        await gone(cluster)
    return done


async def gone(cluster: Cluster) -> None:
    """Wait until the stream has of the batch only what came last."""
    while len(await events(cluster.stream, Only(batch=SWEEP.id))) > 1:  # noqa: ASYNC110 - a purge is no event
        await asyncio.sleep(0.01)


async def test_every_reader_finds_what_was_compacted(cluster: Cluster) -> None:
    await live(cluster)
    before, told = await events(cluster.log), await documents(cluster)
    done = await compacted(cluster)
    ours = [recorded for recorded in before if getattr(recorded.event, "batch", "") == "sweep"]
    assert done.events == len(ours) > 10
    after = await events(cluster.log)
    assert after[:-1] == before
    assert after[-1].event.type == "compacted"
    assert len(await events(cluster.stream)) == len(before) - len(ours) + 1
    assert await documents(cluster) == told
    for recorded in ours:
        assert await cluster.log.get(recorded.seq) == recorded
        only = Only(scope=recorded.event.scope)
        assert recorded in await events(cluster.log, only)
    assert await cluster.log.last(SWEEP.id, "submitted") == ours[0]
    assert await cluster.log.last(JobId(*SWEEP.id, "job1"), "claimed") in ours
    raws = [raw async for raws in cluster.log.follow_raw(after=0, until=after[-1].seq) for raw in raws]
    assert [raw.seq for raw in raws] == [recorded.seq for recorded in after]


async def test_a_replay_adds_up_to_the_same_state_as_a_reader_of_the_stream(cluster: Cluster) -> None:
    await live(cluster)
    past_seq = await cluster.log.last_seq()
    past = digest(await state_at(cluster.log))
    reader = await state_at(cluster.stream)
    await compacted(cluster)
    async for records in cluster.stream.follow(after=past_seq, until=await cluster.log.last_seq()):
        for recorded in records:
            assert apply(reader, recorded) is None
    assert list(reader.compacted) == [SWEEP.id]
    assert digest(await state_at(cluster.log)) == digest(reader)
    assert digest(await state_at(cluster.log, seq=past_seq)) == past
    verified = await verify(cluster)
    assert (verified["sound"], verified["misfits"]["count"]) == (True, 0)


async def test_the_history_of_a_compacted_batch_is_told(cluster: Cluster) -> None:
    await live(cluster)
    before = [told async for told in batch_history(cluster, SWEEP.id)]
    job = [told async for told in job_history(cluster, JobId(*SWEEP.id, "job2"))]
    await compacted(cluster)
    after = [told async for told in batch_history(cluster, SWEEP.id)]
    assert after[:-1] == before
    assert after[-1].sentence.startswith("jane had 15 events of ")
    assert [told async for told in job_history(cluster, JobId(*SWEEP.id, "job2"))][: len(job)] == job


async def test_a_compacted_batch_is_not_retried_and_can_be_deleted(cluster: Cluster) -> None:
    await live(cluster)
    await compacted(cluster)
    queries = Queries(cluster)
    with pytest.raises(Refused, match=r"lab/sweep was compacted at .*, and does not run again: add its file"):
        await retry(cluster, queries, JANE, SWEEP.id)
    with pytest.raises(Refused, match="does not run again: replace it without --keep-succeeded"):
        await Replacement(cluster, queries, JANE, SWEEP).compare()
    with pytest.raises(Refused, match="was compacted at"):
        await closed_batches(queries, LATER, [SWEEP.id])
    await delete(cluster, JANE, SWEEP.id)
    assert not await queries.has(SWEEP.id)
    assert (await events(cluster.log))[1].event.type == "submitted"
    state = await state_at(cluster.log)
    assert (list(state.compacted), state.misfits) == ([], 0)


async def test_batches_that_had_one_name_are_compacted_one_after_the_other(cluster: Cluster) -> None:
    await live(cluster)
    await compacted(cluster)
    await delete(cluster, JANE, SWEEP.id)
    again = builders.submitted(SWEEP)
    ends = {"of": SWEEP, "submission": again.id}
    await append(cluster, again, *life("job1"), *life("job2"), *life("job3"))
    await append(cluster, builders.completed(**ends), builders.batch_archived(**ends))
    before = await events(cluster.log)
    await compacted(cluster)
    assert (await events(cluster.log))[:-1] == before
    assert digest(await state_at(cluster.log)) == digest(_folded([*before, (await events(cluster.log))[-1]]))


async def test_the_late_word_of_a_node_goes_behind_what_was_removed(cluster: Cluster) -> None:
    """The node knows its build by an event that the stream has no more."""
    await live(cluster)
    began_seq = await append(cluster, builders.build_started())
    await compacted(cluster)
    late = builders.build_finished()
    late_seq = await cluster.log.append(late, Guard(began_seq))
    assert [recorded.seq for recorded in await events(cluster.stream, Only(scope=late.scope))] == [late_seq]
    with pytest.raises(Conflict):
        await cluster.log.append(builders.build_finished(), Guard(began_seq))
    state = await state_at(cluster.log)
    assert (list(state.compacted), state.misfits) == ([SWEEP.id], 1)
    await delete(cluster, JANE, SWEEP.id)


def _folded(records: list[Recorded]) -> State:
    state = State()
    for recorded in records:
        apply(state, recorded)
    return state


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
    service = ArchiverService(cluster)
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
