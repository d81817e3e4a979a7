"""`distribute client [BASE]`: makes this computer a node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distribute.core.errors import InputError
from distribute.core.spec.specs import MAX_CPUS
from distribute_cli.own_log import LOG_FILE
from distribute_cli.session import Session, cluster_document
from distribute_cli.verbs import verb

TransportOption = Annotated[
    int | None, typer.Option("--transport-port", "-p", metavar="N", min=1, max=65535, hidden=True)
]
KeepaliveOption = Annotated[
    int | None, typer.Option("--keepalive-port", "-k", metavar="N", min=1, max=65535, hidden=True)
]
CancelOption = Annotated[
    int | None, typer.Option("--cancel-port", "-c", metavar="N", min=1, max=65535, hidden=True)
]


async def client(
    session: Session,
    base: Annotated[
        Path | None,
        typer.Argument(metavar="BASE", help="The folder the node works in, best on a fast and large disk."),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The node's settings. [default: ~/.config/distribute/node.yaml]"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="N", help="The node's name. [default: the host name]")
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_CPUS, metavar="C", help="How many cores it lends. [default: all]"),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="How much memory it lends, such as 16G. [default: all]")
    ] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option(metavar="X", help="Add a capability to those detected (may be repeated)."),
    ] = None,
    log_file: Annotated[
        Path | None,
        typer.Option("--log-file", "-l", metavar="FILE", help="Log to FILE. [default: the terminal]"),
    ] = None,
    transport_port: TransportOption = None,
    keepalive_port: KeepaliveOption = None,
    cancel_port: CancelOption = None,
) -> None:
    """Make this computer a node: it runs jobs of the cluster until you end it."""
    from distribute.client.words import argument
    from distribute.config.settings.folders import config_dir, state_dir
    from distribute.config.settings.settings import load_node_settings
    from distribute.config.settings.where import NodeFile
    from distribute_cli.local.services import become_service, node_options
    from distribute_cli.values import capabilities, checked_name, size_bytes

    _say_that_no_port_is_needed(session, transport_port, keepalive_port, cancel_port)
    written = load_node_settings(settings)
    given = {
        "work_dir": base and base.absolute(),
        "name": None if name is None else checked_name("--name", name),
        "cpus": cpus,
        "memory_bytes": None if memory is None else size_bytes("--memory", memory),
        "capabilities": capability and (*written.capabilities, *capabilities(capability)),
    }
    node = written.model_copy(update={key: value for key, value in given.items() if value is not None})
    file = NodeFile(settings or config_dir() / "node.yaml", written.server)
    address = session.address(file, written.creds)
    session.output.cluster(cluster_document(address), at_once=True)
    options = node_options(node, state_dir() / "node")
    # More than there is is an error that names the option, or the key of the file.
    by_option = {"cpus": cpus, "memory": memory}
    for what in ("cpus", "memory", "gpus"):
        where = f"{file.path}: {what}" if by_option.get(what) is None else f"--{what}"
        options.append(f"--written={what}={where}")
    log_file = log_file or (LOG_FILE if session.logs.save else None)
    if log_file is not None:
        options += ["--log-file", str(log_file.absolute())]
        if session.logs.show:
            session.output.hint(f"the log is in {log_file}; `tail -F {argument(str(log_file))}` shows it")
    become_service("node-runner", address, *options)


def _say_that_no_port_is_needed(
    session: Session, transport: int | None, keepalive: int | None, cancel: int | None
) -> None:
    """Say it of the ports that the first `distribute` opened on a node.

    Raises:
        InputError: `-p` may be meant for the head's port.
    """
    ports = {"--transport-port": transport, "--keepalive-port": keepalive, "--cancel-port": cancel}
    options = [option for option, port in ports.items() if port is not None]
    if not options:
        return
    if session.where.ip is not None and session.where.port is None and transport is not None:
        raise InputError("-p is --transport-port here; write the head's port as --port, behind --ip HOST")
    are = "is" if len(options) == 1 else "are"
    session.output.warn(
        f"{', '.join(options)} {are} not needed: a node opens no port, it connects to the head"
    )


app = verb(client, answers=False, is_node=True, serves=True)
