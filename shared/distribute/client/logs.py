"""What jobs and builds printed: live while they run, from their archived outputs afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from distribute.client.batch_log import BatchReader
from distribute.client.job_log import JobReader
from distribute.client.manifests import read_manifest
from distribute.client.pull.object_stream import ObjectStream
from distribute.client.queries import no_such_batch, no_such_job
from distribute.client.results import fold_builds
from distribute.client.standing import ask_standing
from distribute.client.words import argument, printable
from distribute.core.errors import IntegrityError, Refused
from distribute.core.events import Finished
from distribute.core.manifest import STDOUT_NAME, Entry, Outputs, StoredFile, is_build_output_name
from distribute.core.projections.attempts import JobAttempts
from distribute.core.projections.results import BatchResults
from distribute.core.words import counted
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.client.standing import Outcome
    from distribute.core.events import BuildFinished
    from distribute.core.ids import BatchId, JobId
    from distribute.ports import Cluster

QUIET_S = 0.5
"""Stop following a finished attempt after this much silence: by then everything it sent has arrived."""

READ_FOR_A_LINE_BYTES = 1 << 20
"""Output of more bytes than this is not read only for its last line."""


class Builds(NamedTuple):
    """A batch's builds, by node: those that ended, and since when others run (in seconds since 1970)."""

    ended: Mapping[str, BuildFinished]
    running: Mapping[str, float]


async def read_builds(cluster: Cluster, batch: BatchId) -> Builds:
    """The builds of a batch, up to now.

    Raises:
        Refused: there is no such batch.
    """
    results = BatchResults(batch)
    told = await ask_standing(cluster, batch)
    if told is None:
        await BatchReader(cluster, batch, results.fold).read_to_now()
    elif told.course.exists:
        results = await fold_builds(cluster, batch, told.course)
    if not results.course.exists:
        raise no_such_batch(batch)
    return Builds(results.builds, results.building)


def build_output(cluster: Cluster, build: BuildFinished) -> AsyncGenerator[bytes | memoryview, None]:
    """What a build printed."""
    is_output = partial(is_build_output_name, batch=build.batch, node=build.node)
    return _stored_text(cluster, build.outputs, is_output)


class JobOutput(NamedTuple):
    """What one attempt of a job printed: its number, and the text piece by piece."""

    attempt: int
    pieces: AsyncGenerator[bytes | memoryview, None]


async def job_output(
    cluster: Cluster, job: JobId, attempt: int | None = None, *, follow: bool = False
) -> JobOutput:
    """What an attempt printed: all of it once it has finished, or up to now; with `follow`, until it is over.

    Args:
        cluster: where the job is.
        job: which.
        attempt: its number, from 1 on. None: the last attempt.
        follow: go on while it runs.

    Raises:
        Refused: there is no such batch, job or attempt, or the job has not run yet.
    """
    told = await ask_standing(cluster, job.batch_id, job.job)
    if told is not None and told.course.exists:
        if told.outcome is None:
            raise no_such_job(job)
        finished = await _last_finished(cluster, job, told.outcome)
        if finished is not None and attempt in {None, finished.attempt}:
            return JobOutput(finished.attempt, _stored_text(cluster, finished.outputs))
    reader = JobReader(cluster, job)
    followed_from = await cluster.log.last_seq()
    await reader.read_to_now()
    attempts = reader.attempts
    _refuse_unknown(attempts, attempt)
    number = attempt or max(attempts.attempts)
    record = attempts.attempts[number]
    if record.finished is not None:
        return JobOutput(number, _stored_text(cluster, record.finished.outputs))
    over = partial(_over, cluster, reader, number, followed_from) if follow else partial(asyncio.sleep, 0)
    return JobOutput(number, _live_text(cluster, attempts, number, over))


async def last_line(cluster: Cluster, job: JobId, attempt: int) -> str | None:
    """The last line that an attempt printed. None: it printed nothing or very much, or it is not over."""
    finished = await _finished(cluster, job, attempt)
    if finished is None or finished.outputs is None:
        return None
    try:
        manifest, _ = await read_manifest(cluster.store, finished.outputs)
        sizes = [entry.size_bytes for entry in manifest.entries if _is_stdout(entry)]
        if not sizes or sizes[0] > READ_FOR_A_LINE_BYTES:
            return None
        text = b"".join([piece async for piece in _stored_text(cluster, finished.outputs)])
    except (IntegrityError, ValueError):
        return None  # `logs` says what is wrong with it
    lines = text.decode(errors="backslashreplace").strip().splitlines()
    return lines[-1] if lines else None


async def _finished(cluster: Cluster, job: JobId, attempt: int) -> Finished | None:
    """How an attempt finished, as the fold accepts it. None: it did not."""
    told = await ask_standing(cluster, job.batch_id, job.job)
    if told is not None and told.outcome is not None:
        finished = await _last_finished(cluster, job, told.outcome)
        if finished is not None and finished.attempt == attempt:
            return finished
    reader = JobReader(cluster, job)
    await reader.read_to_now()
    record = reader.attempts.attempts.get(attempt)
    return record.finished if record is not None else None


async def _last_finished(cluster: Cluster, job: JobId, outcome: Outcome) -> Finished | None:
    """The end of a job's last attempt. None: it is not over, or its node did not say how it ended.

    Of all that say so, the batch accepted the one that its node wrote at that time.
    """
    if not outcome.finished_at:
        return None
    until = await cluster.log.last_seq()
    async with aclosing(cluster.log.follow(after=0, only=Only(scope=job), until=until)) as following:
        async for events in following:
            for _, time, event in events:
                accepted = (time, event.author) == (outcome.finished_at, outcome.node)
                if accepted and isinstance(event, Finished) and event.attempt == outcome.attempt:
                    return event
    return None


def _is_stdout(entry: Entry) -> TypeGuard[StoredFile]:
    return isinstance(entry, StoredFile) and entry.path == STDOUT_NAME


def _refuse_unknown(attempts: JobAttempts, attempt: int | None) -> None:
    job, batch = attempts.job, attempts.story.state
    if batch is None:
        raise no_such_batch(job.batch_id)
    name, batch_name = printable(str(job)), argument(str(job.batch_id))
    if job.job not in batch.rows:
        raise no_such_job(job)
    if not attempts.attempts:
        raise Refused(f"{name} has not run yet; `distribute watch {batch_name}` shows progress")
    if attempt is not None and attempt not in attempts.attempts:
        had = counted(len(attempts.attempts), "attempt")
        raise Refused(f"{name} has had {had}: there is no attempt {attempt}")


async def _live_text(
    cluster: Cluster, attempts: JobAttempts, number: int, is_over: Callable[[], Coroutine[Any, Any, None]]
) -> AsyncGenerator[bytes | memoryview, None]:
    """What an attempt printed, until `is_over` returns and it is quiet.

    What was printed before the batch was submitted is left out: it is of a deleted batch of the same name.
    """
    batch = attempts.story.state
    assert batch is not None, "the attempt is there, so its batch is"
    over = asyncio.ensure_future(is_over())
    async with aclosing(cluster.live.follow(attempts.job, number, since=batch.submitted_at)) as chunks:
        coming = asyncio.ensure_future(anext(chunks))
        try:
            while True:
                waited_for = {coming} if over.done() else {coming, over}
                done, _ = await asyncio.wait(
                    waited_for, timeout=QUIET_S if over.done() else None, return_when=asyncio.FIRST_COMPLETED
                )
                if coming in done:
                    yield coming.result()
                    coming = asyncio.ensure_future(anext(chunks))
                elif over in done:
                    over.result()
                elif not done:
                    return
        finally:
            over.cancel()
            coming.cancel()
            await asyncio.wait({over, coming})


async def _over(cluster: Cluster, reader: JobReader, number: int, after: int) -> None:
    """Return when an attempt has finished, was taken from its node, or is of a batch that was deleted.

    All of these begin with an event of the job itself: a batch that is deleted ended before.
    """
    async with aclosing(cluster.log.follow(after=after, only=Only(scope=reader.attempts.job))) as following:
        while True:
            record = reader.attempts.attempts.get(number)
            if record is None or record.ended_at is not None:
                return
            await anext(following)
            await reader.read_to_now()


async def _stored_text(
    cluster: Cluster, outputs: Outputs | None, is_wanted: Callable[[str], bool] = STDOUT_NAME.__eq__
) -> AsyncGenerator[bytes | memoryview, None]:
    """The wanted file of what a job or build left."""
    if outputs is None:
        return
    manifest, _ = await read_manifest(cluster.store, outputs)
    for entry in manifest.entries:
        if not isinstance(entry, StoredFile) or not is_wanted(entry.path) or entry.object is None:
            continue
        name = printable(entry.path)
        if entry.object >= len(manifest.objects):
            raise IntegrityError(f"{name}: its list of files has no object {entry.object}")
        async with aclosing(cluster.store.get_result(manifest.objects[entry.object])) as chunks:
            stream = ObjectStream(chunks, name)
            await stream.skip_to(entry.offset)
            async for piece in stream.take(entry.size_bytes):
                yield piece
