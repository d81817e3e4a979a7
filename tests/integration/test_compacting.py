"""Batches that are compacted out of a real stream: readers find all events, whatever crashes when."""

from __future__ import annotations

import pytest

from client_kit import JANE
from compacting_kit import (
    LATER,
    SWEEP,
    compacted,
    documents,
    events,
    life,
    live,
)
from distribute.client.compacting import closed_batches
from distribute.client.control import delete
from distribute.client.history import batch_history, job_history
from distribute.client.queries import Queries
from distribute.client.replacing import Replacement
from distribute.client.replaying import state_at
from distribute.client.retrying import retry
from distribute.client.verifying import verify
from distribute.core.errors import Conflict, Refused
from distribute.core.folding.fold import apply
from distribute.core.ids import JobId
from distribute.core.log.recorded import Guard, Recorded
from distribute.core.state.state import State
from distribute.nats.cluster import Cluster
from distribute.ports import Only
from distribute.snapshot import digest
from distribute.testing import builders
from log_kit import append


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


@pytest.mark.parametrize("is_limited", [False, True])
async def test_a_late_decision_of_the_scheduler_does_not_go_behind_what_was_removed(
    cluster: Cluster, is_limited: bool
) -> None:
    """Another one beat it. The stream has neither that one any more, nor what the guard names."""
    await live(cluster)
    job = JobId(*SWEEP.id, "job1")
    first = await cluster.log.last(job, "assigned")
    assert first is not None
    await compacted(cluster)
    compacted_seq = await cluster.log.last_seq()
    late = builders.assigned("job1", attempt=2, limited=is_limited or None)
    with pytest.raises(Conflict) as refused:
        await cluster.log.append(late, Guard(first.seq))
    assert (refused.value.beaten_by_seq, refused.value.last_seq) == (compacted_seq, 0)
    assert await cluster.log.last_seq() == compacted_seq


def _folded(records: list[Recorded]) -> State:
    state = State()
    for recorded in records:
        apply(state, recorded)
    return state
