"""What jobs and builds printed, as text: live while they run, from their archived outputs afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from distribute.client.manifests import read_manifest
from distribute.client.pull.object_stream import ObjectStream
from distribute.client.words import printable
from distribute.core.errors import IntegrityError
from distribute.core.files.manifest import STDOUT_NAME, Outputs, StoredFile

if TYPE_CHECKING:
    from distribute.core.ids import BuildId, JobId
    from distribute.ports import Cluster

Text = AsyncGenerator[bytes | memoryview, None]

QUIET_S = 0.5
"""Stop following what has ended after this much silence: by then everything it sent has arrived."""


async def live_text(
    cluster: Cluster,
    of: JobId | BuildId,
    attempt: int,
    since: float,
    is_over: Callable[[], Coroutine[Any, Any, object]],
) -> Text:
    """What an attempt or build (attempt 0) printed since a time, until `is_over` returns and it is quiet."""
    over = asyncio.ensure_future(is_over())
    async with aclosing(cluster.live.follow(of, attempt, since=since)) as chunks:
        coming = asyncio.ensure_future(anext(chunks))
        try:
            while True:
                waited_for = {coming} if over.done() else {coming, over}
                done, _ = await asyncio.wait(
                    waited_for, timeout=QUIET_S if over.done() else None, return_when=asyncio.FIRST_COMPLETED
                )
                if coming in done:
                    yield coming.result()
                    coming = asyncio.ensure_future(anext(chunks))
                elif over in done:
                    over.result()
                elif not done:
                    return
        finally:
            over.cancel()
            coming.cancel()
            await asyncio.wait({over, coming})


async def stored_text(
    cluster: Cluster, outputs: Outputs | None, is_wanted: Callable[[str], bool] = STDOUT_NAME.__eq__
) -> Text:
    """The wanted file of what a job or build left."""
    if outputs is None:
        return
    manifest, _ = await read_manifest(cluster.store, outputs)
    for entry in manifest.entries:
        if not isinstance(entry, StoredFile) or not is_wanted(entry.path) or entry.object is None:
            continue
        name = printable(entry.path)
        if entry.object >= len(manifest.objects):
            raise IntegrityError(f"{name}: its list of files has no object {entry.object}")
        async with aclosing(cluster.store.get_result(manifest.objects[entry.object])) as chunks:
            stream = ObjectStream(chunks, name)
            await stream.skip_to(entry.offset)
            async for piece in stream.take(entry.size_bytes):
                yield piece
