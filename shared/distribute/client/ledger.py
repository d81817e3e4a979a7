"""Reading the ledger of one job from the log: from the few events that matter, wherever that is possible."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import aclosing, suppress
from math import inf
from typing import TYPE_CHECKING

from distribute.client.batch_log import BatchReader
from distribute.client.job_log import Alone, read_alone, read_events
from distribute.client.standing import ask_standing
from distribute.core.errors import UnreadableEvent
from distribute.core.ids import BatchId
from distribute.core.projections.attempts import alone
from distribute.core.projections.ends import END_TYPES, Ends, ends_told
from distribute.core.projections.ledger import BUILD_TYPES, NODE_TYPES, JobLedger, depends_on_others
from distribute.lazy_submission import Submission
from distribute.ports import Only
from distribute.saved.log import SavedLog
from distribute.slices import in_slices

if TYPE_CHECKING:
    from distribute.core.ids import JobId
    from distribute.core.log.recorded import Recorded
    from distribute.core.spec.specs import After
    from distribute.ports import Cluster

_FOLDED_AT_ONCE = 64
"""Events that are folded before other tasks run: about 2 ms."""


class TooManyEvents(Exception):
    """A ledger takes more events than its reader allows."""


class _Allowance:
    """How many more events may be read."""

    def __init__(self, most: int | None) -> None:
        self._left = inf if most is None else most

    def spend(self, events: int) -> None:
        """Count events that were read. Raises `TooManyEvents`."""
        self._left -= events
        if self._left < 0:
            raise TooManyEvents


async def read_ledger(cluster: Cluster, job: JobId, *, most: int | None = None) -> JobLedger:
    """Read the ledger of a job, as of what is in the log by now. It is empty if there is no such job.

    This reads the job's events, those of its batch's own scope and builds, and those of nodes. If the
    scheduler does not answer, or the batch limits what runs of it (`depends_on_others`), it reads all events
    of the batch. Other tasks run in between.

    Raises:
        TooManyEvents: it takes more than `most` events of nodes and of all jobs.
    """
    if isinstance(cluster.log, SavedLog):
        return await _read_saved(cluster, job)
    allowance = _Allowance(most)
    told = await read_alone(cluster, job)
    until = await cluster.log.last_seq() if told is None else _last_that_matters(told)
    reading_nodes = _read_nodes(cluster, until, allowance)
    if told is None or depends_on_others(told.spec, job.job, told.events):
        return await _read_whole(cluster, job, await reading_nodes, allowance)
    # Each reading waits for the broker most of the time.
    of_nodes, of_builds, ends = await asyncio.gather(
        reading_nodes,
        read_events(cluster, Only(types=BUILD_TYPES, batch=job.batch_id), told.course.seq, told.seq),
        _read_ends(cluster, told.spec.after or (), allowance),
    )
    ordered = alone(job, [*told.events, *of_nodes, *of_builds, *ends], told.course)
    if ordered is None:
        return await _read_whole(cluster, job, of_nodes, allowance)
    return await in_slices(_folded(job, ordered))


def _last_that_matters(told: Alone) -> int:
    """The sequence behind which nothing that happens to nodes matters: once all jobs of a batch are over."""
    return told.seq if told.course.end is None else max(recorded.seq for recorded in told.events)


def _folded(job: JobId, events: list[Recorded]) -> Generator[None, None, JobLedger]:
    ledger = JobLedger(job)
    for number, recorded in enumerate(events):
        ledger.fold(recorded)
        if number % _FOLDED_AT_ONCE == 0:
            yield
    return ledger


async def _read_nodes(cluster: Cluster, until: int, allowance: _Allowance) -> list[Recorded]:
    """What happened to nodes."""
    found: list[Recorded] = []
    async with aclosing(cluster.log.follow(after=0, only=Only(types=NODE_TYPES), until=until)) as reading:
        async for events in reading:
            found += events
            allowance.spend(len(events))
            await asyncio.sleep(0)
    return found


async def _read_ends(cluster: Cluster, waits_for: Iterable[After], allowance: _Allowance) -> list[Recorded]:
    """How these batches ended."""
    found: list[Recorded] = []
    for after in waits_for:
        ends = await _read_few_ends(cluster, after)
        found += await _read_all_ends(cluster, after, allowance) if ends is None else ends
    return found


async def _read_few_ends(cluster: Cluster, after: After) -> list[Recorded] | None:
    """How a batch ended, by few events, and by the scheduler, which knows which of them count.

    None: these do not tell, as if another batch has its name by now, or people had jobs of it run again.
    """
    batch = BatchId(after.namespace, after.batch)
    told = None if isinstance(cluster.log, SavedLog) else await ask_standing(cluster, batch)
    if told is None or told.course.submission != after.submission:
        return None
    only = Only(types=END_TYPES, batch=batch)
    return ends_told(await read_events(cluster, only, told.course.seq, told.seq), told.course)


async def _read_all_ends(cluster: Cluster, after: After, allowance: _Allowance) -> list[Recorded]:
    """The same by all events under its name, also of deleted batches."""
    batch = BatchId(after.namespace, after.batch)
    ends, until = Ends(batch), await cluster.log.last_seq()
    async with aclosing(cluster.log.follow(after=0, only=Only(batch=batch), until=until)) as reading:
        async for events in reading:
            allowance.spend(len(events))
            for recorded in events:
                ends.fold(recorded)
            await asyncio.sleep(0)
    return ends.accepted


async def _read_whole(
    cluster: Cluster, job: JobId, of_nodes: list[Recorded], allowance: _Allowance
) -> JobLedger:
    """The ledger by all events of the batch, with those around it in between."""
    folding = _Folding(job)
    submitted = await _read_submissions(cluster, job.batch_id)
    if submitted:
        allowance.spend(max(map(len, submitted)))  # it takes time to read, and each job has events
        folding.expect([*of_nodes, *await _read_ends(cluster, _all_after(submitted), allowance)])

        def fold(recorded: Recorded) -> None:
            allowance.spend(1)
            folding.fold(recorded)

        await BatchReader(cluster, job.batch_id, fold).read_to_now()
    return folding.finish()


async def _read_saved(cluster: Cluster, job: JobId) -> JobLedger:
    """The same from a saved log. Each reading goes through the whole file: the nodes' events come along."""
    folding = _Folding(job)
    submitted = await _read_submissions(cluster, job.batch_id)
    if submitted:
        folding.expect(await _read_ends(cluster, _all_after(submitted), _Allowance(None)))
        only, until = Only(batch=job.batch_id, also=NODE_TYPES), await cluster.log.last_seq()
        async with aclosing(cluster.log.follow(after=0, only=only, until=until)) as reading:
            async for events in reading:
                for recorded in events:
                    folding.fold(recorded)
    return folding.finish()


async def _read_submissions(cluster: Cluster, batch: BatchId) -> list[Submission]:
    """All submissions under a batch's name. Anyone may have written one: the ledger tells which count."""
    found: list[Submission] = []
    only, until = Only(types=frozenset({"submitted"}), batch=batch), await cluster.log.last_seq()
    async with aclosing(cluster.log.follow_raw(after=0, until=until, only=only)) as reading:
        async for raws in reading:
            for raw in raws:
                with suppress(UnreadableEvent):
                    found.append(await Submission.read(raw.payload))
    return found


def _all_after(submitted: Iterable[Submission]) -> dict[After, None]:
    """The batches for which any of them waits."""
    return dict.fromkeys(after for submission in submitted for after in submission.spec.after or ())


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
