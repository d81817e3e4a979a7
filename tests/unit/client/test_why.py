"""Why a job waits, and the ledger of its life, as a client reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from client_kit import WITH_AND_WITHOUT_SCHEDULER, CountingLog, MemoryCluster, SchedulerAnswers
from distribute.client.ledger import read_ledger
from distribute.client.queries import Queries
from distribute.client.replaying import PastQueries
from distribute.client.why import read_why
from distribute.core.errors import UnknownName
from distribute.core.ids import JobId
from distribute.core.spec.specs import After
from distribute.saved.writing import save
from distribute.testing import builders as make
from saved_kit import HEADER, CountedCluster

SPEC = make.batch(2)
JOB = JobId(*SPEC.id, "job1")


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


async def why(cluster: Any, job: JobId = JOB) -> Any:
    queries = Queries(cluster, clock=lambda: datetime.now(UTC).timestamp())
    return await read_why(cluster, queries, job)


async def test_a_waiting_job_says_what_it_waits_for_and_for_how_long(cluster: Any) -> None:
    await cluster.say(make.joined(capabilities=frozenset()), make.submitted(SPEC))
    found = await why(cluster)
    assert (found["state"], found["waits_for"], found["ledger"]["over"]) == ("queued", "turn", False)
    assert [verdict["node"] for verdict in found["nodes"]] == ["ws1"]
    assert {entry["phase"] for entry in found["ledger"]["entries"]} <= {"turn"}


@pytest.mark.parametrize("limits", [{}, {"max_running": 1}])
async def test_the_ledger_of_a_job_that_is_over_adds_up(cluster: Any, limits: dict[str, int]) -> None:
    await cluster.say(make.joined(), make.submitted(make.batch(2, **limits)), make.assigned(), make.claimed())
    await cluster.say(make.finished(outputs=None))
    found = await why(cluster)
    ledger = found["ledger"]
    assert (found["state"], found["waits_for"], found["nodes"], ledger["over"]) == (
        "succeeded",
        None,
        [],
        True,
    )
    begin, end = (datetime.fromisoformat(ledger[key]) for key in ("submitted_at", "until"))
    assert ledger["total_s"] == pytest.approx((end - begin).total_seconds())
    assert sum(entry["seconds"] for entry in ledger["entries"]) == pytest.approx(ledger["total_s"])


async def test_the_events_of_other_jobs_are_not_read(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path, WITH_AND_WITHOUT_SCHEDULER[1])
    cluster.log = log = CountingLog()
    cluster.queries = SchedulerAnswers(log)
    jobs = [f"job{number}" for number in range(1, 51)]
    await cluster.say(make.joined(), make.submitted(make.batch(len(jobs))))
    for job in jobs[1:]:
        await cluster.say(make.assigned(job), make.claimed(job), make.finished(job, outputs=None))
    await cluster.say(make.joined("ws2"), make.assigned())
    before = log.read
    assert (await read_ledger(cluster, JOB)).exists
    assert log.read - before == 3, "two of nodes, and the job's own"


async def test_a_limit_that_a_person_gave_the_batch_counts(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path, WITH_AND_WITHOUT_SCHEDULER[1])
    submitted = make.submitted(SPEC)
    await cluster.say(make.joined(), submitted, make.edited(SPEC, submission=submitted.id, max_running=1))
    await cluster.say(make.assigned("job2"))
    ledger = (await read_ledger(cluster, JOB)).ledger(datetime.now(UTC).timestamp() + 5)
    assert ledger is not None
    assert ledger.entries[-1].phase == "batch"


async def test_a_saved_log_says_the_same_and_is_read_thrice(tmp_path: Path) -> None:
    """For the specification, the ledger, and the state."""
    cluster = MemoryCluster(tmp_path, WITH_AND_WITHOUT_SCHEDULER[1])
    first = make.submitted(make.batch(1, batch="first"))
    after, job = After(namespace="lab", batch="first", submission=first.id), JobId("lab", "first", "job1")
    await cluster.say(
        make.joined(), make.joined("ws2"), first, make.submitted(make.batch(2, after=(after,))),
        make.assigned(job), make.lost("ws2"), make.claimed(job), make.finished(job, outputs=None),
        make.completed(first.spec, submission=first.id), make.joined("ws2"),
        make.assigned(), make.claimed(), make.lost(),
    )  # fmt: skip
    await save(cluster.log, tmp_path / "log.gz", HEADER)
    saved = CountedCluster(tmp_path / "log.gz")
    now = ((await saved.log.end()).time or 0.0) + 5
    assert await read_why(saved, PastQueries(saved, None, now), JOB) == await read_why(
        cluster, Queries(cluster, clock=lambda: now), JOB
    )
    assert saved.reads == 4, "and for the end of the other batch"


@pytest.mark.parametrize("ran_again", [False, True])
async def test_a_forged_end_of_the_batch_that_it_waits_for_ends_no_wait(
    cluster: Any, tmp_path: Path, ran_again: bool
) -> None:
    """Nor does it in a saved log, and if few events don't tell because people had that batch run again."""
    first, other = make.submitted(make.batch(2, batch="first")), JobId("lab", "first", "job2")
    after = After(namespace="lab", batch="first", submission=first.id, when="any")
    job = JobId("lab", "first", "job1")
    await cluster.say(
        make.joined(), first, make.submitted(make.batch(2, after=(after,))),
        make.assigned(job), make.claimed(job), make.finished(job, succeeded=False, outputs=None),
    )  # fmt: skip
    if ran_again:
        await cluster.say(make.retry_requested(first.spec), make.assigned(job, attempt=2))
    forged = make.completed(first.spec, submission=first.id, state="failed", reason="forged")
    await cluster.say(make.assigned(other), make.claimed(other), forged, make.joined("ws2"))
    await save(cluster.log, tmp_path / "log.gz", HEADER)
    saved, at = CountedCluster(tmp_path / "log.gz"), datetime.now(UTC).timestamp() + 5
    for read in (cluster, saved):
        ledger = (await read_ledger(read, JOB)).ledger(at)
        assert ledger is not None
        assert [entry.phase for entry in ledger.entries] == ["batch"]


async def test_a_forged_submission_hides_no_wait_for_another_batch(cluster: Any, tmp_path: Path) -> None:
    first = make.submitted(make.batch(1, batch="first"))
    after, job = After(namespace="lab", batch="first", submission=first.id), JobId("lab", "first", "job1")
    await cluster.say(make.joined(), first, make.submitted(make.batch(2, after=(after,))))
    await cluster.say(make.assigned(job), make.claimed(job), make.finished(job, outputs=None))
    await cluster.say(make.completed(first.spec, submission=first.id), make.submitted(SPEC))
    await save(cluster.log, tmp_path / "log.gz", HEADER)
    at = datetime.now(UTC).timestamp() + 5
    for read in (cluster, CountedCluster(tmp_path / "log.gz")):
        ledger = (await read_ledger(read, JOB)).ledger(at)
        assert ledger is not None
        assert ledger.entries[-1].phase == "turn", "it knows that the other has ended"


async def test_a_batch_that_is_waited_for_may_go_on_in_another_one_and_end_as_that(
    cluster: Any, tmp_path: Path
) -> None:
    spec = make.batch(1, batch="first")
    first = make.submitted(spec)
    after = After(namespace="lab", batch="first", submission=first.id, when="any")
    await cluster.say(make.joined(), first, make.held(spec), make.submitted(spec, replaces=first.id))
    await cluster.say(make.kill_requested(spec), make.completed(spec, state="killed"))
    await cluster.say(make.submitted(make.batch(2, after=(after,))))
    await save(cluster.log, tmp_path / "log.gz", HEADER)
    at = datetime.now(UTC).timestamp() + 5
    for read in (cluster, CountedCluster(tmp_path / "log.gz")):
        ledger = (await read_ledger(read, JOB)).ledger(at)
        assert ledger is not None
        assert ledger.entries[-1].phase == "turn", "it waits for nobody"


async def test_of_the_batch_that_it_waits_for_no_jobs_are_read(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path, WITH_AND_WITHOUT_SCHEDULER[1])
    cluster.log = log = CountingLog()
    cluster.queries = SchedulerAnswers(log)
    first = make.submitted(make.batch(20, batch="first"))
    after = After(namespace="lab", batch="first", submission=first.id)
    await cluster.say(make.joined(), first, make.submitted(make.batch(2, after=(after,))))
    for number in range(1, 21):
        job = JobId("lab", "first", f"job{number}")
        await cluster.say(make.assigned(job), make.claimed(job), make.finished(job, outputs=None))
    await cluster.say(make.completed(first.spec, submission=first.id), make.assigned())
    before = log.read
    assert (await read_ledger(cluster, JOB)).exists
    assert log.read - before == 3, "one of the node, the other's end, and the job's own"


async def test_an_unknown_job_and_batch_are_named(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC))
    with pytest.raises(UnknownName, match="lab/sweep has no job 'job9'"):
        await why(cluster, JobId(*SPEC.id, "job9"))
    with pytest.raises(UnknownName, match="there is no batch lab/none;"):
        await why(cluster, JobId("lab", "none", "job1"))


async def test_of_a_deleted_batch_it_is_told_who_deleted_it_and_when(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC), make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
    await cluster.say(make.deleted(SPEC))
    with pytest.raises(UnknownName, match=r"no batch lab/sweep any more: jane deleted it at 20\d\d-"):
        await why(cluster)


async def test_a_word_about_a_node_counts_although_it_follows_one_that_changes_nothing(
    tmp_path: Path,
) -> None:
    cluster = MemoryCluster(tmp_path, WITH_AND_WITHOUT_SCHEDULER[1])
    asked = make.pause_requested()
    await cluster.say(make.joined(), make.submitted(SPEC), asked, make.lost(causation=asked.id))
    ledger = (await read_ledger(cluster, JOB)).ledger(datetime.now(UTC).timestamp() + 5)
    assert ledger is not None
    assert ledger.entries[-1].phase == "node"
