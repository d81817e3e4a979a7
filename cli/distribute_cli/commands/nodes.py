"""`distribute nodes`: the computers, what they are, have and do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def nodes(
    session: Session,
    nodes_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", hidden=True, help="Taken for old habit's sake: nodes join by themselves now."
        ),
    ] = None,
) -> None:
    """Show the nodes: what they are, have and do."""
    from distribute_cli.reads import Reads

    if nodes_file is not None:
        session.output.warn(f"--nodes-file {nodes_file} is not read: nodes join the cluster by themselves")
    async with session.cluster() as cluster:
        session.output.nodes(await Reads(cluster, session.output).nodes())


app = verb(nodes)
