"""What happens to batches on a real log, and waiting until people were told."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from distribute.core.log.events import Event, Notified
from distribute.core.spec.specs import BatchSpec
from distribute.nats.cluster import Cluster
from distribute.ports import Only
from distribute.testing import builders as make

NOTIFIED = Only(types=frozenset({"notified"}))


def killed(spec: BatchSpec) -> Sequence[Event]:
    return make.submitted(spec), make.kill_requested(spec), make.completed(spec, state="killed")


async def until_told(cluster: Cluster, batches: Sequence[BatchSpec]) -> None:
    """Wait until the log says of each batch that it was told."""
    missing = {spec.batch for spec in batches}
    async with aclosing(cluster.log.follow(after=0, only=NOTIFIED)) as telling:
        async for records in telling:
            missing -= {recorded.event.batch for recorded in records if isinstance(recorded.event, Notified)}
            if not missing:
                return
