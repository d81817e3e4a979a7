"""`distribute kill BATCH|JOB`: stops it."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def kill(
    session: Session,
    target: Annotated[
        str,
        typer.Argument(
            metavar="BATCH|JOB",
            help="NAMESPACE/BATCH, NAMESPACE/BATCH/JOB, a batch's YAML file, or a batch name that is unique.",
        ),
    ],
) -> None:
    """Stop a batch, or one job of it: what runs is ended, what waits is dropped."""
    from distribute.core.errors import Refused
    from distribute.core.ids import JobId
    from distribute_cli.output import argument, printable
    from distribute_cli.reads import Reads
    from distribute_cli.requests import request_kill
    from distribute_cli.targets import find_target

    async with session.cluster() as cluster:
        reads = Reads(cluster, session.output)
        found = await find_target(reads, target)
        if isinstance(found, JobId):
            job = await reads.job(found)
            if job["state"] in {"succeeded", "failed", "killed"}:
                raise Refused(f"{printable(str(found))} is over ({job['state']}): there is nothing to kill")
            await request_kill(cluster, found.batch_id, found.job)
        else:
            await request_kill(cluster, found)
    name = printable(str(found))
    session.output.done(f"{name} is being killed", {"killing": str(found)})
    if isinstance(found, JobId):
        session.output.hint(f"`distribute status {argument(str(found.batch_id))}` tells when it is over")
    else:
        session.output.hint(f"`distribute wait {argument(str(found))}` returns when it is over")


app = verb(kill)
