"""`distribute server`: runs the head of a cluster: broker, scheduler and archiver."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from distribute.config.server_url import DEFAULT_PORT
from distribute_cli.session import Session
from distribute_cli.verbs import verb


class Host(Enum):
    """Which of the computer's addresses to listen on."""

    LOOPBACK = "127.0.0.1"
    ALL = "0.0.0.0"


async def server(
    session: Session,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="D", help="Data folder. [default: ~/.local/state/distribute/server]"),
    ] = None,
    host: Annotated[
        Host, typer.Option(help="Listen on loopback only, or on all addresses of this computer.")
    ] = Host.LOOPBACK,
    port: Annotated[
        int, typer.Option("--port", "-p", min=1, max=65535, metavar="P", help="The broker's port.")
    ] = DEFAULT_PORT,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings file. [default: ~/.config/distribute/server.yaml]"),
    ] = None,
    out_of_touch: Annotated[
        str | None,
        typer.Option(metavar="T", help="A node that is silent for so long gets no new jobs. [default: 15s]"),
    ] = None,
    lost_after: Annotated[
        str | None,
        typer.Option(metavar="T", help="After so much silence its jobs go to other nodes. [default: 1m]"),
    ] = None,
    patience_growth: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="F", help="A long job waits for its node F of its run time. [default: 0.1]"
        ),
    ] = None,
    longest_patience: Annotated[
        str | None,
        typer.Option(metavar="T", help="But no longer than this, or --lost-after. [default: 30m]"),
    ] = None,
) -> int:
    """Run the head of a cluster: broker, scheduler and archiver. Each computer then runs `client`."""
    from distribute.config.folders import default_cluster_dir
    from distribute.config.settings import load_server_settings
    from distribute_cli.local.cluster import Plan
    from distribute_cli.local.cluster_record import start_command
    from distribute_cli.local.running import run_here
    from distribute_cli.local.services import scheduler_options
    from distribute_cli.values import duration_s

    durations = {
        "out_of_touch_s": ("--out-of-touch", out_of_touch),
        "lost_after_s": ("--lost-after", lost_after),
        "longest_patience_s": ("--longest-patience", longest_patience),
    }
    given = {name: duration_s(option, text) for name, (option, text) in durations.items() if text is not None}
    if patience_growth is not None:
        given["patience_growth"] = patience_growth
    head = load_server_settings(settings).model_copy(update=given)
    if host is Host.ALL:
        session.output.warn(
            f"there is no login yet: everybody who reaches port {port} of this computer can run jobs on the "
            "lab's computers; keep it behind a firewall"
        )
    folder = (directory or default_cluster_dir("server")).absolute()
    options = {
        "--host": None if host is Host.LOOPBACK else host.value,
        "--port": None if port == DEFAULT_PORT else port,
        "--settings": settings and settings.absolute(),
        "--patience-growth": patience_growth,
        **dict(durations.values()),
    }
    command = start_command("server", folder, *_words(options))
    services = tuple(scheduler_options(head))
    plan = Plan(folder, (), port, host.value, verb="server", scheduler_options=services, command=command)
    return await run_here(session.output, plan)


def _words(options: Mapping[str, object]) -> list[str]:
    """The options of a command line that are given."""
    return [word for name, value in options.items() if value is not None for word in (name, str(value))]


app = verb(server, needs_cluster=False)
