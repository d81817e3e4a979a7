"""Waiting for a batch ends with the end that the fold accepts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from client_kit import WITH_AND_WITHOUT_SCHEDULER, CountingLog, MemoryCluster, NobodyAnswers, SchedulerAnswers
from distribute.client.documents import BatchDocument
from distribute.client.follow import follow_to_end
from distribute.core.errors import Refused
from distribute.testing import builders as make

SPEC = make.batch(2)
HALF = (
    make.joined(),
    make.submitted(SPEC),
    make.assigned("job1"),
    make.claimed("job1"),
    make.finished("job1"),
)
REST = (make.job_archived("job1"), make.assigned("job2"), make.claimed("job2"))


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


async def test_an_end_that_the_fold_refuses_is_not_believed(cluster: Any) -> None:
    told: list[tuple[str, int]] = []

    def note(found: BatchDocument) -> None:
        told.append((found["state"], found["jobs"]["succeeded"]))

    await cluster.say(*HALF, make.completed(SPEC), make.batch_archived(SPEC))
    following = asyncio.create_task(follow_to_end(cluster, SPEC.id, on_figures=note))
    await cluster.say(*REST, make.completed(SPEC), make.batch_archived(SPEC))
    await asyncio.sleep(0)
    assert not following.done()
    await cluster.say(make.finished("job2", succeeded=False), make.job_archived("job2"))
    await cluster.say(make.completed(SPEC, state="failed", reason="a reason"), make.batch_archived(SPEC))
    ended = await following
    assert (ended["state"], ended["reason"], ended["archived"]) == ("failed", "a reason", True)
    assert (ended["jobs"]["succeeded"], ended["jobs"]["failed"]) == (1, 1)
    assert told[0] == ("running", 1)
    assert told[-1] == ("failed", 1)


async def test_waiting_includes_archiving_only_if_asked(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC), make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
    assert not (await follow_to_end(cluster, SPEC.id, archived=False))["archived"]
    following = asyncio.create_task(follow_to_end(cluster, SPEC.id))
    await asyncio.sleep(0)
    assert not following.done()
    await cluster.say(make.batch_archived(SPEC))
    assert (await following)["archived"]


async def test_a_log_that_is_replaced_is_read_again(cluster: Any) -> None:
    """What was read from the old log is dropped: here, that the batch was over."""
    await cluster.say(make.submitted(SPEC), make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
    following = asyncio.create_task(follow_to_end(cluster, SPEC.id))
    await asyncio.sleep(0)
    await cluster.log.replace(keeps=2)
    await cluster.say(make.completed(SPEC, state="failed"), make.batch_archived(SPEC))
    async with asyncio.timeout(60):
        assert (await following)["state"] == "failed"


async def test_waiting_for_a_missing_or_deleted_batch_is_refused(cluster: Any) -> None:
    with pytest.raises(Refused, match="there is no batch lab/sweep"):
        await follow_to_end(cluster, SPEC.id)
    await cluster.say(make.submitted(SPEC), make.kill_requested(SPEC), make.completed(SPEC, state="killed"))
    following = asyncio.create_task(follow_to_end(cluster, SPEC.id))
    await cluster.say(make.deleted(SPEC))
    with pytest.raises(Refused, match="there is no batch lab/sweep"):
        await following


class Figures:
    """The numbers of jobs that succeeded, as they are told."""

    def __init__(self) -> None:
        self.succeeded: list[int] = []
        self.told = asyncio.Event()

    def __call__(self, standing: BatchDocument) -> None:
        self.succeeded.append(standing["jobs"]["succeeded"])
        self.told.set()


async def test_with_a_scheduler_only_what_comes_is_read(tmp_path: Path) -> None:
    cluster: Any = MemoryCluster(tmp_path)
    cluster.log = CountingLog()
    cluster.queries = SchedulerAnswers(cluster.log)
    await cluster.say(*HALF, *REST)
    figures = Figures()
    following = asyncio.create_task(follow_to_end(cluster, SPEC.id, archived=False, on_figures=figures))
    await figures.told.wait()
    assert cluster.log.read == 0
    end = (make.finished("job2"), make.completed(SPEC))
    await cluster.say(*end)
    assert (await following)["state"] == "completed"
    assert (figures.succeeded[0], figures.succeeded[-1]) == (1, 2)
    assert cluster.log.read <= len(end)


async def test_a_scheduler_that_falls_silent_is_not_waited_for(tmp_path: Path) -> None:
    cluster: Any = MemoryCluster(tmp_path, WITH_AND_WITHOUT_SCHEDULER[1])
    await cluster.say(*HALF, *REST)
    figures = Figures()
    following = asyncio.create_task(follow_to_end(cluster, SPEC.id, archived=False, on_figures=figures))
    await figures.told.wait()
    cluster.queries = NobodyAnswers()
    await cluster.say(make.finished("job2"), make.completed(SPEC))
    async with asyncio.timeout(60):
        assert (await following)["state"] == "completed"


async def test_a_scheduler_that_is_a_little_behind_is_asked_again(tmp_path: Path) -> None:
    cluster: Any = MemoryCluster(tmp_path)
    cluster.log = CountingLog()

    class Behind(SchedulerAnswers):
        """Has read the last event only when it is asked for the third time."""

        async def ask(self, verb: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
            self.until = None if len(self.asked) >= 2 else self._log.stored.last_seq - 1
            return await super().ask(verb, payload, timeout_s=timeout_s)

    cluster.queries = Behind(cluster.log)
    await cluster.say(*HALF, *REST, make.finished("job2"), make.completed(SPEC))
    assert (await follow_to_end(cluster, SPEC.id, archived=False))["state"] == "completed"
    assert (cluster.log.read, len(cluster.queries.asked)) == (0, 3)
