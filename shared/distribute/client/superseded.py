"""What attempts left that were given to other nodes, while their own nodes were out of touch."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from distribute.core.log.events import Superseded
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.client.documents import SupersededDocument
    from distribute.core.projections.attempts import JobAttempts
    from distribute.ports import Cluster

_KIND = frozenset({"superseded"})


async def superseded_of(cluster: Cluster, attempts: JobAttempts) -> dict[int, SupersededDocument]:
    """What nodes keep of a job's attempts although it does not count, by the number of the attempt."""
    batch = attempts.story.state
    taken = {one.node for one in attempts.attempts.values() if one.taken_back is not None}
    found: dict[int, SupersededDocument] = {}
    if batch is None or not taken:
        return found
    is_kept = attempts.spec is not None and any(job.kept for job in attempts.spec.work.jobs)
    after, until = batch.first_seq if is_kept else batch.seq, await cluster.log.last_seq()
    for node in sorted(taken):
        only = Only(types=_KIND, node=node)
        async with aclosing(cluster.log.follow(after=after, only=only, until=until)) as reading:
            async for records in reading:
                for event in (recorded.event for recorded in records):
                    if not isinstance(event, Superseded) or event.attempt.job_id != attempts.job:
                        continue
                    # Else a batch had this name that was deleted, or of which this job was not kept.
                    if is_kept or event.submission in {None, batch.submission}:
                        found[event.attempt.attempt] = {
                            "folder": event.folder,
                            "size_bytes": event.size_bytes,
                            "until": event.until.isoformat(),
                        }
    return found
