"""`distribute logs JOB`: shows what it printed; with a batch, what its builds printed."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.core.ids import BatchId, JobId
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output


async def logs(
    session: Session,
    target: Annotated[
        str,
        typer.Argument(
            metavar="JOB|BATCH", help="NAMESPACE/BATCH/JOB; or a batch, for the output of its builds."
        ),
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on while the job runs.")] = False,
    attempt: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Which attempt. [default: the last]")
    ] = None,
) -> None:
    """Show what a job printed, live or archived; of a batch, what its builds printed.

    With --json, the text is in logs[].output, and is printed when it is complete.
    """
    from distribute.core.ids import BatchId
    from distribute_cli.targets import find_target

    async with session.cluster() as cluster:
        found = await find_target(session.queries(cluster), target)
        if isinstance(found, BatchId):
            await _show_builds(cluster, session.output, found)
        else:
            await _show_job(cluster, session.output, found, attempt, follow=follow)


async def _show_builds(cluster: Cluster, output: Output, batch: BatchId) -> None:
    from distribute.client.logs import build_output, read_builds
    from distribute.client.words import argument, printable
    from distribute.core.errors import Refused

    builds = await read_builds(cluster, batch)
    name = printable(str(batch))
    if builds.running:
        nodes = ", ".join(printable(node) for node in sorted(builds.running))
        output.warn(f"{name} is being built on {nodes}; its output comes when that is done")
    elif not builds.ended:
        job = argument(f"{batch}/JOB")
        raise Refused(f"{name} was not built on any node; `distribute logs {job}` shows a job's output")
    with output.job_text({"namespace": batch.namespace, "batch": batch.batch}) as text:
        for node, build in sorted(builds.ended.items()):
            how = "built" if build.succeeded else f"failed: {build.reason or 'no reason given'}"
            whose = {"node": node, "succeeded": build.succeeded, "reason": build.reason}
            text.begin(whose, f"{node} ({how})")
            async for piece in build_output(cluster, build):
                text.write(piece)


async def _show_job(
    cluster: Cluster, output: Output, job: JobId, attempt: int | None, *, follow: bool
) -> None:
    from distribute.client.logs import job_output

    printed = await job_output(cluster, job, attempt, follow=follow)
    with output.job_text({"namespace": job.namespace, "batch": job.batch}) as text:
        text.begin({"job": job.job, "attempt": printed.attempt})
        async with aclosing(printed.pieces) as pieces:
            async for piece in pieces:
                text.write(piece)


app = verb(logs)
