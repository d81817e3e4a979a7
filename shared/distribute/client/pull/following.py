"""Follow what comes to the archive of a batch that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from distribute.core.errors import LogReplaced
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster

PAUSE_S = 0.5
"""The shortest time between two pulls of a batch. A pull looks at all of its results."""

NEWS = frozenset({"finished", "job_archived", "build_finished", "completed", "batch_archived", "deleted"})
"""The types of events after which a batch has more to pull, or is over."""


async def archive_changes(
    cluster: Cluster, batch: BatchId, *, pause_s: float = PAUSE_S
) -> AsyncGenerator[None, None]:
    """Yield at once, and again whenever there may be more to pull, for ever.

    After each turn of the reader, this waits for as long as the turn took, and at least for `pause_s`: a
    large batch has a thousand events a second. Survives outages, and a log that was replaced.
    """
    clock = asyncio.get_running_loop().time
    while True:
        seen = await cluster.log.last_seq()
        try:
            async with aclosing(cluster.log.follow(after=seen, only=Only(types=NEWS, batch=batch))) as coming:
                while True:
                    began = clock()
                    yield
                    await asyncio.sleep(max(pause_s, clock() - began))
                    await anext(coming)
        except LogReplaced:
            continue  # as after a restore from an older copy: what was pulled is looked at again
