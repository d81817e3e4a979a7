"""`distribute logs JOB`: what it printed, or prints; with a batch, what its build printed."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def logs(
    session: Session,
    target: Annotated[
        str, typer.Argument(metavar="JOB|BATCH", help="NAMESPACE/BATCH/JOB; a batch, for its build's output.")
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on while it runs.")] = False,
    attempt: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Which attempt; else the last.")
    ] = None,
) -> None:
    """Show what a job printed, live or archived; with a batch, what its build printed.

    In JSON it stands, as text, under logs[].output, once all of it is there.
    """
    from distribute.core.errors import Refused
    from distribute.core.ids import BatchId
    from distribute_cli.output import argument, printable
    from distribute_cli.printed import print_build, print_job
    from distribute_cli.reads import Reads
    from distribute_cli.targets import find_target

    async with session.cluster() as cluster:
        reads = Reads(cluster, session.output)
        found = await find_target(reads, target)
        batch = {"namespace": found.namespace, "batch": found.batch}
        if isinstance(found, BatchId):
            with session.output.printed(batch) as printed:
                await print_build(cluster, found, printed)
            return
        last = (await reads.job(found))["attempt"]
        name = printable(str(found))
        if not last:
            raise Refused(
                f"{name} has not run yet; `distribute watch {argument(str(found.batch_id))}` shows progress"
            )
        if attempt is not None and attempt > last:
            raise Refused(f"{name} has had {last} attempts: there is no attempt {attempt}")
        number = attempt or last
        with session.output.printed(batch) as printed:
            printed.begin({"job": found.job, "attempt": number})
            await print_job(cluster, found, number, printed, follow=follow)


app = verb(logs)
