"""Sending a batch's inputs to the store, each content once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from distribute_cli.output import Bar

if TYPE_CHECKING:
    from distribute.nats.cluster import Cluster

PARALLEL_FILES = 128
"""Asked for at once; the store itself knows how many to send at a time."""


async def upload(cluster: Cluster, sources: Mapping[str, Path], bar: Bar) -> None:
    """Store the files of `sources` (by sha256) that are not stored yet.

    Raises:
        IntegrityError: a file changed since it was read.
        StorageFull: the cluster has no room.
    """
    total = sum(path.stat().st_size for path in sources.values())
    sent = 0

    async def work(queue: Iterator[tuple[str, Path]]) -> None:
        nonlocal sent
        for sha256, path in queue:
            await cluster.store.put_input(path, sha256)
            sent += path.stat().st_size
            bar.update(sent, total)

    queue = iter(sources.items())
    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(PARALLEL_FILES, len(sources))):
            tasks.create_task(work(queue))
