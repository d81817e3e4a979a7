"""`distribute pause`: this workstation, or a node anywhere, lends nothing for a while."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute.core.errors import InputError
from distribute.core.spec.specs import DEFAULT_MAX_PAUSE_S
from distribute.core.words import format_duration
from distribute_cli.completing import complete_node
from distribute_cli.session import Session
from distribute_cli.verbs import verb

LONGEST = format_duration(DEFAULT_MAX_PAUSE_S)
"""How long a pause lasts without --duration. Nodes allow no longer one, unless they are set to."""


async def pause(
    session: Session,
    time: Annotated[
        str | None, typer.Argument(metavar="T", help="As --duration.", show_default=False)
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(
            metavar="T", help=f"For how long: 45m, 1h30m10s. [default: {LONGEST}]", show_default=False
        ),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Which node, wherever it is. [default: all nodes of this computer]",
            autocompletion=complete_node,
        ),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="R", help="Why. `nodes` shows it.")] = "",
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when it is paused. `resume`, or its end, ends the pause.")
    ] = False,
) -> int:
    """Freeze the jobs on this computer, or on node N, for a while. It takes no new ones meanwhile.

    Shows how long the pause lasts still, and what it holds. Ctrl-C ends it, and the jobs go on.
    """
    from distribute_cli.local.pauses import nodes_here, pause_here
    from distribute_cli.pauses_elsewhere import pause_there
    from distribute_cli.pausing import Wish
    from distribute_cli.session import user_name
    from distribute_cli.values import checked_name, checked_text, duration_s

    if node is not None:
        checked_name("--node", node)
    if time is not None and duration is not None:
        raise InputError("T and --duration are the same: give one of them")
    written = duration or time
    wish = Wish(
        node=node,
        duration_s=duration_s("--duration" if time is None else "T", written or LONGEST),
        is_default=written is None,
        by=user_name(),
        reason=checked_text("--reason", reason),
        detach=detach,
    )
    here = await nodes_here(session, node)
    if here is not None:
        return await pause_here(session.output, here, wish)
    assert node is not None, "without a name, the nodes of this computer are meant"
    return await pause_there(session, node, wish)


app = verb(pause)
