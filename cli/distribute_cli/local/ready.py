"""What a person reads when a cluster on this computer is ready: where it is, and how to use and end it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from distribute.client.words import argument, printable
from distribute.config.settings.cluster_record import ClusterRecord
from distribute.config.settings.folders import config_dir, short
from distribute.config.settings.where import resolve_server
from distribute.core.errors import InputError, Unreachable
from distribute.core.words import counted
from distribute.standard_streams import OutputLost, drop_output
from distribute_cli.local.addresses import names_this_broker
from distribute_cli.local.cluster_record import down_command
from distribute_cli.local.listening import Reach
from distribute_cli.output.form import Output
from distribute_cli.session import cluster_document


def show_ready(output: Output, record: ClusterRecord, reach: Reach | None = None) -> None:
    """Say where the cluster is; of a head, also what nodes and people type to reach it."""
    url = record.server if reach is None else reach.url
    if record.verb == "up":
        names = ", ".join(printable(name) for name in record.nodes)
        nodes = f" with {counted(len(record.nodes), 'node')} ({names})" if record.nodes else " with no nodes"
    else:
        nodes = ""
    try:
        output.done(
            f"the cluster is ready at {url}{nodes}; its data is in {record.dir}",
            record.document | {"url": url},
        )
    except OutputLost as error:  # a full disk for logs is no reason to end a cluster
        drop_output()
        output.warn(str(error))
    if record.verb == "up":
        return
    if reach is None:
        output.hint("only this computer reaches it; a lab's head needs --host 0.0.0.0")
    output.hint(f"each node types:   distribute client --server {argument(url)}")
    output.hint(f"each person types: export DISTRIBUTE_SERVER={argument(url)}")
    settings = short(str(config_dir() / "client.yaml"))
    output.hint(f"                   (or writes 'server: {url}' into {settings})")
    if reach is not None and reach.by_address is not None:
        output.hint(f"where nobody knows the name {urlsplit(url).hostname}: {reach.by_address}")


def how_to_end(record: ClusterRecord) -> str:
    """What a person does to end the cluster in this terminal."""
    if record.verb == "up":
        return f"Ctrl-C, or `{down_command(Path(record.dir))}` elsewhere, ends it"
    return "Ctrl-C ends it"


async def warn_if_verbs_go_elsewhere(output: Output, record: ClusterRecord) -> None:
    """Warn a person whose settings name another cluster than the one that they started just now."""
    try:
        found = resolve_server()
    except InputError as error:
        for problem in error.problems:
            output.warn(f"verbs don't work until this is mended: {problem}")
        return
    except Unreachable:
        output.warn("verbs don't find this cluster by themselves")
    else:
        if await asyncio.to_thread(names_this_broker, found.server, record.server):
            return
        named = cluster_document(found)
        output.warn(f"verbs still go to {named['server']} (from {short(named['source'])})")
    output.warn(f"for this cluster, type: export DISTRIBUTE_SERVER={argument(record.server)}")
