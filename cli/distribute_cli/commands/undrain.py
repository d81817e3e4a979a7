"""`distribute undrain NODE`: the node takes jobs again."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.completing import complete_node
from distribute_cli.session import Session
from distribute_cli.verbs import verb

_ENDS = frozenset({"draining", "quarantined"})
"""The states that this ends."""

_TAKES_JOBS = frozenset({"idle", "busy"})
"""The states in which there is nothing to end."""


async def undrain(
    session: Session,
    node: Annotated[
        str, typer.Argument(metavar="NODE", help="The node's name.", autocompletion=complete_node)
    ],
    dry: Annotated[bool, typer.Option("--dry", "-d", help="Say what it is now, but change nothing.")] = False,
) -> None:
    """Let a node take jobs again, after `drain`, or when it is in quarantine."""
    from distribute.client.control import undrain as undrain_node
    from distribute.client.words import printable
    from distribute_cli.values import checked_name

    checked_name("NODE", node)
    async with session.cluster() as cluster:
        found = await undrain_node(cluster, session.queries(cluster), session.person, node, dry=dry)
    takes, state = "would take" if dry else "takes", found["state"]
    was = f"; it {'is' if dry else 'was'} {state.replace('_', ' ')}" if state in _ENDS else ""
    document = {"node": node, "state_before": state, "dry": dry}
    line = f"{printable(node)} {takes} jobs again{was}"
    if state in _TAKES_JOBS:
        line = f"{printable(node)} takes jobs already: it was neither draining nor in quarantine"
    session.output.done(line, document)


app = verb(undrain)
