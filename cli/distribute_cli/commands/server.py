"""`distribute server`: the head's services: broker, scheduler, archiver."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.verbs import verb


class Host(Enum):
    """Which of the computer's addresses to listen on."""

    LOOPBACK = "127.0.0.1"
    ALL = "0.0.0.0"


async def server(
    session: Session,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="D", help="Where it keeps its data, and finds it again.")
    ] = None,
    host: Annotated[
        Host, typer.Option(help="Loopback, or all of this computer's addresses.")
    ] = Host.LOOPBACK,
    port: Annotated[
        int, typer.Option("--port", "-p", min=1, max=65535, metavar="P", help="The broker's port.")
    ] = 4222,
) -> int:
    """Run the head of a cluster: broker, scheduler and archiver. Each computer then runs `client`."""
    from distribute.config.folders import state_dir
    from distribute_cli.local.cluster import Plan
    from distribute_cli.local.running import run_here

    if host is Host.ALL:
        session.output.warn(
            f"there is no login yet: whoever reaches port {port} of this computer can run jobs on the lab's "
            "computers; keep it behind a firewall"
        )
    folder = (directory or state_dir() / "server").absolute()
    return await run_here(session.output, Plan(folder, (), port, host.value))


app = verb(server, needs_cluster=False)
