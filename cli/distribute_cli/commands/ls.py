"""`distribute ls JOB`: lists the files of a job that runs."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import JobArgument
from distribute_cli.verbs import verb


async def ls(
    session: Session,
    job: JobArgument,
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Only what is in this folder of the job's folder.")
    ] = ".",
) -> int:
    """List the files of a job that runs, as they are now: in its folder, on its node.

    `distribute pull --running` fetches them.
    """
    from distribute.client.running_files import list_files
    from distribute.client.targets import find_job
    from distribute.client.visiting import find_running
    from distribute_cli.output.running_files import listed, listed_warnings

    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        visit = await find_running(queries, await find_job(queries, job))
        found = await list_files(cluster, queries, visit, folder)
    session.output.files(listed(visit, found))
    for line in listed_warnings(visit, found):
        session.output.warn(line)
    return 1 if found.is_part or found.unread else 0


app = verb(ls)
