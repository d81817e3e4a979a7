"""Tell the cluster which nodes its head lists, as the head's nodes file has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from distribute.client.appending import append_behind
from distribute.core.ids import NodeId
from distribute.core.log.events import Event, Listed

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.ports import Cluster


async def list_nodes(
    cluster: Cluster, queries: Queries, person: Person, nodes: Mapping[str, frozenset[str]]
) -> None:
    """Have exactly these nodes listed, each with its capabilities. Says only what changes.

    Args:
        cluster: whose nodes they are.
        queries: tells which are listed already.
        person: whose file it is.
        nodes: capabilities by name.
    """
    rows = (await queries.nodes())["nodes"]
    before = {row["node"]: frozenset(can) for row in rows if (can := row.get("listed")) is not None}
    # Those that are no longer listed come first: there is a bound.
    for name in (*sorted(before.keys() - nodes.keys()), *sorted(nodes)):
        if before.get(name) != nodes.get(name):
            await _say(cluster, Listed(**person.stamp(), node=name, capabilities=nodes.get(name)))


async def _say(cluster: Cluster, event: Listed) -> None:
    async def read() -> tuple[Event, int]:
        last = await cluster.log.last(NodeId(event.node))
        return event, 0 if last is None else last.seq

    await append_behind(cluster.log, read)
