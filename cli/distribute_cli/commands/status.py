"""`distribute status [BATCH]`: batches and their counts; with a batch, its jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def status(
    session: Session,
    batch: Annotated[
        str | None, typer.Argument(metavar="BATCH", help="NAMESPACE/BATCH, or its YAML file.")
    ] = None,
) -> None:
    """Show the batches and their counts; with a batch, its jobs."""
    from distribute_cli.reads import Reads

    async with session.cluster() as cluster:
        reads = Reads(cluster, session.output)
        if batch is None:
            session.output.batches(await reads.status())
            return
        from distribute_cli.targets import find_batch

        session.output.batch(await reads.batch(await find_batch(reads, batch)))


app = verb(status)
