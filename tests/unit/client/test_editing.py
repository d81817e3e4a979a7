"""A person edits what has not started, and moves what runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, WITH_AND_WITHOUT_SCHEDULER, MemoryCluster
from distribute.client.editing import Changes, edit
from distribute.client.moving import move
from distribute.client.queries import Queries
from distribute.core.errors import InputError, Refused
from distribute.core.ids import BatchId, JobId
from distribute.core.log.change_events import MAX_EDITED
from distribute.core.spec.specs import MAX_NEEDS, Resources
from distribute.testing import builders as make

SPEC = make.batch(3)
RUNS = (make.joined(cpus=2), make.submitted(SPEC), make.assigned(), make.claimed(), make.started())
JOB = JobId(*SPEC.id, "job1")
NOBODYS = BatchId("lab", "none")


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


def said(cluster: Any) -> list[dict[str, Any]]:
    """What edits and moves say, without what every event has."""
    events = [one.event for one in cluster.log.stored.between(0, cluster.log.stored.last_seq)]
    without = {"id", "time", "causation", "namespace", "batch", "submission", "v", "type"}
    return [
        event.model_dump(exclude=without, exclude_none=True)
        for event in events
        if event.type in {"edited", "move_requested"}
    ]


async def jane_edits(
    cluster: Any, *jobs: str, batch: BatchId = SPEC.id, how: Any = None, **changes: Any
) -> Any:
    wanted = Changes(**changes)
    return await edit(cluster, Queries(cluster), JANE, batch, wanted, jobs=jobs, **(how or {}))


# --- edit ----------------------------------------------------------------------------------------------


async def test_an_edit_says_what_changes_and_what_does_not(cluster: Any) -> None:
    await cluster.say(*RUNS)
    found = await jane_edits(cluster, cpus=2, max_running=0)
    assert said(cluster) == [{"author": "jane", "cpus": 2, "max_running": 0}]
    assert (found["waiting"], found["in_flight"], found["over"]) == (2, 1, 0)


async def test_jobs_are_named_once_each(cluster: Any) -> None:
    await cluster.say(*RUNS)
    found = await jane_edits(cluster, "job3", "job2", "job3", timeout_s=60.0)
    assert said(cluster) == [{"author": "jane", "jobs": ("job3", "job2"), "timeout_s": 60.0}]
    assert (found["waiting"], found["in_flight"]) == (2, 0)


async def test_a_dry_edit_checks_the_same_and_asks_for_nothing(cluster: Any) -> None:
    await cluster.say(*RUNS)
    with pytest.raises(Refused, match="no node has 9 cpus for one job; the largest has 2 cpus"):
        await jane_edits(cluster, cpus=9, how={"dry": True})
    assert (await jane_edits(cluster, cpus=2, how={"dry": True}))["waiting"] == 2
    assert said(cluster) == []


async def test_what_no_node_could_run_needs_anyway(cluster: Any) -> None:
    await cluster.say(*RUNS)
    found = await jane_edits(cluster, cpus=9, how={"anyway": True})
    assert found["match"]["problem"] == "no node is large enough"
    assert said(cluster) == [{"author": "jane", "cpus": 9}]


@pytest.mark.parametrize("changes", [{"max_running": 1}, {"timeout_s": 60.0}, {"retries": 1}])
async def test_what_does_not_change_what_jobs_ask_of_a_node_needs_no_node(
    cluster: Any, changes: dict[str, Any]
) -> None:
    await cluster.say(make.joined(cpus=2), make.submitted(make.batch(3, resources=Resources(cpus=9))))
    await jane_edits(cluster, **changes)
    assert said(cluster) == [{"author": "jane", **changes}]


@pytest.mark.parametrize(
    ("jobs", "changes", "words"),
    [
        ((), {}, "say what to change"),
        (("job2",), {"max_running": 1}, "are of the whole batch: name no jobs with them"),
        (("job2",) * (MAX_EDITED + 1), {"cpus": 1}, f"one edit can name {MAX_EDITED}"),
    ],
)
async def test_changes_that_do_not_fit_together_are_refused(
    cluster: Any, jobs: tuple[str, ...], changes: dict[str, Any], words: str
) -> None:
    await cluster.say(*RUNS)
    with pytest.raises(InputError, match=words):
        await jane_edits(cluster, *jobs, **changes)


async def test_what_makes_no_sense_is_refused(cluster: Any) -> None:
    with pytest.raises(Refused, match="there is no batch lab/none"):
        await jane_edits(cluster, batch=NOBODYS, cpus=1)
    await cluster.say(*RUNS)
    with pytest.raises(Refused, match="lab/sweep has no job 'nobody'"):
        await jane_edits(cluster, "job2", "nobody", cpus=1)
    with pytest.raises(Refused, match="no job of lab/sweep that you would edit waits"):
        await jane_edits(cluster, "job1", cpus=1)
    await cluster.say(make.released(reason="killed"), make.kill_requested(SPEC))
    await cluster.say(make.completed(SPEC, state="killed"))
    with pytest.raises(Refused, match="lab/sweep is over: there is nothing to edit"):
        await jane_edits(cluster, cpus=1)
    assert said(cluster) == []


async def test_a_whole_node_can_not_get_memory_without_cpus(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(make.batch(2, resources=None)))
    with pytest.raises(InputError, match="2 jobs of lab/sweep would take a whole node: say how many cpus"):
        await jane_edits(cluster, memory_bytes=1)
    await jane_edits(cluster, memory_bytes=1, cpus=1)
    assert said(cluster) == [{"author": "jane", "cpus": 1, "memory_bytes": 1}]


async def test_a_batch_has_no_more_needs_than_the_scheduler_bears(cluster: Any) -> None:
    jobs = [make.job(f"job{n}", resources=Resources(memory_bytes=n)) for n in range(MAX_NEEDS)]
    jobs.append(make.job("one more", resources=Resources(memory_bytes=1)))
    await cluster.say(make.joined(), make.submitted(make.batch(jobs)))
    with pytest.raises(Refused, match=f"would have {MAX_NEEDS + 1} different needs"):
        await jane_edits(cluster, "one more", retries=1)


async def test_another_persons_batch_needs_force(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC, user="bob"), *RUNS[2:])
    with pytest.raises(
        Refused, match="lab/sweep is bob's batch, and you are jane: it takes force to edit it"
    ):
        await jane_edits(cluster, cpus=1)
    with pytest.raises(Refused, match="it takes force to move it"):
        await move(cluster, Queries(cluster), JANE, JOB)
    await jane_edits(cluster, cpus=1, how={"force": True})
    await move(cluster, Queries(cluster), JANE, JOB, force=True)
    assert [event["author"] for event in said(cluster)] == ["jane", "jane"]


# --- move ----------------------------------------------------------------------------------------------


async def test_a_move_names_the_attempt_and_says_who_else_could_take_it(cluster: Any) -> None:
    await cluster.say(*RUNS, make.joined("ws2"), make.joined("ws3"))
    moving = await move(cluster, Queries(cluster), JANE, JOB, dry=True)
    assert (moving.node, moving.attempt, moving.moved_by, moving.others) == ("ws1", 1, None, 2)
    assert said(cluster) == []
    await move(cluster, Queries(cluster), JANE, JOB)
    assert said(cluster) == [{"author": "jane", "job": "job1", "attempt": 1}]


async def test_a_move_says_who_holds_the_batch(cluster: Any) -> None:
    await cluster.say(*RUNS, make.joined("ws2"))
    assert (await move(cluster, Queries(cluster), JANE, JOB, dry=True)).held_by is None
    await cluster.say(make.held(SPEC, by="bob"))
    assert (await move(cluster, Queries(cluster), JANE, JOB, dry=True)).held_by == "bob"


async def test_a_node_that_is_gone_is_none_of_those_that_could_run_its_job(cluster: Any) -> None:
    await cluster.say(*RUNS, make.joined("ws2"), make.lost("ws1"))
    assert (await move(cluster, Queries(cluster), JANE, JOB, dry=True)).others == 1


async def test_a_job_that_is_moved_already_is_not_moved_again(cluster: Any) -> None:
    await cluster.say(*RUNS, make.move_requested(of=SPEC, by="bob"))
    assert (await move(cluster, Queries(cluster), JANE, JOB)).moved_by == "bob"
    assert len(said(cluster)) == 1


async def test_only_a_job_that_a_node_has_can_be_moved(cluster: Any) -> None:
    queries = Queries(cluster)
    await cluster.say(*RUNS)
    with pytest.raises(Refused, match="lab/sweep/job2 waits: only a job that a node has can be moved"):
        await move(cluster, queries, JANE, JobId(*SPEC.id, "job2"))
    with pytest.raises(Refused, match="lab/sweep has no job 'nobody'"):
        await move(cluster, queries, JANE, JobId(*SPEC.id, "nobody"))
    with pytest.raises(Refused, match="there is no batch lab/none"):
        await move(cluster, queries, JANE, JobId(*NOBODYS, "job1"))
    await cluster.say(make.kill_requested(SPEC, "job1", by="bob"))
    with pytest.raises(Refused, match="lab/sweep/job1 is being killed by bob: it can't be moved"):
        await move(cluster, queries, JANE, JOB)
    await cluster.say(make.finished(succeeded=False))
    with pytest.raises(Refused, match=r"lab/sweep/job1 is over \(killed\)"):
        await move(cluster, queries, JANE, JOB)
    assert said(cluster) == []


async def test_a_job_that_would_not_begin_again_is_not_moved(cluster: Any) -> None:
    """So many jobs of its batch failed that no other begins."""
    spec = make.batch(3, max_failures=1, retries=0)
    await cluster.say(make.joined(cpus=2), make.submitted(spec))
    for job in ("job1", "job2"):
        await cluster.say(make.assigned(job), make.claimed(job), make.started(job))
    await move(cluster, Queries(cluster), JANE, JOB, dry=True)
    await cluster.say(make.finished("job2", succeeded=False))
    with pytest.raises(Refused, match=r"lab/sweep begins no further job \(max_failures\)"):
        await move(cluster, Queries(cluster), JANE, JOB)
    assert said(cluster) == []
