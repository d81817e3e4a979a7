"""What jobs and builds printed: live while they run, from what they left afterwards."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from distribute.core.errors import Refused
from distribute.core.events import Finished, Released
from distribute.core.manifest import STDOUT_NAME, Outputs, StoredFile
from distribute.ports import Only
from distribute_cli.ending import Course, Followed, course_so_far
from distribute_cli.object_stream import ObjectStream
from distribute_cli.output import argument, printable
from distribute_cli.reads import no_such_batch
from distribute_cli.results import archived_results, manifest_of

if TYPE_CHECKING:
    from distribute.core.ids import BatchId, JobId
    from distribute.ports import Cluster
    from distribute_cli.sinks import Printed

QUIET_S = 0.5
"""Live output that is to end ends when nothing came for this long: what was sent is then here."""


async def print_build(cluster: Cluster, batch: BatchId, printed: Printed) -> None:
    """Write what a batch's build printed, node by node.

    Raises:
        Refused: there is no such batch, or it has not been built.
    """
    archived = await archived_results(cluster, batch)
    if not archived.course.seq:
        raise no_such_batch(batch)
    if not archived.builds:
        raise Refused(
            f"{printable(str(batch))} has not been built on any node; "
            f"`distribute logs {argument(f'{batch}/JOB')}` shows a job's output"
        )
    for node, build in sorted(archived.builds.items()):
        how = "built" if build.succeeded else f"failed: {build.reason or 'no reason was given'}"
        whose = {"node": node, "succeeded": build.succeeded, "reason": build.reason}
        printed.begin(whose, f"{node} ({how})")
        await _copy(cluster, build.outputs, f"{batch.batch}_build_output-{node}.txt", printed)


async def print_job(cluster: Cluster, job: JobId, attempt: int, printed: Printed, *, follow: bool) -> None:
    """Write what an attempt printed: all of it, or up to now; with `follow`, until it is over.

    Raises:
        Refused: there is no such batch.
    """
    followed = await course_so_far(cluster, job.batch_id)
    if not followed.course.seq:
        raise no_such_batch(job.batch_id)
    if not await _print_finished(cluster, job, attempt, printed, followed):
        await _print_live(cluster, job, attempt, printed, followed.course, follow=follow)


async def _print_finished(
    cluster: Cluster, job: JobId, attempt: int, printed: Printed, followed: Followed
) -> bool:
    """Write all that an attempt printed. False, and nothing written, where it has not finished."""
    only = Only(types=frozenset({"finished"}), batch=job.batch_id)
    async for events in cluster.log.follow(after=followed.course.seq, only=only, until=followed.seq):
        for recorded in events:
            event = recorded.event
            if isinstance(event, Finished) and (event.job, event.attempt) == (job.job, attempt):
                await _copy(cluster, event.outputs, STDOUT_NAME, printed)
                return True
    return False


async def _print_live(
    cluster: Cluster, job: JobId, attempt: int, printed: Printed, course: Course, *, follow: bool
) -> None:
    """Write what an attempt printed up to now; with `follow`, until the attempt is over.

    Not what lies before the batch was submitted: that is of a deleted one of the same name.
    """
    over = asyncio.ensure_future(_over(cluster, job, attempt, course.seq) if follow else asyncio.sleep(0))
    async with aclosing(cluster.live.follow(job, attempt, since=course.submitted_at)) as chunks:
        coming = asyncio.ensure_future(anext(chunks))
        try:
            while True:
                waited_for = {coming} if over.done() else {coming, over}
                done, _ = await asyncio.wait(
                    waited_for, timeout=QUIET_S if over.done() else None, return_when=asyncio.FIRST_COMPLETED
                )
                if coming in done:
                    printed.write(coming.result())
                    coming = asyncio.ensure_future(anext(chunks))
                elif not done:
                    return
        finally:
            over.cancel()
            coming.cancel()
            await asyncio.wait({over, coming})


async def _over(cluster: Cluster, job: JobId, attempt: int, after: int) -> None:
    """Return when an attempt has finished, or was taken from its node, behind a sequence."""
    only = Only(types=frozenset({"finished", "released"}), batch=job.batch_id)
    async for events in cluster.log.follow(after=after, only=only):
        for recorded in events:
            event = recorded.event
            if isinstance(event, Finished | Released) and (event.job, event.attempt) == (job.job, attempt):
                return


async def _copy(cluster: Cluster, outputs: Outputs | None, name: str, printed: Printed) -> None:
    """Write one file of what a job or build left."""
    if outputs is None:
        return
    manifest = await manifest_of(cluster, outputs)
    for entry in manifest.entries:
        if not isinstance(entry, StoredFile) or entry.path != name or entry.object is None:
            continue
        async with aclosing(cluster.store.get_result(manifest.objects[entry.object])) as chunks:
            stream = ObjectStream(chunks, printable(name))
            await stream.skip_to(entry.offset)
            async for piece in stream.take(entry.size_bytes):
                printed.write(piece)
