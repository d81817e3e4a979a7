"""`distribute up`: a whole cluster on this computer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distribute.core.spec.specs import MAX_CPUS
from distribute_cli.notify_options import MatrixOption, NotifyOption
from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def up(
    session: Session,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="D", help="Data folder. [default: ~/.local/state/distribute/cluster]"),
    ] = None,
    nodes: Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="How many nodes.")] = 1,
    cpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_CPUS,
            metavar="C",
            help="Cpus of each node. [default: the nodes share this computer's]",
        ),
    ] = None,
    capability: Annotated[
        list[str] | None, typer.Option(metavar="X", help="Add a capability to every node (may be repeated).")
    ] = None,
    port: Annotated[
        int,
        typer.Option("--port", "-p", min=0, max=65535, metavar="P", help="The broker's port; 0: a free one."),
    ] = 0,
    notify_config: NotifyOption = None,
    matrix_config: MatrixOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when it is ready. It keeps running.")
    ] = False,
    ready_fd: Annotated[
        int | None, typer.Option(hidden=True, help="Tells --detach that it is ready.")
    ] = None,
) -> int:
    """Run a whole cluster on this computer: broker, services and nodes. Ctrl-C or `down` ends it."""
    from distribute.config.settings.folders import default_cluster_dir
    from distribute_cli.local.services import notifier_options
    from distribute_cli.values import capabilities

    folder = (directory or default_cluster_dir("up")).absolute()
    session.logs.say_where_services_log(session.output, folder / "logs")
    added = capabilities(capability or [])
    options = ["--nodes", str(nodes)] if nodes != 1 else []
    options += ["--cpus", str(cpus)] if cpus is not None else []
    options += [word for name in added for word in ("--capability", name)]
    options += ["--port", str(port)] if port else []
    notifier = notifier_options(notify_config, matrix_config, folder / "notifier")
    options += ["--notify-config", str(notify_config.absolute())] if notify_config else []
    options += ["--matrix-config", str(matrix_config.absolute())] if matrix_config else []
    if detach:
        from distribute_cli.local.detached import run_detached

        return await run_detached(session.output, folder, ["up", "--dir", str(folder), *options])
    from distribute_cli.local.cluster import Plan, plan_nodes
    from distribute_cli.local.cluster_record import start_command
    from distribute_cli.local.running import run_here

    detached = ["--detach"] if ready_fd is not None else []
    command = start_command("up", folder, *options, *detached)
    plan = Plan(folder, plan_nodes(nodes, cpus, added), port, command=command, notifier_options=notifier)
    return await run_here(session.output, plan, ready_fd)


app = verb(up, needs_cluster=False, serves=True)
