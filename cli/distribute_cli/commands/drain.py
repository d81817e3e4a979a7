"""`distribute drain NODE`: the node takes no new jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.completing import complete_node
from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def drain(
    session: Session,
    node: Annotated[
        str, typer.Argument(metavar="NODE", help="The node's name.", autocompletion=complete_node)
    ],
    reason: Annotated[str, typer.Option(metavar="R", help="Why. `nodes` shows it.")] = "",
    until: Annotated[
        str | None,
        typer.Option(metavar="T", help="When it takes jobs again: 2030-01-31T18:00, or from now: 2h, 3d."),
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry", "-d", help="Say what would be drained, but change nothing.")
    ] = False,
) -> None:
    """Have a node take no new jobs. Jobs that run there go on. `undrain` ends this."""
    from datetime import UTC, datetime

    from distribute.client.control import drain as drain_node
    from distribute.client.words import argument, printable
    from distribute.core.telling.listing import rfc3339
    from distribute_cli.output.facts import moment as by_this_clock
    from distribute_cli.output.losses import run_on
    from distribute_cli.values import checked_name, checked_text, moment

    checked_name("NODE", node)
    checked_text("--reason", reason)
    end = None if until is None else moment("--until", until, datetime.now(UTC))
    async with session.cluster() as cluster:
        queries, person = session.queries(cluster), session.person
        found = await drain_node(cluster, queries, person, node, reason=reason, until=end, dry=dry)
    ends_at = None if end is None else rfc3339(end.timestamp())
    for_how_long = "" if end is None else f" until {by_this_clock(ends_at)}"
    takes = "would take" if dry else "takes"
    session.output.done(
        f"{printable(node)} {takes} no new jobs{for_how_long}{run_on(found['running'])}",
        {"node": node, "reason": reason, "until": ends_at, "running": found["running"], "dry": dry},
    )
    if not dry:
        session.output.hint(f"`distribute undrain {argument(node)}` ends this")


app = verb(drain)
