"""`distribute why JOB`: what a job waits for, and where its time went."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.completing import complete_target
from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def why(
    session: Session,
    job: Annotated[
        str,
        typer.Argument(metavar="JOB", help="[NAMESPACE/]BATCH/JOB.", autocompletion=complete_target),
    ],
) -> None:
    """Show what a job waits for, node by node, and where the time of its life went, to the second.

    A job that is over has only the second part.
    """
    from distribute.client.why import read_why
    from distribute_cli.targets import find_job

    async with session.cluster(named="with the answer") as cluster:
        queries = session.queries(cluster)
        session.output.why(await read_why(cluster, queries, await find_job(queries, job)))


app = verb(why, reads=True)
