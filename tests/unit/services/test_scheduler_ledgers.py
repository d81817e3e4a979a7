"""The scheduler tells in one answer what a client would read of a job's life, if that takes few events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import orjson
import pytest

from distribute.client.ledger import TooManyEvents, read_ledger
from distribute.client.ledger_document import ledger_document, log_time
from distribute.client.queries import Queries
from distribute.client.why import read_why
from distribute.core.errors import UnknownName
from distribute.core.ids import JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, guard_scope
from distribute.core.scheduling.liveness import Lease
from distribute.core.spec.specs import BatchSpec
from distribute.memory.cluster import MemoryCluster
from distribute.memory.store import FileStore
from distribute.testing import builders as make
from distribute_services.scheduler import ledgers
from distribute_services.scheduler.ledgers import Ledgers
from distribute_services.scheduler.service import SchedulerService

SPEC = make.batch(3)
LIMITED = make.batch(3, batch="limited", max_running=1)
WAITING = make.batch(1, batch="waiting", capabilities=frozenset({"fortran"}))
ENDED = make.batch(1, batch="ended")
HOUR_S = 3600.0


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[MemoryCluster]:
    """Jobs that are over and that wait, an hour from one event to the next.

    The scheduler only answers: it has nothing to decide, for the only node has gone.
    """
    hours = count(time.time() - 100 * HOUR_S, HOUR_S)
    cluster = MemoryCluster(FileStore(tmp_path), clock=lambda: next(hours))
    await _say(cluster, make.joined(), make.submitted(ENDED))
    await _say(cluster, *_finished(ENDED, 1), make.completed(ENDED), make.batch_archived(ENDED))
    for spec in (SPEC, LIMITED):
        await _say(cluster, make.paused("ws1"), make.submitted(spec), make.resumed("ws1"))
        await _say(cluster, *_finished(spec, 1), make.assigned(_job(spec, 2)), make.released(_job(spec, 2)))
    await _say(cluster, make.submitted(WAITING), make.left("ws1"))
    stop, before = asyncio.Event(), await cluster.log.last_seq()
    async with asyncio.TaskGroup() as group:
        group.create_task(SchedulerService(cluster, Lease()).run(stop))
        while ("life", None) not in cluster.queries._handlers:  # noqa: ASYNC110
            await asyncio.sleep(0)
        yield cluster
        stop.set()
    assert await cluster.log.last_seq() == before


def _finished(spec: BatchSpec, number: int) -> Iterator[Event]:
    job = _job(spec, number)
    yield from (make.assigned(job), make.claimed(job), make.started(job), make.finished(job, outputs=None))


async def _say(cluster: MemoryCluster, *events: Event) -> None:
    for event in events:
        last = await cluster.log.last(guard_scope(event))
        await cluster.log.append(event, Guard(last.seq if last is not None else 0))


def _job(spec: BatchSpec, number: int) -> JobId:
    return JobId(*spec.id, f"job{number}")


JOBS = [*(_job(spec, number) for spec in (SPEC, LIMITED) for number in (1, 2, 3)), _job(WAITING, 1)]
JOBS.append(_job(ENDED, 1))


@pytest.mark.parametrize("job", JOBS, ids=str)
async def test_the_scheduler_tells_what_a_client_reads(cluster: MemoryCluster, job: JobId) -> None:
    told = await Queries(cluster).life(job)
    assert told is not None
    ledger = (await read_ledger(cluster, job)).ledger(log_time(told["asked_at"]))
    assert ledger is not None
    assert told["ledger"] == ledger_document(ledger)
    why = await Queries(cluster).why(job)
    moments = {"asked_at", "start"}
    assert {key: value for key, value in why.items() if key not in moments} == {
        key: value for key, value in told.items() if key not in {*moments, *job._asdict(), "ledger"}
    }


@pytest.mark.parametrize("job", [_job(ENDED, 1), _job(LIMITED, 1)], ids=str)
async def test_a_client_reads_a_long_ledger_itself(
    cluster: MemoryCluster, job: JobId, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = Queries(cluster)
    short = await read_why(cluster, queries, job)
    monkeypatch.setattr(ledgers, "MOST_EVENTS", 0)
    assert await queries.life(job) is None
    long = await read_why(cluster, queries, job)
    assert list(long) == list(short)
    assert {**long, "asked_at": None} == {**short, "asked_at": None}


async def test_one_ledger_is_read_at_a_time(cluster: MemoryCluster) -> None:
    some = Ledgers(cluster)
    first, second = await asyncio.gather(some.read(JOBS[0]), some.read(JOBS[1]))
    assert first is not None
    assert second is None
    assert await some.read(JOBS[1]) is not None


@pytest.mark.parametrize(
    ("job", "enough"),
    [(_job(SPEC, 1), 6), (_job(LIMITED, 1), 6 + 3 + 7), (_job(ENDED, 1), 1)],
    ids=["six of the node", "and the jobs and events of its batch", "those before the batch's end"],
)
async def test_a_ledger_takes_no_more_events_than_its_reader_allows(
    cluster: MemoryCluster, job: JobId, enough: int
) -> None:
    with pytest.raises(TooManyEvents):
        await read_ledger(cluster, job, most=enough - 1)
    assert (await read_ledger(cluster, job, most=enough)).exists


async def test_jobs_that_are_not_there_are_told_of_as_ever(cluster: MemoryCluster) -> None:
    queries = Queries(cluster)
    for job, message in (
        (_job(SPEC, 9), "lab/sweep has no job 'job9'"),
        (JobId("lab", "none", "job1"), "there is no batch lab/none"),
    ):
        assert await queries.life(job) is None
        with pytest.raises(UnknownName, match=message):
            await read_why(cluster, queries, job)


@pytest.mark.parametrize("job", ["", "a/b", 7, None])
async def test_a_question_that_names_no_job_is_refused(cluster: MemoryCluster, job: object) -> None:
    question = orjson.dumps({**SPEC.id._asdict(), "job": job})
    assert b"not a question" in await cluster.queries.ask("life", question)
