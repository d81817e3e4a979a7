"""Events for a real log."""

from __future__ import annotations

import orjson

from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, guard_scope
from distribute.nats.cluster import Cluster


async def append(cluster: Cluster, *events: Event) -> int:
    """Append events behind whatever is there. Returns the sequence of the last."""
    seq = 0
    for event in events:
        last = await cluster.stream.last(guard_scope(event))  # a guard knows no archives
        seq = await cluster.log.append(event, Guard(last.seq if last is not None else 0))
    return seq


async def put(cluster: Cluster, subject: str, body: bytes) -> int:
    """Store a message, as any program in the lab can."""
    answer = await cluster.connection.request(subject, body)
    return int(orjson.loads(answer.payload)["seq"])
