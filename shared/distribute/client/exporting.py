"""Save the log of a cluster in a file, from which readers work without a server."""

from __future__ import annotations

import time
from pathlib import Path

from distribute.client.about import own_version
from distribute.client.queries import no_such_batch
from distribute.core.ids import BatchId, Under
from distribute.core.log.events import NodeEvent, types_of
from distribute.core.telling.listing import rfc3339
from distribute.ports import Cluster, OnDone, Only, tell_nobody
from distribute.saved.lines import Header, Last
from distribute.saved.log import SavedCluster
from distribute.saved.writing import save


async def export(
    cluster: Cluster,
    path: Path,
    *,
    name: str,
    batch: BatchId | None = None,
    replace: bool = False,
    on_done: OnDone = tell_nobody,
) -> Last:
    """Save the log as it is by now.

    Args:
        cluster: whose log.
        path: the new file. It is there only once it is whole.
        name: what the file calls the cluster.
        batch: save only the events of this name, of deleted batches, too, and those about nodes.
        replace: replace a file that is there.
        on_done: is told the sequence that is reached, again and again.

    Raises:
        Refused: the file is there already, or there never was such a batch.
        InputError: the file can't be written.
    """
    if batch is not None and await cluster.log.last(Under(batch)) is None:
        raise no_such_batch(batch)
    part = cluster.file.header.batch if isinstance(cluster, SavedCluster) else None
    header = Header(
        cluster=name,
        saved_at=rfc3339(time.time()) or "",
        version=own_version(),
        batch=part if batch is None else list(batch),
    )
    only = Only() if batch is None else Only(batch=batch, also=types_of(NodeEvent))
    return await save(cluster.log, path, header, only=only, replace=replace, on_done=on_done)
