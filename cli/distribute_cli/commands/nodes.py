"""`distribute nodes`: shows the computers: what they are, have and do."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.completing import complete_node
from distribute_cli.nodes_file import NodesFileOption, warn_of_nodes_file
from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def nodes(
    session: Session,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Show all about this node.", autocompletion=complete_node),
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="No longer list this node, which is gone for good or never joined.",
            autocompletion=complete_node,
        ),
    ] = None,
    nodes_file: NodesFileOption = None,
) -> None:
    """Show the nodes, or everything about one: what they are, have and do."""
    from distribute_cli.values import checked_name

    for option, node in (("NAME", name), ("--forget", forget)):
        if node is not None:
            checked_name(option, node)
    warn_of_nodes_file(session.output, nodes_file)
    async with session.cluster(named="with the answer") as cluster:
        queries = session.queries(cluster)
        if forget is not None:
            from distribute.client.control import forget as forget_node
            from distribute.client.words import printable

            await forget_node(cluster, queries, session.person, forget)
            session.output.done(f"{printable(forget)} is forgotten", {"forgotten": forget})
        elif name is not None:
            session.output.node(await queries.node(name))
        else:
            session.output.nodes(await queries.nodes())


app = verb(nodes, reads=True)
