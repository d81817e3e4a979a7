"""`distribute server`: runs the head of a cluster: broker, scheduler and archiver."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.notify_options import MatrixOption, NotifyOption
from distribute_cli.session import Session
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.config.settings.settings import ServerSettings
    from distribute.ports import Cluster


HostOption = Annotated[
    str | None,
    typer.Option(
        metavar="H",
        help="Listen on this address or name of this computer; 0.0.0.0: on all addresses. "
        "[default: 127.0.0.1]",
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option("--port", "-p", min=1, max=65535, metavar="P", help="The broker's port. [default: 4222]"),
]
OutOfTouchOption = Annotated[
    str | None,
    typer.Option(metavar="T", help="A node that is silent for so long gets no new jobs. [default: 15s]"),
]
LostAfterOption = Annotated[
    str | None,
    typer.Option(metavar="T", help="After so much silence its jobs go to other nodes. [default: 1m]"),
]
GrowthOption = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, metavar="F", help="A long job waits for its node F of its run time. [default: 0.1]"
    ),
]
LongestOption = Annotated[
    str | None,
    typer.Option(metavar="T", help="But no longer than this, or --lost-after. [default: 30m]"),
]
NodesFileOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The lab's nodes and their capabilities, as in a distribute-nodes.yaml."
    ),
]
SavePathOption = Annotated[Path | None, typer.Option("--save-path", metavar="D", hidden=True)]
TempDirOption = Annotated[Path | None, typer.Option("--temp-dir", metavar="D", hidden=True)]
CleanOption = Annotated[bool, typer.Option("--clean-output", "-c", hidden=True)]
# Those of the first `distribute` that have another name or no meaning here: see `local/original_head.py`.


async def server(
    session: Session,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="D", help="Data folder. [default: ~/.local/state/distribute/server]"),
    ] = None,
    host: HostOption = None,
    port: PortOption = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings file. [default: ~/.config/distribute/server.yaml]"),
    ] = None,
    out_of_touch: OutOfTouchOption = None,
    lost_after: LostAfterOption = None,
    patience_growth: GrowthOption = None,
    longest_patience: LongestOption = None,
    nodes_file: NodesFileOption = None,
    matrix_config: MatrixOption = None,
    notify_config: NotifyOption = None,
    save_path: SavePathOption = None,
    temp_dir: TempDirOption = None,
    clean_output: CleanOption = False,
) -> int:
    """Run the head of a cluster: broker, scheduler and archiver. Each computer then runs `client`."""
    from distribute_cli.local.addresses import is_loopback
    from distribute_cli.local.cluster import Plan
    from distribute_cli.local.cluster_record import start_command
    from distribute_cli.local.listening import Reach, listening_address
    from distribute_cli.local.original_head import OriginalOptions, head_as_written
    from distribute_cli.local.running import run_here
    from distribute_cli.local.services import archiver_options, notifier_options, scheduler_options

    durations = {"--out-of-touch": out_of_touch, "--lost-after": lost_after}
    durations["--longest-patience"] = longest_patience
    chosen = _settings(settings, durations, patience_growth)
    original = OriginalOptions(save_path, temp_dir, clean_output)
    nodes_file = nodes_file or original.nodes_file(session.output)
    listed = _listed(session, nodes_file)
    head = head_as_written(session.output, directory, host, port, original)
    notifier = notifier_options(notify_config, matrix_config, head.folder / "notifier")
    session.logs.say_where_services_log(session.output, head.logs)
    address = listening_address(head.host)
    if not is_loopback(address):
        session.output.warn(
            f"there is no login yet: everybody who reaches port {head.port} of this computer can run jobs on "
            "the lab's computers; keep it behind a firewall"
        )
    options = {
        **head.options,
        "--settings": settings and settings.absolute(),
        "--patience-growth": patience_growth,
        **durations,
        "--nodes-file": nodes_file and nodes_file.absolute(),
        "--matrix-config": matrix_config and matrix_config.absolute(),
        "--notify-config": notify_config and notify_config.absolute(),
    }
    plan = Plan(
        head.folder, (), head.port, address, "server",
        tuple(scheduler_options(chosen)), tuple(archiver_options(chosen)),
        notifier_options=notifier,
        command=start_command("server", head.folder, *_words(options)),
        when_ready=lambda cluster: _list(session, cluster, listed),
    )  # fmt: skip
    reach = await asyncio.to_thread(Reach.of, head.host, address, head.port)
    return await run_here(session.output, plan, reach=reach)


def _listed(session: Session, file: Path | None) -> Mapping[str, frozenset[str]]:
    """The capabilities of the nodes in a file, by name. Says what of the file is not used.

    Raises:
        InputError: the file can't be read, or something in it is wrong.
    """
    if file is None:
        return {}
    from distribute.config.settings.nodes_file import load_nodes_file

    nodes, unused = load_nodes_file(file)
    for line in unused:
        session.output.warn(line)
    return nodes


async def _list(session: Session, cluster: Cluster, nodes: Mapping[str, frozenset[str]]) -> None:
    """Have the nodes of the file listed, and no others: the file of the last start counts."""
    from distribute.client.listed_nodes import list_nodes

    await list_nodes(cluster, session.queries(cluster), session.person, nodes)


def _settings(
    file: Path | None, durations: Mapping[str, str | None], patience_growth: float | None
) -> ServerSettings:
    """The settings of a file, or of this user, overridden by the options that are given.

    Raises:
        InputError: a value is wrong.
    """
    from distribute.config.settings.settings import load_server_settings
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


app = verb(server, needs_cluster=False, serves=True)
