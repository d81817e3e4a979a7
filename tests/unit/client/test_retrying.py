"""A person has jobs run again that failed or were killed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, WITH_AND_WITHOUT_SCHEDULER, MemoryCluster
from distribute.client import retrying
from distribute.client.batch_log import read_standing
from distribute.client.queries import Queries
from distribute.client.retrying import Retried, matching_jobs, retry
from distribute.core.errors import Refused
from distribute.core.ids import BatchId
from distribute.testing import builders as make

SPEC = make.batch(4)
HAS_ENDED = (
    make.joined(),
    make.submitted(SPEC),
    make.kill_requested(SPEC, "job3"),
    *(event for job in ("job1", "job2", "job4") for event in (make.assigned(job), make.claimed(job))),
    make.finished("job1", succeeded=False),
    make.finished("job2", succeeded=False),
    make.finished("job4"),
    make.completed(SPEC, state="failed"),
)
"""Jobs 1 and 2 failed, job 3 was killed, job 4 succeeded."""


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


def said(cluster: Any) -> list[dict[str, Any]]:
    """What the retries in the log say."""
    events = [one.event for one in cluster.log.stored.between(0, cluster.log.stored.last_seq)]
    fields = {"failed_only", "killed_only", "jobs", "author"}
    return [event.model_dump(include=fields) for event in events if event.type == "retry_requested"]


async def jane_retries(cluster: Any, *jobs: str, **how: Any) -> Retried:
    return await retry(cluster, Queries(cluster), JANE, SPEC.id, jobs, **how)


@pytest.mark.parametrize(
    ("only", "retried", "flags"),
    [(None, (2, 1), (False, None)), ("failed", (2, 0), (True, None)), ("killed", (0, 1), (False, True))],
)
async def test_all_jobs_of_a_kind_run_again(cluster: Any, only: Any, retried: Any, flags: Any) -> None:
    await cluster.say(*HAS_ENDED)
    assert await jane_retries(cluster, only=only) == retried
    (event,) = said(cluster)
    assert (event["failed_only"], event["killed_only"]) == flags
    assert (event["jobs"], event["author"]) == (None, "jane")


async def test_jobs_run_again_once_the_batch_is_released(cluster: Any) -> None:
    await cluster.say(*HAS_ENDED)
    await jane_retries(cluster, "job1", hold=True)
    course, _ = await read_standing(cluster, SPEC.id)
    assert (course.end, course.held_by) == (None, "jane")


async def test_chosen_jobs_run_again_each_once(cluster: Any) -> None:
    await cluster.say(*HAS_ENDED)
    assert await jane_retries(cluster, "job3", "job1", "job3") == (1, 1)
    assert said(cluster)[0]["jobs"] == ("job3", "job1")


@pytest.mark.parametrize(
    ("pattern", "only", "found"),
    [
        ("job", None, ["job1", "job2", "job3"]),
        ("[23]$", None, ["job2", "job3"]),
        ("job", "killed", ["job3"]),
        ("4", None, []),
    ],
)
async def test_jobs_are_found_by_a_regular_expression(
    cluster: Any, pattern: str, only: Any, found: list[str]
) -> None:
    await cluster.say(*HAS_ENDED)
    queries = Queries(cluster)
    assert await matching_jobs(queries, SPEC.id, re.compile(pattern), only=only) == found


async def test_very_many_chosen_jobs_are_named_in_several_events(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "MAX_RETRIED", 2)
    await cluster.say(*HAS_ENDED)
    assert await jane_retries(cluster, "job1", "job2", "job3") == (2, 1)
    assert [event["jobs"] for event in said(cluster)] == [("job1", "job2"), ("job3",)]


async def test_a_dry_retry_says_the_same_and_changes_nothing(cluster: Any) -> None:
    await cluster.say(*HAS_ENDED)
    assert await jane_retries(cluster, dry=True) == (2, 1)
    assert await jane_retries(cluster, "job1", dry=True) == (1, 0)
    assert said(cluster) == []


@pytest.mark.parametrize(
    ("jobs", "how", "message"),
    [
        (
            ["job4"],
            {},
            r"that failed or were killed run again; of lab/sweep, not job4 \(succeeded\)",
        ),
        (
            ["job1", "job3"],
            {"only": "failed"},
            r"that failed run again; of lab/sweep, not job3 \(killed\)",
        ),
        (["job9"], {}, "lab/sweep has no job 'job9'"),
    ],
)
async def test_jobs_that_can_not_be_retried_are_named(
    cluster: Any, jobs: list[str], how: Any, message: str
) -> None:
    await cluster.say(*HAS_ENDED)
    with pytest.raises(Refused, match=message):
        await jane_retries(cluster, *jobs, **how)
    assert said(cluster) == []


@pytest.mark.parametrize(
    ("only", "message"),
    [
        (None, "no jobs of lab/sweep failed or were killed: there is nothing to retry"),
        ("failed", "no jobs of lab/sweep failed: there is nothing to retry"),
        ("killed", "no jobs of lab/sweep were killed: there is nothing to retry"),
    ],
)
async def test_a_batch_of_which_nothing_failed_is_not_retried(cluster: Any, only: Any, message: str) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC))
    with pytest.raises(Refused, match=message):
        await jane_retries(cluster, only=only)
    assert said(cluster) == []


async def test_a_batch_that_is_being_killed_is_not_retried(cluster: Any) -> None:
    await cluster.say(*HAS_ENDED[:5], make.kill_requested(SPEC))
    with pytest.raises(Refused, match="lab/sweep is still being killed: wait until it is over"):
        await jane_retries(cluster)


async def test_a_batch_that_ran_elsewhere_is_not_retried(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC, ran_at=make.RAN_AT))
    with pytest.raises(Refused, match="lab/sweep ran at slurm, and nothing here runs it"):
        await jane_retries(cluster)


async def test_an_unknown_batch_is_named(cluster: Any) -> None:
    with pytest.raises(Refused, match="there is no batch lab/none"):
        await retry(cluster, Queries(cluster), JANE, BatchId("lab", "none"))


async def test_another_persons_batch_is_retried_only_by_force(cluster: Any) -> None:
    await cluster.say(make.joined(), make.submitted(SPEC, user="bob"), *HAS_ENDED[2:])
    with pytest.raises(
        Refused, match="lab/sweep is bob's batch, and you are jane: it takes force to retry it"
    ):
        await jane_retries(cluster)
    assert await jane_retries(cluster, force=True) == (2, 1)
    assert len(said(cluster)) == 1
