"""`distribute server`: runs the head of a cluster: broker, scheduler and archiver."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distribute.config.server_url import DEFAULT_PORT
from distribute_cli.session import Session
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.config.settings import ServerSettings

LOOPBACK = "127.0.0.1"


async def server(
    session: Session,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="D", help="Data folder. [default: ~/.local/state/distribute/server]"),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="H", help="Listen on this address or name of this computer; 0.0.0.0: on all addresses."
        ),
    ] = LOOPBACK,
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
    from distribute_cli.local.addresses import is_loopback
    from distribute_cli.local.cluster import Plan
    from distribute_cli.local.cluster_record import start_command
    from distribute_cli.local.listening import Reach, listening_address
    from distribute_cli.local.running import run_here
    from distribute_cli.local.services import scheduler_options

    durations = {"--out-of-touch": out_of_touch, "--lost-after": lost_after}
    durations["--longest-patience"] = longest_patience
    head = _settings(settings, durations, patience_growth)
    address = listening_address(host)
    if not is_loopback(address):
        session.output.warn(
            f"there is no login yet: everybody who reaches port {port} of this computer can run jobs on the "
            "lab's computers; keep it behind a firewall"
        )
    folder = (directory or default_cluster_dir("server")).absolute()
    options = {
        "--host": None if host == LOOPBACK else host,
        "--port": None if port == DEFAULT_PORT else port,
        "--settings": settings and settings.absolute(),
        "--patience-growth": patience_growth,
        **durations,
    }
    plan = Plan(
        folder, (), port, address, "server", tuple(scheduler_options(head)),
        command=start_command("server", folder, *_words(options)),
    )  # fmt: skip
    reach = await asyncio.to_thread(Reach.of, host, address, port)
    return await run_here(session.output, plan, reach=reach)


def _settings(
    file: Path | None, durations: Mapping[str, str | None], patience_growth: float | None
) -> ServerSettings:
    """The settings of a file, or of this user, overridden by the options that are given.

    Raises:
        InputError: a value is wrong.
    """
    from distribute.config.settings import load_server_settings
    from distribute_cli.values import duration_s

    given: dict[str, float] = {
        f"{option.removeprefix('--').replace('-', '_')}_s": duration_s(option, text)
        for option, text in durations.items()
        if text is not None
    }
    if patience_growth is not None:
        given["patience_growth"] = patience_growth
    return load_server_settings(file).model_copy(update=given)


def _words(options: Mapping[str, object]) -> list[str]:
    """The options of a command line that are given."""
    return [word for name, value in options.items() if value is not None for word in (name, str(value))]


app = verb(server, needs_cluster=False)
