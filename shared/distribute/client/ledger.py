"""Reading the ledger of one job from the log: from the few events that matter, wherever that is possible."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

from distribute.client.batch_log import BatchReader
from distribute.client.job_log import read_alone, read_events
from distribute.core.ids import BatchId
from distribute.core.projections.attempts import alone
from distribute.core.projections.ledger import BUILD_TYPES, NODE_TYPES, JobLedger, depends_on_others
from distribute.lazy_submission import Submission
from distribute.ports import Only
from distribute.saved.log import SavedLog

if TYPE_CHECKING:
    from distribute.core.ids import JobId
    from distribute.core.recorded import Recorded
    from distribute.core.specs import BatchSpec
    from distribute.ports import Cluster

_ENDS = frozenset({"completed", "retry_requested", "deleted"})
"""The types of the events that say whether a batch is over for which another waits."""


async def read_ledger(cluster: Cluster, job: JobId) -> JobLedger:
    """Read the ledger of a job, as of what is in the log by now. It is empty if there is no such job.

    This reads the job's events, those of its batch's own scope and builds, and those of nodes. If the
    scheduler does not answer, or the batch limits what runs of it (`depends_on_others`), it reads all events
    of the batch.
    """
    if isinstance(cluster.log, SavedLog):
        return await _read_saved(cluster, job)
    # Each reading waits for the broker most of the time.
    told, of_nodes = await asyncio.gather(read_alone(cluster, job), _read_nodes(cluster))
    if told is not None and not depends_on_others(told.spec, job.job, told.events):
        builds = Only(types=BUILD_TYPES, batch=job.batch_id)
        of_builds, ends = await asyncio.gather(
            read_events(cluster, builds, told.course.seq, told.seq), _read_ends(cluster, told.spec)
        )
        ordered = alone(job, [*told.events, *of_nodes, *of_builds, *ends], told.course)
        if ordered is not None:
            return _folded(job, ordered)
    return await _read_whole(cluster, job, of_nodes)


def _folded(job: JobId, events: list[Recorded]) -> JobLedger:
    ledger = JobLedger(job)
    for recorded in events:
        ledger.fold(recorded)
    return ledger


async def _read_nodes(cluster: Cluster) -> list[Recorded]:
    """What happened to nodes."""
    return await read_events(cluster, Only(types=NODE_TYPES), 0, await cluster.log.last_seq())


async def _read_ends(cluster: Cluster, spec: BatchSpec) -> list[Recorded]:
    """How the batches ended for which this one waits."""
    found: list[Recorded] = []
    until = await cluster.log.last_seq() if spec.after else 0
    for after in spec.after or ():
        ends = Only(types=_ENDS, batch=BatchId(after.namespace, after.batch))
        found += await read_events(cluster, ends, 0, until)
    return found


async def _read_whole(cluster: Cluster, job: JobId, of_nodes: list[Recorded]) -> JobLedger:
    """The ledger by all events of the batch, with those around it in between."""
    folding = _Folding(job)
    spec = await _last_spec(cluster, job.batch_id)
    if spec is not None:
        folding.expect([*of_nodes, *await _read_ends(cluster, spec)])
        await BatchReader(cluster, job.batch_id, folding.fold).read_to_now()
    return folding.finish()


async def _read_saved(cluster: Cluster, job: JobId) -> JobLedger:
    """The same from a saved log. Each reading goes through the whole file: the nodes' events come along."""
    folding = _Folding(job)
    spec = await _last_spec(cluster, job.batch_id)
    if spec is not None:
        folding.expect(await _read_ends(cluster, spec))
        only, until = Only(batch=job.batch_id, also=NODE_TYPES), await cluster.log.last_seq()
        async with aclosing(cluster.log.follow(after=0, only=only, until=until)) as reading:
            async for events in reading:
                for recorded in events:
                    folding.fold(recorded)
    return folding.finish()


async def _last_spec(cluster: Cluster, batch: BatchId) -> BatchSpec | None:
    """The specification of the batch that had this name last, with only its first job."""
    raw = await cluster.log.last_raw(batch, "submitted")
    return None if raw is None else (await Submission.read(raw.payload)).spec


class _Folding:
    """Folds a batch's events, with others in between that were read before."""

    def __init__(self, job: JobId) -> None:
        self._ledger = JobLedger(job)
        self._coming: deque[Recorded] = deque()

    def expect(self, others: Iterable[Recorded]) -> None:
        """Fold these, too, each in its place."""
        self._coming = deque(sorted(others, key=lambda recorded: recorded.seq))

    def fold(self, recorded: Recorded) -> None:
        """Fold the next event, behind those that come before it."""
        while self._coming and self._coming[0].seq < recorded.seq:
            self._ledger.fold(self._coming.popleft())
        self._ledger.fold(recorded)

    def finish(self) -> JobLedger:
        """Fold what is left."""
        while self._coming:
            self._ledger.fold(self._coming.popleft())
        return self._ledger
