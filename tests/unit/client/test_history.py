"""The history of a batch, a job and a node, read from the log by their subjects alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from client_kit import WITH_AND_WITHOUT_SCHEDULER, CountingLog, MemoryCluster
from distribute.client.event_stream import check_types, last_before, stream
from distribute.client.history import batch_history, job_history, node_history, told_document
from distribute.codec import decode, encode
from distribute.core.errors import InputError, UnknownName
from distribute.core.ids import AttemptId, BatchId, JobId
from distribute.core.log.events import EVENT, Event
from distribute.core.log.recorded import Guard
from distribute.memory.log import MemoryLog
from distribute.ports import Raw
from distribute.saved.writing import save
from distribute.testing import builders as make
from saved_kit import HEADER, CountedCluster

SPEC = make.batch(300)
OTHER = make.batch(1, batch="other")
JOB = JobId(*SPEC.id, "job1")
NAMES = [job.name for job in SPEC.work.jobs]


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
async def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A lab in which a batch was killed and deleted, and another of its name runs."""
    cluster: Any = MemoryCluster(tmp_path, request.param)
    log = CountingLog()
    cluster.log = log
    if request.param == WITH_AND_WITHOUT_SCHEDULER[1]:
        cluster.queries._log = log
    await cluster.say(
        make.joined(), make.submitted(OTHER), make.submitted(SPEC), *map(make.assigned, NAMES),
        make.kill_requested(by="bob"), *(make.released(name, reason="killed") for name in NAMES),
        make.completed(state="killed"), make.deleted(), make.submitted(SPEC, user="ann"),
        make.assigned(), make.claimed(), make.lost(), make.joined("ws2"),
        make.submitted(make.batch(1, batch="third")),
    )  # fmt: skip
    log.read = 0
    return cluster


JOBS_TOLD = [
    "jane submitted lab/sweep: 300 jobs",
    "job1 was assigned to ws1",
    "bob kills lab/sweep",
    "job1 was taken from ws1: killed",
    "lab/sweep is over: killed",
    "jane deleted lab/sweep",
    "ann submitted lab/sweep: 300 jobs",
    "job1 was assigned to ws1",
    "job1 was claimed by ws1",
    "node ws1 is lost: silent for 1m1s",
]


async def test_a_batch_is_told_with_earlier_ones_of_its_name(cluster: Any) -> None:
    told = [one async for one in batch_history(cluster, SPEC.id)]
    assert len(told) == 2 * len(NAMES) + 8
    assert all(one.misfit is None for one in told)
    assert told[-4].sentence == "ann submitted lab/sweep: 300 jobs"
    assert "lab/sweep is over: 300 killed" in [one.sentence for one in told]


async def test_a_job_is_told_from_few_events_if_the_scheduler_answers(cluster: Any) -> None:
    told = [one async for one in job_history(cluster, JOB)]
    assert [one.sentence for one in told] == JOBS_TOLD
    assert all(one.misfit is None for one in told)
    reads_all = cluster.queries.__class__.__name__ == "NobodyAnswers"
    assert (cluster.log.read > len(NAMES)) == reads_all


async def test_what_happens_to_a_node_is_told_while_it_has_a_job(cluster: Any) -> None:
    """A pause before the job came, or after it was taken, is not the job's."""
    spec = make.batch(1, batch="third")
    job, until = JobId(*spec.id, "job1"), make.EPOCH
    await cluster.say(
        make.paused("ws2", until, by="ann"), make.resumed("ws2"), make.assigned(job, "ws2"),
        make.paused("ws2", until, by="bob"), make.superseded("ws2", AttemptId(*job, 1), submission="another"),
        make.resumed("ws2", incarnation="another"), make.released(job, "ws2"), make.lost("ws2"),
        make.superseded("ws2", AttemptId(*job, 1)),
    )  # fmt: skip
    for telling in (job_history(cluster, job), batch_history(cluster, spec.id)):
        told = [one async for one in telling]
        *_, assigned, paused, resumed, released, kept = (one.sentence for one in told)
        assert assigned == "job1 was assigned to ws2"
        assert ", by bob" in paused
        assert (resumed, told[-3].misfit is None) == ("node ws2 lends again", False)
        assert released == "job1 was taken from ws2: its node was lost"
        assert kept.startswith("node ws2 keeps what attempt 1 of lab/third/job1 left")


async def test_a_node_is_told_of_itself(cluster: Any) -> None:
    told = [one.sentence async for one in node_history(cluster, "ws1")]
    assert told == ["node ws1 joined: 4 cpus, 8G of memory", "node ws1 is lost: silent for 1m1s"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (lambda cluster: batch_history(cluster, BatchId("lab", "none")), "there is no batch lab/none"),
        (lambda cluster: job_history(cluster, JobId("lab", "none", "job1")), "there is no batch lab/none"),
        (lambda cluster: job_history(cluster, JobId(*SPEC.id, "none")), "lab/sweep has no job 'none'"),
        (lambda cluster: node_history(cluster, "ws9"), "there is no node 'ws9'"),
    ],
)
async def test_what_never_was_is_named(cluster: Any, asked: Callable[[Any], Any], error: str) -> None:
    with pytest.raises(UnknownName, match=error):
        [one async for one in asked(cluster)]


async def test_programs_get_events_as_they_are_stored(cluster: Any) -> None:
    told = [one async for one in job_history(cluster, JOB)]
    for one in told[1:]:
        document = told_document(one)
        for more in ("seq", "sentence", "misfit"):
            document.pop(more)
        assert document.pop("time").endswith("Z")
        stored: Event = EVENT.validate_python(document | {"time": document.pop("author_time")})
        assert encode(stored) == encode(one.recorded.event)
        assert decode(encode(stored)) == one.recorded.event


async def test_a_stream_resumes_behind_a_sequence_and_has_the_wanted_types(cluster: Any) -> None:
    everything = [one.seq async for one in stream(cluster, 0)]
    assert everything == list(range(1, await cluster.log.last_seq() + 1))
    assert [one.seq async for one in stream(cluster, 600)] == everything[600:]
    assert [one async for one in stream(cluster, everything[-1])] == []
    types = check_types("--type", ["submitted", "lost"])
    found = [one.event.type async for one in stream(cluster, 2, types)]
    assert found == ["submitted", "submitted", "lost", "submitted"]


async def test_a_stream_behind_the_end_of_the_log_is_refused(cluster: Any) -> None:
    end = await cluster.log.last_seq()
    with pytest.raises(
        InputError, match=f"the log ends at sequence {end}, before {end + 1}: was it restored"
    ):
        [one async for one in stream(cluster, end + 1)]


def test_an_unknown_type_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="no event is of the type 'finnished'; did you mean 'finished'"):
        check_types("--type", ["started", "finnished"])


async def test_the_last_event_before_a_time_is_found() -> None:
    times = [10.0, 20.0, 20.0, 30.0, 40.0]
    log = MemoryLog(iter(times).__next__)
    for _ in times:
        await log.append(make.joined(f"ws{log.stored.last_seq}"), Guard(0))
    for time, seq in ((5.0, 0), (10.0, 0), (10.5, 1), (20.0, 1), (20.5, 3), (40.0, 4), (41.0, 5)):
        assert await last_before(log, time) == seq
    assert await last_before(MemoryLog(), 5.0) == 0


async def test_a_time_is_found_by_few_requests_although_most_of_the_log_was_removed() -> None:
    class Counting(MemoryLog):
        requests = 0

        async def get_raw(self, seq: int) -> Raw:
            self.requests += 1
            return await super().get_raw(seq)

    log = Counting(map(float, count(1)).__next__)
    await log.append(make.joined("ws1"), Guard(0))
    for seq in range(2000):
        await log.append(make.retry_requested(SPEC), Guard(seq + 1 if seq else 0))
    await log.append(make.joined("ws2"), Guard(0))
    await log.purge(SPEC.id, before=2002)
    for time, seq in ((0.5, 0), (1.5, 1), (1000.0, 1), (2001.5, 1), (2002.5, 2002)):
        log.requests = 0
        assert await last_before(log, time) == seq
        assert log.requests <= 12


async def test_a_saved_log_tells_the_same_and_is_read_once(tmp_path: Path) -> None:
    """Each reading goes through the whole file."""
    cluster: Any = MemoryCluster(tmp_path)
    nodes = [f"ws{number}" for number in range(5)]
    await cluster.say(
        *map(make.joined, nodes), make.lost("ws0"), make.joined("ws0"), make.joined("idle"),
        make.submitted(SPEC),
        *(make.assigned(f"job{number}", node=node) for number, node in enumerate(nodes, start=1)),
        *map(make.lost, nodes), make.lost("idle"), *map(make.joined, nodes[:2]),
    )  # fmt: skip
    await save(cluster.log, tmp_path / "log.gz", HEADER)
    saved = CountedCluster(tmp_path / "log.gz")
    told = [told_document(one) async for one in batch_history(saved, SPEC.id)]
    assert told == [told_document(one) async for one in batch_history(cluster, SPEC.id)]
    assert [one["node"] for one in told if one["type"] == "lost"] == nodes
    assert saved.reads == 1
    job = JobId(*SPEC.id, "job5")
    told = [told_document(one) async for one in job_history(saved, job)]
    assert told == [told_document(one) async for one in job_history(cluster, job)]
    assert [one["node"] for one in told if one["type"] == "lost"] == ["ws4"]
    assert saved.reads == 2
