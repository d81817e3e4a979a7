"""`distribute nodes`: shows the computers: what they are, have and do."""

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
        typer.Option(metavar="FILE", hidden=True, help="Accepted, but not read: nodes join by themselves."),
    ] = None,
) -> None:
    """Show the nodes: what they are, have and do."""
    if nodes_file is not None:
        session.output.warn(f"--nodes-file {nodes_file} is not read: nodes join the cluster by themselves")
    async with session.cluster() as cluster:
        session.output.nodes(await session.queries(cluster).nodes())


app = verb(nodes)
