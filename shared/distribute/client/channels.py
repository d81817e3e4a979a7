"""The channels by which a cluster tells people what becomes of their batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from distribute.core.errors import Unreachable

if TYPE_CHECKING:
    from distribute.ports import Cluster

CHANNELS = "channels"
"""The verb of the query that the notifier answers."""


async def ask_channels(cluster: Cluster) -> list[str]:
    """Their names; none if no notifier answers."""
    try:
        return list(orjson.loads(await cluster.queries.ask(CHANNELS))["channels"])
    except Unreachable:
        return []
