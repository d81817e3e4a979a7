"""`distribute resume`: ends the pause of this workstation, or of a node anywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.completing import complete_node
from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def resume(
    session: Session,
    node: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Which node, wherever it is. [default: all nodes of this computer]",
            autocompletion=complete_node,
        ),
    ] = None,
) -> int:
    """End the pause of this computer, or of node N. Its jobs go on."""
    from distribute_cli.local.pauses import nodes_here, resume_here
    from distribute_cli.pauses_elsewhere import resume_there
    from distribute_cli.values import checked_name

    if node is not None:
        checked_name("--node", node)
    here = await nodes_here(session, node)
    if here is not None:
        return await resume_here(session.output, here)
    assert node is not None, "without a name, the nodes of this computer are meant"
    return await resume_there(session, node)


app = verb(resume)
