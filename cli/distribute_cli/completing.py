"""The names that a shell offers at a press of the tab key: batches, jobs and nodes of the cluster.

A shell waits for them. So they come within a second or not at all, and nothing is said about why not.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import typer

from distribute_cli.session import open_at

if TYPE_CHECKING:
    from distribute.ports import Cluster

WITHIN_S = 0.8
"""The start of the program takes the rest of the second."""

MOST = 1000
"""Nobody reads more."""

Find = Callable[["Cluster"], Awaitable[Iterable[str]]]


def complete_batch(ctx: typer.Context, incomplete: str) -> list[str]:
    """Batches whose names begin so: `NAMESPACE/BATCH`, or without the namespace; and `last`."""
    return _offered(ctx, incomplete, _batches)


def complete_target(ctx: typer.Context, incomplete: str) -> list[str]:
    """Batches, and behind `NAMESPACE/BATCH/` the jobs of the batch."""
    namespace, _, rest = incomplete.partition("/")
    batch, slash, _ = rest.partition("/")
    if not slash:
        return complete_batch(ctx, incomplete)

    async def find(cluster: Cluster) -> Iterable[str]:
        jobs = (await _ask(cluster, "names", {"namespace": namespace, "batch": batch}))["jobs"]
        return (f"{namespace}/{batch}/{job}" for job in jobs)

    return _offered(ctx, incomplete, find)


def complete_node(ctx: typer.Context, incomplete: str) -> list[str]:
    """Nodes whose names begin so."""

    async def find(cluster: Cluster) -> Iterable[str]:
        return [node["node"] for node in (await _ask(cluster, "nodes", {}))["nodes"]]

    return _offered(ctx, incomplete, find)


async def _batches(cluster: Cluster) -> Iterable[str]:
    batches = (await _ask(cluster, "status", {}))["batches"]
    whole = [f"{batch['namespace']}/{batch['batch']}" for batch in batches]
    return [*whole, *dict.fromkeys(batch["batch"] for batch in batches), *(["last"] if batches else [])]


async def _ask(cluster: Cluster, verb: str, question: dict[str, Any]) -> dict[str, Any]:
    from distribute.client.queries import ask

    return await ask(cluster, verb, question, timeout_s=WITHIN_S)


def _offered(ctx: typer.Context, incomplete: str, find: Find) -> list[str]:
    """What `find` finds in the cluster that the words before name. Nothing if it is not found in time."""
    names: list[str] = []

    def look() -> None:
        names.extend(asyncio.run(_look(ctx.params, find)))

    # A thread, since asking for a host's name can take long, and nothing can end that.
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(WITHIN_S)
    if looking.is_alive():
        give_up()
    found = (name for name in names if name.startswith(incomplete) and shlex.quote(name) == name)
    return [name for name, _ in zip(found, range(MOST), strict=False)]


async def _look(given: dict[str, Any], find: Find) -> list[str]:
    from distribute.config.settings.where import resolve_server
    from distribute.core.errors import DistributeError

    try:
        places = given.get("server"), given.get("creds"), given.get("ip"), given.get("port")
        where = resolve_server(*places)
        async with open_at(where.server, where.creds, "distribute completes a name") as cluster:
            return list(await find(cluster))
    except (DistributeError, OSError, KeyError):
        return []  # whoever presses a key wants no error


def give_up() -> None:
    """End the program. Otherwise it would wait for the thread that waits for the network."""
    os._exit(0)
