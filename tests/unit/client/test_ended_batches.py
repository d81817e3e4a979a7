"""Of a batch that is over, a reader gets from the log only what the scheduler's answer leaves open."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, CountingLog, MemoryCluster, NobodyAnswers, SchedulerAnswers, left
from distribute.client.build_logs import read_builds
from distribute.client.control import delete
from distribute.client.follow import follow_to_end
from distribute.client.logs import JobOutput, job_output
from distribute.client.standing import ask_standing
from distribute.client.submit import submit
from distribute.core.errors import Refused
from distribute.core.files.manifest import Outputs, StoredFile
from distribute.core.ids import JobId
from distribute.memory.log import MemoryLog
from distribute.testing import builders as make

SPEC = make.batch(20, retries=1)
JOB = JobId(*SPEC.id, "job7")


@pytest.fixture
async def cluster(tmp_path: Path) -> Any:
    """A batch that is over and archived. One of its jobs took two attempts."""
    cluster: Any = MemoryCluster(tmp_path)
    cluster.log = CountingLog()
    cluster.queries = SchedulerAnswers(cluster.log)
    await cluster.say(make.joined(), make.submitted(SPEC))
    for number in range(1, 21):
        name = f"job{number}"
        job = JobId(*SPEC.id, name)
        await cluster.say(make.assigned(name), make.claimed(name))
        if job == JOB:
            failed = make.finished(name, succeeded=False, outputs=await printed(cluster, b"first", 1))
            await cluster.say(failed, make.job_archived(name), make.assigned(name, attempt=2))
            await cluster.say(make.claimed(name, attempt=2))
            ended = make.finished(name, attempt=2, outputs=await printed(cluster, b"second", 2))
            await cluster.say(ended, make.job_archived(name, attempt=2))
        else:
            await cluster.say(make.finished(name, outputs=None))
    await cluster.say(make.completed(SPEC), make.batch_archived(SPEC))
    return cluster


async def printed(cluster: Any, text: bytes, attempt: int) -> Outputs:
    """The outputs of an attempt that printed `text`."""
    stored = await cluster.keep(text, f"lab/sweep/job7/{attempt}/0")
    digest = hashlib.sha256(text).hexdigest()
    return left(
        StoredFile(path="stdout.txt", size_bytes=len(text), sha256=digest, object=0), objects=(stored,)
    )


async def all_of(output: JobOutput) -> bytes:
    return b"".join([bytes(piece) async for piece in output.pieces])


async def test_waiting_reads_no_event(cluster: Any) -> None:
    ended = await follow_to_end(cluster, SPEC.id)
    assert (ended["state"], ended["archived"], ended["jobs"]["succeeded"]) == ("completed", True, 20)
    assert cluster.log.read == 0


async def test_the_output_of_a_job_needs_its_own_events_only(cluster: Any) -> None:
    output = await job_output(cluster, JOB)
    assert (output.attempt, await all_of(output)) == (2, b"second")
    assert cluster.log.read == 8
    with pytest.raises(Refused, match="lab/sweep has no job 'job21'"):
        await job_output(cluster, JobId(*SPEC.id, "job21"))
    assert cluster.log.read == 8


async def test_an_earlier_attempt_needs_the_events_of_the_job_and_of_the_batch_itself(cluster: Any) -> None:
    output = await job_output(cluster, JOB, 1)
    assert (output.attempt, await all_of(output)) == (1, b"first")
    assert cluster.log.read == 8 + len(("completed", "batch_archived")) + 8
    with pytest.raises(Refused, match="has had 2 attempts: there is no attempt 3"):
        await job_output(cluster, JOB, 3)


async def test_an_end_that_the_fold_refuses_has_the_attempts_folded(cluster: Any) -> None:
    await cluster.say(make.completed(SPEC, state="killed"))
    with pytest.raises(Refused, match="has had 2 attempts: there is no attempt 4"):
        await job_output(cluster, JOB, 4)
    assert cluster.log.read > 60


async def test_a_finished_of_another_or_said_again_is_not_taken_for_the_one_that_counts(cluster: Any) -> None:
    for forged in (make.finished("job7", "ws1", 2), make.finished("job7", "ws2", 2)):
        await cluster.say(forged.model_copy(update={"outputs": await printed(cluster, b"forged", 2)}))
    assert await all_of(await job_output(cluster, JOB)) == b"second"


async def test_builds_need_the_submission_and_their_own_events_only(cluster: Any) -> None:
    await cluster.say(make.build_started("ws1", SPEC), make.build_finished("ws1", SPEC))
    assert list((await read_builds(cluster, SPEC.id)).ended) == ["ws1"]
    assert cluster.log.read == 3


async def test_deleting_reads_no_event(cluster: Any) -> None:
    await delete(cluster, JANE, SPEC.id)
    assert (cluster.types()[-1], cluster.log.read) == ("deleted", 0)


async def test_replacing_reads_the_events_of_the_batch_itself(cluster: Any) -> None:
    forged = make.completed(SPEC)  # which the fold refuses, since the batch is over
    await cluster.say(forged)
    await submit(cluster, JANE, SPEC, {}, replace=True)
    stored = cluster.log.stored.between(0, cluster.log.stored.last_seq)
    [deleted] = [recorded.event for recorded in stored if recorded.event.type == "deleted"]
    [end, _] = [recorded.event.id for recorded in stored if recorded.event.type == "completed"]
    assert deleted.causation == end != forged.id
    assert cluster.log.read < 20


async def test_a_scheduler_that_knows_more_than_the_log_has_is_not_believed(cluster: Any) -> None:
    """The log lost its end, and with it that the batch is over; the scheduler has not noticed yet."""
    before = MemoryLog()
    before.stored = cluster.log.stored
    await cluster.log.replace(keeps=before.stored.last_seq - 2)
    cluster.queries = SchedulerAnswers(before)
    told = await ask_standing(cluster, SPEC.id)
    assert told is None
    cluster.queries = SchedulerAnswers(cluster.log)
    told = await ask_standing(cluster, SPEC.id)
    assert told is not None
    assert told.course.end is None


@pytest.mark.parametrize("answer", [b"{}", b'{"seq":{now}}', b'{"seq":{now},"course":{"new":1},"job":null}'])
async def test_what_another_versions_scheduler_answers_is_passed_over(cluster: Any, answer: bytes) -> None:
    class Another(NobodyAnswers):
        async def ask(self, verb: str, payload: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
            return answer.replace(b"{now}", str(cluster.log.stored.last_seq).encode())

    cluster.queries = Another()
    assert await ask_standing(cluster, SPEC.id) is None
    assert (await follow_to_end(cluster, SPEC.id))["state"] == "completed"
