"""`distribute status [BATCH]`: batches and their counts; with a batch, its jobs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.verbs import verb


class JobState(StrEnum):
    """The states of jobs that `status` shows."""

    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    KILLED = "killed"


async def status(
    session: Session,
    batch: Annotated[
        str | None, typer.Argument(metavar="BATCH", help="NAMESPACE/BATCH, or its YAML file.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="List all jobs of the batch.")] = False,
    state: Annotated[
        list[JobState] | None, typer.Option("--state", help="List only jobs in this state (may be repeated).")
    ] = None,
) -> None:
    """Show the batches and their counts; with a batch, its jobs.

    Of a batch of more than 100 jobs, the table lists 100: first those that failed, then those that are
    running, paused or assigned, then the rest in file order. --all, --json and --quiet list all.
    """
    from distribute.core.errors import InputError

    if batch is None and (every or state):
        raise InputError("--all and --state select jobs of one batch: name it, as NAMESPACE/BATCH")

    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        if batch is None:
            session.output.batches(await queries.batches())
            return
        from distribute_cli.targets import find_batch

        states = [one.value for one in state] if state else None
        most = None if every else session.output.most_jobs
        found = await find_batch(queries, batch)
        session.output.batch(await queries.batch(found, states=states, most=most))


app = verb(status)
