"""The log in memory, and users of any log: `runtime.Facts`, and the node-runner's `Batches`."""

import asyncio

import pytest

from distribute.core.errors import Conflict, LogReplaced
from distribute.core.ids import BatchId, NodeId, Under
from distribute.core.log.recorded import Guard, Recorded, guard_scope
from distribute.memory.log import MemoryLog
from distribute.nats.stream.subjects import event_subject, filters
from distribute.ports import EventLog, Only
from distribute.runtime import Facts
from distribute.stored_events import wanted
from distribute.testing import builders as make
from distribute_services.node_runner.machine.attempts import SubmissionRef
from distribute_services.node_runner.work.batches import load_submission

SWEEP = BatchId("lab", "sweep")
STORY = (
    make.joined("ws1"), make.submitted(), make.assigned(node="ws1"), make.claimed(), make.joined("ws2"),
    make.finished(), make.job_archived(), make.completed(), make.submitted(make.batch(batch="other")),
)  # fmt: skip


async def log_of(*events: make.Event) -> MemoryLog:
    log = MemoryLog(clock=lambda: 7.0)
    for event in events:
        last = await log.last(guard_scope(event))
        await log.append(event, Guard(last.seq if last else 0))
    return log


async def seqs(log: MemoryLog, **wants: object) -> list[int]:
    return [found.seq async for found in each(log, **wants)]


async def each(log: MemoryLog, **wants: object):  # type: ignore[no-untyped-def]
    async for records in log.follow(**{"after": 0, "until": await log.last_seq()} | wants):  # type: ignore[arg-type]
        for recorded in records:
            yield recorded


async def test_appended_events_are_read_through_the_codec() -> None:
    event = make.submitted()
    log: EventLog = await log_of(event)
    assert await log.get(1) == Recorded(1, 7.0, event)
    assert (await log.get(1)).event is not event
    with pytest.raises(KeyError):
        await log.get(2)


async def test_an_append_whose_guard_does_not_hold_is_refused() -> None:
    log = await log_of(make.submitted())
    with pytest.raises(Conflict) as conflict:
        await log.append(make.submitted(), Guard(0))
    assert (conflict.value.scope, conflict.value.last_seq) == (SWEEP, 1)
    assert await log.last_seq() == 1


async def test_the_end_of_a_batch_is_refused_if_any_event_under_the_batch_came_between() -> None:
    log = await log_of(make.submitted(), make.submitted(make.batch(batch="other")), make.assigned())
    with pytest.raises(Conflict) as conflict:
        await log.append(make.completed(state="killed"), Guard(1))
    assert (conflict.value.scope, conflict.value.last_seq) == (Under(SWEEP), 3)
    await log.append(make.joined(), Guard(0))
    assert await log.append(make.completed(state="killed"), Guard(3)) == 5
    assert (await log.last(Under(SWEEP))).seq == 5  # type: ignore[union-attr]
    assert (await log.last(Under(SWEEP), "assigned")).seq == 3  # type: ignore[union-attr]


async def test_appending_an_event_again_returns_its_sequence() -> None:
    log = await log_of(make.joined(), event := make.submitted())
    await log.append(make.reprioritized(3), Guard(2))
    assert await log.append(event, Guard(0)) == 2


async def test_events_of_a_deleted_batch_of_the_same_name_do_not_count() -> None:
    log = await log_of(make.joined(), make.submitted(), make.assigned())
    assert await log.append(make.assigned(attempt=2), Guard(0, since=3)) == 4


async def test_a_guard_holds_that_names_what_was_removed_until_another_event_comes() -> None:
    log = await log_of(*STORY)
    await log.purge(SWEEP, before=8)
    assert await log.append(make.assigned(attempt=2), Guard(7)) == 10
    with pytest.raises(Conflict) as conflict:
        await log.append(make.assigned(attempt=2), Guard(7))
    assert conflict.value.last_seq == 10
    with pytest.raises(LogReplaced):
        await log.append(make.joined("ws1"), Guard(11))


async def test_a_late_decision_does_not_go_behind_what_a_compaction_removed() -> None:
    log = await log_of(*STORY, make.compacted(8))
    await log.purge(SWEEP, before=9)
    with pytest.raises(Conflict) as conflict:
        await log.append(make.assigned(attempt=2), Guard(7))
    assert (conflict.value.beaten_by_seq, conflict.value.last_seq) == (10, 0)
    assert await log.append(make.finished(), Guard(7)) == 11, "the fold judges what nodes say"


async def test_the_last_event_of_a_scope_or_a_type_is_found() -> None:
    log = await log_of(*STORY)
    assert (await log.last(SWEEP)).seq == 8  # type: ignore[union-attr]
    assert (await log.last(SWEEP, "submitted")).seq == 2  # type: ignore[union-attr]
    assert await log.last(SWEEP, "deleted") is None
    assert await log.last(NodeId("ws9")) is None


async def test_a_follower_gets_the_stored_events_and_then_new_ones() -> None:
    log = await log_of(*STORY)
    assert await seqs(log, after=6) == [7, 8, 9]
    found: list[int] = []

    async def follow() -> None:
        async for records in log.follow(after=8):
            found.extend(recorded.seq for recorded in records)
            if found[-1] == 10:
                return

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(follow())
        await asyncio.sleep(0)
        assert found == [9]
        await log.append(make.joined("ws3"), Guard(0))
    assert found == [9, 10]


async def test_a_reader_up_to_what_the_log_does_not_have_ends_with_what_it_has() -> None:
    log = await log_of(*STORY)
    async with asyncio.timeout(60):
        found = [record.seq async for records in log.follow(after=6, until=12) for record in records]
        assert found == [7, 8, 9]
        assert [records async for records in log.follow(after=9, until=12)] == []


def matches(pattern: str, subject: str) -> bool:
    """Does a subject match a filter, by the broker's rule?"""
    wants, tokens = pattern.split("."), subject.split(".")
    if wants[-1] == ">":
        wants, tokens = wants[:-1], tokens[: len(wants) - 1]
    return len(wants) == len(tokens) and all(a in {"*", b} for a, b in zip(wants, tokens, strict=True))


@pytest.mark.parametrize(
    "only",
    [
        Only(),
        Only(types=frozenset({"finished", "joined"})),
        Only(batch=SWEEP),
        Only(node="ws1"),
        Only(types=frozenset({"joined", "assigned"}), node="ws1", also=frozenset({"completed"})),
        Only(types=frozenset({"submitted", "claimed"}), batch=SWEEP),
    ],
    ids=["all", "types", "a batch", "a node", "types of a node and one more", "types of a batch"],
)
def test_memory_and_broker_agree_on_the_wanted_events(only: Only) -> None:
    for event in STORY:
        matching = [pattern for pattern in filters(only) if matches(pattern, event_subject(event))]
        assert len(matching) == wanted(only, event), event.type


async def test_facts_are_appended_behind_any_other_events() -> None:
    log = await log_of(make.joined())
    facts = Facts(log)
    said = asyncio.gather(*(facts.append(make.build_started()) for _ in range(3)))
    await log.append(make.drain_requested(), Guard(1))
    await said
    assert await log.last_seq() == 5


async def test_a_batch_that_was_deleted_can_not_be_loaded() -> None:
    first, second = make.submitted(), make.submitted(make.batch(2))
    log = await log_of(first, make.kill_requested(), make.completed(state="killed"))
    assert (await load_submission(log, SWEEP, SubmissionRef(first.id, 1))).spec == make.batch()
    await log.append(make.deleted(), Guard(3))
    with pytest.raises(KeyError):
        await load_submission(log, SWEEP, SubmissionRef(first.id, 1))
    await log.append(second, Guard(4))
    with pytest.raises(KeyError):
        await load_submission(log, SWEEP, SubmissionRef(first.id, 1))
    loaded = await load_submission(log, SWEEP, SubmissionRef(second.id, 5))
    assert [loaded.job(name) for name in ("job1", "job2", "job3")] == [*make.batch(2).work.jobs, None]


@pytest.mark.parametrize(
    "noise",
    [
        [make.submitted(make.batch(3))],  # the fold refuses it: the batch exists
        [make.deleted()],  # and this: the batch is not over
        [make.completed(), make.deleted()],  # nor is it now: its job waits
    ],
    ids=["a second submission", "a deletion", "an end and a deletion"],
)
async def test_events_that_the_fold_refuses_do_not_change_a_loaded_batch(noise: list[make.Event]) -> None:
    submitted = make.submitted()
    log = await log_of(submitted, *noise)
    assert (await load_submission(log, SWEEP, SubmissionRef(submitted.id, 1))).event.id == submitted.id


@pytest.mark.parametrize("seq", [0, 1, 3, 9])
async def test_a_submission_at_another_place_is_found_by_its_id(seq: int) -> None:
    """The log lost its end, and has it elsewhere now."""
    submitted = make.submitted()
    forged = make.submitted(make.batch(2))
    log = await log_of(make.joined(), submitted, make.kill_requested(), forged)
    assert (await load_submission(log, SWEEP, SubmissionRef(submitted.id, seq))).event.id == submitted.id
    with pytest.raises(KeyError):
        await load_submission(log, SWEEP, SubmissionRef("another", seq))


async def test_version_1_of_an_assignment_means_the_last_submission() -> None:
    submitted = make.submitted()
    log = await log_of(submitted)
    assert (await load_submission(log, SWEEP, SubmissionRef())).event.id == submitted.id
