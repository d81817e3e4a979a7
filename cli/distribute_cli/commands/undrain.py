"""`distribute undrain NODE`: the node takes jobs again."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.completing import complete_node
from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def undrain(
    session: Session,
    node: Annotated[
        str, typer.Argument(metavar="NODE", help="The node's name.", autocompletion=complete_node)
    ],
) -> None:
    """Let a node take jobs again, after `drain`, or when it is in quarantine."""
    from distribute.client.control import undrain as undrain_node
    from distribute.client.words import printable
    from distribute_cli.values import checked_name

    checked_name("NODE", node)
    async with session.cluster() as cluster:
        await undrain_node(cluster, session.queries(cluster), session.person, node)
    session.output.done(f"{printable(node)} takes jobs again", {"node": node})


app = verb(undrain)
