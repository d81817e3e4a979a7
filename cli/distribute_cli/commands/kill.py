"""`distribute kill BATCH|JOB`: stops a batch or a job."""

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
            help="[NAMESPACE/]BATCH, [NAMESPACE/]BATCH/JOB, a batch's YAML file, or last.",
        ),
    ],
) -> None:
    """Stop a batch, or one job of it: end the running jobs and drop the waiting ones."""
    from distribute.client.control import kill as kill_target
    from distribute.client.words import argument, printable
    from distribute.core.ids import JobId
    from distribute_cli.targets import find_target

    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_target(queries, target)
        await kill_target(cluster, queries, session.person, found)
    session.output.done(f"{printable(str(found))} is being killed", {"killing": str(found)})
    if isinstance(found, JobId):
        session.output.hint(f"`distribute status {argument(str(found.batch_id))}` shows when it is over")
    else:
        session.output.hint(f"`distribute wait {argument(str(found))}` returns when it is over")


app = verb(kill)
