"""`distribute why JOB`: what a job waits for, and where its time went."""

from __future__ import annotations

from distribute_cli.session import Session
from distribute_cli.targets import JobArgument
from distribute_cli.verbs import verb


async def why(
    session: Session,
    job: JobArgument,
) -> None:
    """Show what a job waits for, node by node, and where the time of its life went, to the second.

    A job that is over has only the second part.
    """
    from distribute.client.targets import find_job
    from distribute.client.why import read_why

    async with session.cluster(named="with the answer") as cluster:
        queries = session.queries(cluster)
        session.output.why(await read_why(cluster, queries, await find_job(queries, job)))


app = verb(why, reads=True)
