"""Fill a broker's log with the events of a made-up lab, quickly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from distribute.codec import encode
from distribute.core.log.recorded import Recorded
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream.subjects import event_subject

MAX_UNANSWERED = 5000
"""The broker queues 10,000 messages per stream, and drops more."""


@asynccontextmanager
async def empty_cluster() -> AsyncIterator[tuple[Broker, Cluster]]:
    """Run a broker that does not sync each message, with an empty cluster."""
    with TemporaryDirectory() as folder:
        async with (
            Broker(Path(folder), sync_always=False, die_with_parent=True) as broker,
            open_cluster(broker.address, "benchmark", provisioning=True) as cluster,
        ):
            yield broker, cluster


async def fill(cluster: Cluster, piece: Sequence[Recorded]) -> None:
    """Append events in bulk, without guards. Nobody else may append meanwhile."""
    for number, recorded in enumerate(piece, start=1):
        subject, payload = event_subject(recorded.event), encode(recorded.event)
        if number % MAX_UNANSWERED == 0 or number == len(piece):
            await cluster.connection.request(subject, payload)  # answered once all before are stored
        else:
            cluster.connection.send(subject, payload)
    found = await cluster.log.last_seq()
    if found != piece[-1].seq:
        raise AssertionError(f"the broker has stored events up to {found}, not {piece[-1].seq}")
