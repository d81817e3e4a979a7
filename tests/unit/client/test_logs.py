"""Output of jobs, live and from the archive, by the events that the fold accepts."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from client_kit import WITH_AND_WITHOUT_SCHEDULER, MemoryCluster, left
from distribute.client.logs import JobOutput, job_output
from distribute.core.errors import IntegrityError, Refused
from distribute.core.files.manifest import Outputs, Outside, OutsideFile, StoredFile
from distribute.core.folding.work import marked
from distribute.core.ids import JobId
from distribute.testing import builders as make

SPEC = make.batch(1, build="make")
JOB = JobId(*SPEC.id, "job1")
RUNS = (make.joined(), make.submitted(SPEC), make.assigned(), make.claimed(), make.started())


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    return MemoryCluster(tmp_path, request.param)


async def printed(cluster: Any, text: bytes, name: str = "stdout.txt") -> Outputs:
    """The outputs of a job or build that printed `text`."""
    stored = await cluster.keep(text)
    digest = hashlib.sha256(text).hexdigest()
    return left(StoredFile(path=name, size_bytes=len(text), sha256=digest, object=0), objects=(stored,))


async def all_of(output: JobOutput) -> bytes:
    return b"".join([bytes(piece) async for piece in output.pieces])


async def test_a_finished_attempt_is_read_from_its_outputs(cluster: Any) -> None:
    await cluster.say(*RUNS, make.finished(outputs=await printed(cluster, b"one\ntwo\n")))
    assert await all_of(await job_output(cluster, JOB)) == b"one\ntwo\n"


async def test_what_an_attempt_printed_that_its_node_gave_back_is_read_from_its_outputs(cluster: Any) -> None:
    await cluster.say(*RUNS, make.yielded(outputs=await printed(cluster, b"half\n")), make.job_archived())
    await cluster.say(make.assigned(attempt=2))
    output = await job_output(cluster, JOB, 1)
    assert await all_of(output) == b"half\n"
    assert output.finished() is None


@pytest.mark.parametrize("follow", [False, True])
async def test_how_the_attempt_ended_is_known_behind_its_text(cluster: Any, follow: bool) -> None:
    outside = Outside(files=1, size_bytes=7, largest=(OutsideFile(path="u.dat", size_bytes=7),))
    outputs = (await printed(cluster, b"one\n")).model_copy(update={"outside": outside})
    finished = make.finished(outputs=outputs)
    await cluster.say(*RUNS)
    if follow:
        await cluster.live.send(JOB, 1, b"one\n")
        output = await job_output(cluster, JOB, follow=True)
        assert output.finished() is None
        assert await anext(output.pieces) == b"one\n"
        await cluster.say(finished)
        async with asyncio.timeout(60):
            assert [piece async for piece in output.pieces] == []
    else:
        await cluster.say(finished)
        output = await job_output(cluster, JOB)
        assert await all_of(output) == b"one\n"
    ended = output.finished()
    assert ended is not None
    assert ended.outputs == outputs


async def test_a_finished_that_the_fold_refuses_is_not_read(cluster: Any) -> None:
    """Another node writes that it finished the job; the fold ignores that."""
    forged = make.finished(node="ws2", outputs=await printed(cluster, b"forged"))
    await cluster.say(*RUNS, forged)
    await cluster.live.send(JOB, 1, b"live")
    assert await all_of(await job_output(cluster, JOB)) == b"live"


async def test_output_is_followed_until_the_attempt_is_over(cluster: Any) -> None:
    await cluster.say(*RUNS)
    await cluster.live.send(JOB, 1, b"one ")
    pieces = (await job_output(cluster, JOB, follow=True)).pieces
    assert await anext(pieces) == b"one "
    await cluster.say(make.finished(node="ws2"))
    coming = asyncio.ensure_future(anext(pieces))
    await cluster.live.send(JOB, 1, b"two")
    assert await coming == b"two"
    await cluster.say(make.yielded())
    async with asyncio.timeout(60):
        assert [piece async for piece in pieces] == []


async def test_what_an_attempt_printed_before_its_batch_was_replaced_is_shown_if_it_goes_on(
    cluster: Any,
) -> None:
    await cluster.say(*RUNS, make.held(SPEC), make.submitted(marked(SPEC, {"job1"}), replaces=RUNS[1].id))
    stored = cluster.log.stored
    assigned, submitted = (
        next(one.time for one in stored.between(seq, stored.last_seq) if one.event.type == name)
        for seq, name in ((0, "assigned"), (2, "submitted"))
    )
    await cluster.live.send(JOB, 1, b"one")
    pieces = (await job_output(cluster, JOB, follow=True)).pieces
    assert await anext(pieces) == b"one"
    await pieces.aclose()
    assert cluster.live.since == assigned < submitted


async def test_an_unknown_attempt_is_refused(cluster: Any) -> None:
    with pytest.raises(Refused, match="there is no batch lab/sweep"):
        await job_output(cluster, JOB)
    await cluster.say(make.joined(), make.submitted(SPEC))
    with pytest.raises(Refused, match="lab/sweep has no job 'job2'"):
        await job_output(cluster, JobId(*SPEC.id, "job2"))
    with pytest.raises(Refused, match="lab/sweep/job1 has not run yet"):
        await job_output(cluster, JOB)
    await cluster.say(make.assigned())
    with pytest.raises(Refused, match="lab/sweep/job1 has had 1 attempt: there is no attempt 2"):
        await job_output(cluster, JOB, 2)


async def test_a_job_that_was_killed_before_it_ran_is_not_said_to_run_later(cluster: Any) -> None:
    await cluster.say(make.submitted(SPEC), make.kill_requested(SPEC))
    with pytest.raises(
        Refused, match="lab/sweep/job1 never ran; `distribute status lab/sweep/job1` says why"
    ):
        await job_output(cluster, JOB)


async def test_outputs_without_the_object_they_name_are_an_error(cluster: Any) -> None:
    broken = left(StoredFile(path="stdout.txt", size_bytes=4, sha256="0" * 64, object=3))
    await cluster.say(*RUNS, make.finished(outputs=broken))
    with pytest.raises(IntegrityError, match=r"stdout\.txt: its list of files has no object 3"):
        await all_of(await job_output(cluster, JOB))
