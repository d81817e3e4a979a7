"""The results of a batch: which events list what can be pulled, and reading these events.

The scheduler knows which of the events that list outputs count. So a reader gets these from the log, and none
of the other four events of each job.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Container, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.batch_log import BatchReader
from distribute.client.standing import ask_believed
from distribute.core.errors import LogReplaced
from distribute.core.log.events import AttemptEnd
from distribute.core.projections.course import Course
from distribute.core.projections.results import BatchResults
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.core.log.events import BuildEnd
    from distribute.ports import Cluster

BUILDS = frozenset({"submitted", "build_started", "build_finished", "build_collected"})
"""The types of the events that a reader of builds needs."""

LISTING = frozenset({"finished", "yielded", "collected"})
"""The types of events that list what a job left."""

ANSWER_WITHIN_S = 5.0
"""How long to wait for the scheduler: it may have to unpack the batch first. To fold the log takes longer."""


class Results(NamedTuple):
    """What can be pulled of a batch.

    `seqs` are the sequences of the events that list the outputs of jobs, in order. `missing` says
    by job what is gone for ever, `builds` by node how the last build there ended.
    """

    course: Course
    seqs: Sequence[int]
    missing: Mapping[str, str]
    builds: Mapping[str, BuildEnd]


async def read_results(cluster: Cluster, batch: BatchId) -> Results:
    """What can be pulled of a batch by now: the scheduler says it, or the batch's events are folded here."""
    told = await _ask_results(cluster, batch)
    if told is None:
        folded = BatchResults(batch)
        await BatchReader(cluster, batch, folded.fold).read_to_now()
        return Results(folded.course, folded.seqs, folded.missing, folded.builds)
    if not told.course.exists:
        return told
    folded = BatchResults(batch)
    await fold_builds(cluster, folded, told.course)
    return told._replace(builds=folded.builds)


async def fold_builds(cluster: Cluster, results: BatchResults, course: Course) -> None:
    """Fold a batch's builds alone: what it accepts of them depends on nothing that jobs do."""
    only = Only(types=BUILDS, batch=results.story.id)
    until = await cluster.log.last_seq()
    async with aclosing(cluster.log.follow(after=course.seq - 1, only=only, until=until)) as following:
        async for events in following:
            for recorded in events:
                results.fold(recorded)


async def outputs_listed(
    cluster: Cluster, batch: BatchId, results: Results, but: Container[int] = ()
) -> AsyncGenerator[tuple[int, AttemptEnd], None]:
    """Yield the events that list these outputs, with their sequences, in order, without those at `but`.

    Raises:
        LogReplaced: the log is not the one that `results` is about.
    """
    wanted = {seq for seq in results.seqs if seq not in but}
    if not wanted:
        return
    only = Only(types=LISTING, batch=batch)
    after: int = results.course.seq
    at: float | None = results.course.submitted_at
    if len(wanted) < len(results.seqs) or results.course.has_replaced:
        after, at = min(wanted) - 1, None  # most of the batch is passed over, or its results begin before it
    reading = cluster.log.follow(after=after, at=at, only=only, until=max(wanted))
    async with aclosing(reading) as following:
        async for events in following:
            for recorded in events:
                if recorded.seq in wanted and isinstance(recorded.event, AttemptEnd):
                    yield recorded.seq, recorded.event
    if await cluster.log.last_seq() < max(wanted):
        raise LogReplaced(f"the log lacks the end of {batch} that was read before")


async def _ask_results(cluster: Cluster, batch: BatchId) -> Results | None:
    """The results by the scheduler's fold, without the builds. None: it can't say, so fold the log."""
    answer = await ask_believed(cluster, "results", {**batch._asdict()}, timeout_s=ANSWER_WITHIN_S)
    if answer is None:
        return None
    try:
        return Results(Course(**answer["course"]), sorted(answer["seqs"]), dict(answer["missing"]), {})
    except (KeyError, TypeError, ValueError):
        return None  # another version's scheduler
