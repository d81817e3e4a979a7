"""Replacing a batch by its changed file: it acts on what the fold accepts, and keeps what it saw there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, WITH_AND_WITHOUT_SCHEDULER, MemoryCluster, SchedulerAnswers
from distribute.client import standing
from distribute.client.queries import Queries
from distribute.client.replacing import Replacement
from distribute.core.errors import Refused
from distribute.core.folding.work import Comparison
from distribute.core.log.events import Event, Held, KillRequested, Submitted
from distribute.core.spec.specs import BatchSpec
from distribute.testing import builders as make

LATE = datetime(2100, 1, 1, tzinfo=UTC)
SPEC = make.batch(3)
CHANGED = make.batch([make.job("job1"), make.job("job2", command="other"), make.job("job4")])


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


def ran(job: str) -> list[Event]:
    return [make.assigned(job), make.claimed(job), make.finished(job)]


ENDED: list[Event] = [
    make.joined(),
    make.submitted(SPEC),
    *[event for job in ("job1", "job2", "job3") for event in (*ran(job), make.job_archived(job))],
    make.completed(SPEC),
    make.batch_archived(SPEC),
]


def replacement(cluster: Any, spec: BatchSpec = CHANGED) -> Replacement:
    return Replacement(cluster, Queries(cluster), JANE, spec)


def events(cluster: Any) -> list[Event]:
    """All events in the log."""
    stored = cluster.log.stored
    return [one.event for one in stored.between(0, stored.last_seq)]


def last(cluster: Any) -> Submitted:
    """The last submission in the log."""
    return [event for event in events(cluster) if isinstance(event, Submitted)][-1]


async def test_an_archived_batch_is_replaced_and_keeps_what_is_the_same(cluster: Any) -> None:
    await cluster.say(*ENDED)
    compared = await replacement(cluster).compare()
    assert compared == Comparison(("job1",), ("job2",), ("job4",), ("job3",))
    assert cluster.types()[-1] == "batch_archived", "it only compared"
    assert await replacement(cluster).submit({}) == compared
    assert last(cluster).replaces == ENDED[1].id
    assert [job.name for job in last(cluster).spec.work.jobs if job.kept] == ["job1"]


@pytest.mark.parametrize("is_over", [True, False])
async def test_a_batch_that_took_the_place_of_the_one_compared_is_not_replaced(
    cluster: Any, is_over: bool
) -> None:
    """While a person thinks about the question, somebody replaces the batch."""
    await cluster.say(*ENDED)
    replacing = replacement(cluster)
    await replacing.compare()
    await cluster.say(make.deleted(SPEC), make.submitted(SPEC), *(ENDED[2:] if is_over else []))
    before = cluster.types()
    with pytest.raises(Refused, match="jane submitted another batch lab/sweep meanwhile"):
        await replacing.submit({})
    assert cluster.types() == before


@pytest.mark.parametrize("is_over", [True, False])
async def test_a_batch_that_somebody_had_run_again_after_it_was_compared_is_not_replaced(
    cluster: Any, is_over: bool
) -> None:
    await cluster.say(*ENDED[:-4], make.finished("job3", succeeded=False), *ENDED[-3:])
    replacing = replacement(cluster)
    await replacing.compare()
    ends = [make.kill_requested(SPEC), make.completed(SPEC, state="killed"), make.batch_archived(SPEC)]
    await cluster.say(make.retry_requested(SPEC), *(ends if is_over else []))
    before = cluster.types()
    with pytest.raises(
        Refused, match=r"jane had jobs of lab/sweep run again meanwhile, .*: it was not replaced"
    ):
        await replacing.submit({})
    assert cluster.types() == before


async def test_a_batch_that_runs_is_killed_and_replaced_once_nothing_is_under_way(cluster: Any) -> None:
    await cluster.say(*ENDED[:2], *ran("job1"), make.assigned("job2"), make.claimed("job2"))
    replacing = asyncio.create_task(replacement(cluster).submit({}))
    await cluster.until("kill_requested")
    await cluster.say(make.released("job2", reason="killed"), make.completed(SPEC, state="killed"))
    await asyncio.sleep(0)
    assert not replacing.done(), "what job 1 left is not archived yet"
    await cluster.say(make.job_archived("job1"))
    assert (await replacing).kept == ("job1",)
    assert last(cluster).replaces == ENDED[1].id


def runs(job: str) -> list[Event]:
    return [make.assigned(job), make.claimed(job), make.started(job)]


PARTLY_CHANGED = make.batch([make.job("job1"), make.job("job2", command="other"), make.job("job3")])


async def test_a_batch_of_which_a_job_goes_on_is_held_and_only_its_changed_jobs_are_killed(
    cluster: Any,
) -> None:
    await cluster.say(*ENDED[:6], *runs("job2"), *runs("job3"))
    would = await replacement(cluster, PARTLY_CHANGED).compare()
    assert would == Comparison(("job1",), ("job2",), (), (), ("job3",))
    replacing = asyncio.create_task(replacement(cluster, PARTLY_CHANGED).submit({}))
    await cluster.until("kill_requested")
    said = [event for event in events(cluster) if isinstance(event, Held | KillRequested)]
    assert [(event.type, getattr(event, "job", None)) for event in said] == [
        ("held", None), ("kill_requested", "job2"),
    ]  # fmt: skip
    await asyncio.sleep(0)
    assert not replacing.done(), "job 2 has not ended yet"
    await cluster.say(make.finished("job2", succeeded=False))
    await asyncio.sleep(0)
    assert not replacing.done(), "what job 2 left is not archived yet"
    await cluster.say(make.job_archived("job2"))
    assert await replacing == would
    assert last(cluster).replaces == ENDED[1].id
    assert [job.name for job in last(cluster).spec.work.jobs if job.kept] == ["job1", "job3"]


async def test_a_batch_that_ends_while_it_is_to_go_on_is_replaced_as_one_that_is_over(cluster: Any) -> None:
    await cluster.say(*ENDED[:6], *runs("job2"), *runs("job3"))
    replacing = asyncio.create_task(replacement(cluster, PARTLY_CHANGED).submit({}))
    await cluster.until("kill_requested")
    await cluster.say(
        make.finished("job3"), make.job_archived("job3"), make.finished("job2"), make.job_archived("job2"),
        make.completed(SPEC), make.batch_archived(SPEC),
    )  # fmt: skip
    assert (await replacing).kept == ("job1", "job3")


async def test_a_batch_that_somebody_released_after_the_question_is_not_held_for_another(
    cluster: Any,
) -> None:
    await cluster.say(*ENDED[:6], *runs("job3"), make.held(SPEC))
    replacing = replacement(cluster, PARTLY_CHANGED)
    await replacing.compare()
    await cluster.say(make.hold_released(SPEC, "bob"))
    before = cluster.types()
    with pytest.raises(Refused, match="bob released lab/sweep meanwhile"):
        await replacing.submit({})
    assert cluster.types() == before


async def test_what_runs_of_another_persons_batch_does_not_go_on(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC, "bob"), *runs("job1"))
    compared = await replacement(cluster, SPEC).compare(force=True)
    assert (compared.going_on, compared.rerun) == ((), ("job1", "job2", "job3"))


async def test_what_lost_its_results_runs_again(cluster: Any) -> None:
    lost = make.job_archived("job1", missing="no chunks")
    await cluster.say(*ENDED[:5], lost, *ENDED[6:])
    assert (await replacement(cluster, make.batch(3)).submit({})).kept == ("job2", "job3")


async def test_a_batch_that_replaced_another_is_replaced_likewise(cluster: Any) -> None:
    await cluster.say(*ENDED)
    await replacement(cluster, SPEC).submit({})
    await cluster.say(make.completed(SPEC), make.batch_archived(SPEC))
    first = last(cluster).id
    assert (await replacement(cluster).submit({})).kept == ("job1",)
    assert last(cluster).replaces == first


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "there is no batch lab/sweep of which anything could be kept"),
        ([make.submitted(SPEC, "bob")], "lab/sweep is bob's batch, and you are jane"),
        ([make.submitted(SPEC, ran_at=make.RAN_AT)], "lab/sweep ran at slurm"),
    ],
)
async def test_what_can_not_be_replaced_is_refused(cluster: Any, said: list[Event], why: str) -> None:
    await cluster.say(make.joined(), *said)
    for asked in (replacement(cluster).compare(), replacement(cluster).submit({})):
        with pytest.raises(Refused, match=why):
            await asked
    assert "kill_requested" not in cluster.types()


async def test_an_interrupted_replacement_knows_that_the_batch_stays_held(cluster: Any) -> None:
    await cluster.say(*ENDED[:6], *runs("job2"), *runs("job3"))
    replaces = replacement(cluster, PARTLY_CHANGED)
    replacing = asyncio.create_task(replaces.submit({}))
    assert not replaces.leaves_it_held
    await cluster.until("kill_requested")
    replacing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replacing
    assert replaces.leaves_it_held


async def test_a_replacement_that_came_to_its_end_leaves_no_batch_held(cluster: Any) -> None:
    await cluster.say(*ENDED[:6], *runs("job3"))
    replaces = replacement(cluster, PARTLY_CHANGED)
    await replaces.submit({})
    assert last(cluster).replaces == ENDED[1].id
    assert not replaces.leaves_it_held


@pytest.mark.parametrize("holder", ["jane", "bob"])
async def test_a_batch_is_replaced_only_once_the_scheduler_has_read_that_it_is_held(
    tmp_path: Path, holder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is slow may still give a job of it to a node, and nothing would ever end that."""
    monkeypatch.setattr(standing, "_ASK_AGAIN_S", 0.001)
    cluster: Any = MemoryCluster(tmp_path, "a scheduler answers")
    await cluster.say(*ENDED[:6], *runs("job3"))
    scheduler = cluster.queries = SchedulerAnswers(cluster.log, until=cluster.log.stored.last_seq)
    if holder == "bob":
        await cluster.say(make.held(SPEC))
    replacing = asyncio.create_task(replacement(cluster, PARTLY_CHANGED).submit({}))
    await cluster.until("held")
    enough = len(scheduler.asked) + 20
    async with asyncio.timeout(60):
        while len(scheduler.asked) < enough and not replacing.done():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)
    assert last(cluster).replaces is None
    scheduler.until = None
    assert (await replacing).going_on == ("job3",)
    assert last(cluster).replaces == ENDED[1].id


async def test_a_job_at_a_paused_node_goes_on(cluster: Any) -> None:
    """Or a batch of which all that runs is at paused nodes would be killed as a whole."""
    await cluster.say(*ENDED[:6], *runs("job3"), make.paused(until=LATE, keeps=("job3",)))
    replaces = replacement(cluster, PARTLY_CHANGED)
    assert (await replaces.compare()).going_on == ("job3",)
    assert (await replaces.submit({})).going_on == ("job3",)
    assert "kill_requested" not in cluster.types()


async def test_a_job_that_is_being_moved_does_not_go_on(cluster: Any) -> None:
    await cluster.say(*ENDED[:6], *runs("job3"), make.move_requested("job3", of=SPEC))
    assert (await replacement(cluster, PARTLY_CHANGED).compare()).rerun == ("job2", "job3")
