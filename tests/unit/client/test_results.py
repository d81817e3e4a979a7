"""A reader of results gets the same from the scheduler's answer as from a fold, and reads much less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client_kit import (
    WITH_AND_WITHOUT_SCHEDULER,
    CountingLog,
    MemoryCluster,
    NobodyAnswers,
    SchedulerAnswers,
    left,
)
from distribute.client.pull.filters import Filter
from distribute.client.pull.listing import Listing, list_results
from distribute.client.pull.target_folder import shown
from distribute.client.results import outputs_listed, read_results
from distribute.core.errors import LogReplaced
from distribute.core.files.manifest import Outputs, StoredFile
from distribute.core.log.events import Event
from distribute.testing import builders as make

SPEC = make.batch(6, retries=1)


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A cluster with a batch. No job of it has run."""
    cluster: Any = MemoryCluster(tmp_path)
    cluster.log = CountingLog()
    cluster.queries = (
        SchedulerAnswers(cluster.log) if request.param in WITH_AND_WITHOUT_SCHEDULER[1:] else NobodyAnswers()
    )
    await cluster.say(make.joined("ws1"), make.joined("ws2"), make.submitted(SPEC))
    return cluster


def outputs(path: str) -> Outputs:
    """A job left one empty file."""
    return left(StoredFile(path=path, size_bytes=0, sha256="0" * 64))


def ended(job: str, path: str | None, **fields: Any) -> Event:
    return make.finished(job, outputs=None if path is None else outputs(path), **fields)


async def run(cluster: Any, job: str, path: str | None, *, attempt: int = 1, **fields: Any) -> None:
    """Run one attempt to its end. It leaves one file, which is not archived yet."""
    at = {"attempt": attempt}
    await cluster.say(make.assigned(job, **at), make.claimed(job, **at), ended(job, path, **at, **fields))


def paths(listing: Listing) -> list[str]:
    return [shown(wanted.parts).removeprefix("sweep/") for _, wanted in listing.files]


async def test_listed_is_the_last_attempt_that_is_archived_of_each_job(cluster: Any) -> None:
    await run(cluster, "job3", "not archived yet")
    await run(cluster, "job2", "archived")
    await run(cluster, "job1", "archived first", succeeded=False)
    await cluster.say(make.job_archived("job1"), make.job_archived("job2"))
    await run(cluster, "job4", "replaced", succeeded=False)
    await cluster.say(make.job_archived("job4"))
    await run(cluster, "job4", "second", attempt=2)
    await cluster.say(make.job_archived("job4", attempt=2))
    await run(cluster, "job5", "gone")
    await cluster.say(make.job_archived("job5", missing="chunk 3"))
    await run(cluster, "job6", None)
    await cluster.say(make.assigned("job1", attempt=2))
    listing = await list_results(cluster, SPEC.id, Filter())
    assert paths(listing) == ["job2/archived", "job1/archived first", "job4/second"]
    assert [shown(parts) for parts in listing.folders] == [
        f"sweep/{job}" for job in ("job2", "job1", "job4", "job6")
    ]
    assert (listing.jobs, listing.complete) == (4, False)
    assert listing.problems == ["lab/sweep/job5: its results are gone: chunk 3"]


async def test_what_a_job_left_where_it_was_given_back_is_listed_until_it_ends_elsewhere(
    cluster: Any,
) -> None:
    given_back = make.yielded("job1", outputs=outputs("half"))
    await cluster.say(make.assigned("job1"), make.claimed("job1"), given_back)
    assert paths(await list_results(cluster, SPEC.id, Filter())) == []
    await cluster.say(make.job_archived("job1"))
    assert paths(await list_results(cluster, SPEC.id, Filter())) == ["job1/half"]
    await run(cluster, "job1", "whole", attempt=2)
    await cluster.say(make.job_archived("job1", attempt=2))
    assert paths(await list_results(cluster, SPEC.id, Filter())) == ["job1/whole"]


async def test_forged_events_list_nothing(cluster: Any) -> None:
    await cluster.say(make.assigned("job1"), make.claimed("job1"))
    for forged in ("ws2", "ws1"):  # another's; one that no event of the attempt has caused
        event = ended("job1", "forged", node=forged)
        await cluster.say(event.model_copy(update={"causation": "01J00000000000000000000000"}))
    await cluster.say(make.job_archived("job1"))
    await cluster.say(ended("job1", "true"), ended("job1", "said again"), ended("job2", "never ran"))
    await cluster.say(make.job_archived("job1"), make.job_archived("job2"))
    assert paths(await list_results(cluster, SPEC.id, Filter())) == ["job1/true"]


async def test_results_of_a_deleted_batch_of_the_same_name_are_not_listed(cluster: Any) -> None:
    await run(cluster, "job1", "of the deleted one")
    await cluster.say(
        make.job_archived("job1"), make.build_started("ws1", SPEC), make.build_finished("ws1", SPEC)
    )
    await cluster.say(make.kill_requested(SPEC), make.completed(SPEC, state="killed"), make.deleted(SPEC))
    again = make.submitted(SPEC)
    await cluster.say(again)
    assert paths(await list_results(cluster, SPEC.id, Filter())) == []
    await run(cluster, "job2", "of this one")
    await cluster.say(make.job_archived("job2"))
    assert paths(await list_results(cluster, SPEC.id, Filter())) == ["job2/of this one"]


@pytest.mark.parametrize("cluster", WITH_AND_WITHOUT_SCHEDULER[1:], indirect=True)
async def test_with_a_scheduler_only_what_lists_files_is_read(cluster: Any) -> None:
    for number in range(1, 7):
        await run(cluster, f"job{number}", "file")
        await cluster.say(make.job_archived(f"job{number}"))
    await cluster.say(make.build_started("ws1", SPEC), make.build_finished("ws1", SPEC))
    cluster.log.read = 0
    assert len(paths(await list_results(cluster, SPEC.id, Filter()))) == 6
    assert cluster.log.read == 6 + len(("submitted", "build_started", "build_finished"))


@pytest.mark.parametrize("cluster", WITH_AND_WITHOUT_SCHEDULER[1:], indirect=True)
async def test_results_whose_events_the_log_lacks_are_a_problem(cluster: Any) -> None:
    await run(cluster, "job1", "file")
    await cluster.say(make.job_archived("job1"))
    cluster.log.hidden = {"finished"}
    listing = await list_results(cluster, SPEC.id, Filter())
    assert listing.problems == ["lab/sweep: the log has lost what lists the results of 1 job"]


async def test_results_are_read_again_if_the_log_has_lost_the_events_that_list_them(cluster: Any) -> None:
    await run(cluster, "job1", "file")
    await cluster.say(make.job_archived("job1"))
    results = await read_results(cluster, SPEC.id)
    listing = outputs_listed(cluster, SPEC.id, results)
    await cluster.log.replace(keeps=5)
    with pytest.raises(LogReplaced):
        await anext(listing)
    assert paths(await list_results(cluster, SPEC.id, Filter())) == []


@pytest.mark.parametrize(
    "answer", [b'{"seq":{now}}', b'{"seq":{now},"course":{},"seqs":[1,"x"],"missing":{}}']
)
async def test_an_answer_of_another_versions_scheduler_is_passed_over(cluster: Any, answer: bytes) -> None:
    await run(cluster, "job1", "file")
    await cluster.say(make.job_archived("job1"))

    class Another(NobodyAnswers):
        async def ask(self, verb: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
            return answer.replace(b"{now}", str(cluster.log.stored.last_seq).encode())

    cluster.queries = Another()
    assert paths(await list_results(cluster, SPEC.id, Filter())) == ["job1/file"]
