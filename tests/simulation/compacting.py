"""An admin of the simulated world, who compacts what is over, and looks whether it is still found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distribute.client.compacting import closed_batches, compact
from distribute.client.control import delete
from distribute.client.documents import BatchDocument
from distribute.client.retrying import retry
from distribute.core.errors import DistributeError, IntegrityError, Refused
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.projections.story import BatchStory
from distribute.core.state.packed import CompactedBatch
from distribute.core.state.state import State
from distribute.core.words import rfc3339
from distribute.ports import Only

from .story import require

if TYPE_CHECKING:
    from .people import Visit

DELETED = 0.2
"""The probability that a person deletes a batch that is compacted."""


async def compact_all(visit: Visit) -> None:
    """Compact every batch that is over, however short the time since."""
    now = visit.clock() + 3600.0  # whose clock is wrong by how much does not matter
    for batch in await closed_batches(visit.queries, now):
        try:
            await _compact(visit, batch, now)
        except IntegrityError as error:
            require(False, f"no archive is ever lost: {error}")
        except DistributeError as error:
            visit.note(f"{type(error).__name__}: {error}")


async def _compact(visit: Visit, batch: BatchDocument, now: float) -> None:
    """Compact a batch, unless something happens to it. Its jobs are told as before, and none runs again."""
    batch_id = BatchId(batch["namespace"], batch["batch"])
    submission = visit.world.truth.submission_of(batch_id)
    ended_at, before = await _jobs(visit, batch_id)
    await compact(visit.cluster, visit.person, batch, now)
    found = visit.world.truth.state.compacted.get(batch_id)
    if found is None or found.submission != submission:
        return  # somebody deleted it since
    still_at, after = await _jobs(visit, batch_id)
    if visit.world.truth.submission_of(batch_id) != submission:
        return
    if {ended_at, still_at} != {rfc3339(found.finished_at)}:
        return  # it ran again before it was compacted, or a scheduler answered that had not read its end
    require(after == before, f"of {batch_id}, which was compacted, people see {after}, and not {before}")
    visit.world.truth.happened["a compacted batch is read"] += 1
    try:
        await retry(visit.cluster, visit.queries, visit.person, batch_id, force=True)
    except Refused:
        pass
    else:
        require(not _retried_behind(visit, found), f"{batch_id} was compacted, and is retried")
        visit.world.truth.happened["a batch is retried whose compaction is lost"] += 1
    if visit.loop.chance(DELETED):
        await delete(visit.cluster, visit.person, batch_id, force=True)
        visit.world.truth.happened["a compacted batch is deleted"] += 1


def _retried_behind(visit: Visit, batch: CompactedBatch) -> bool:
    """Does a `retry_requested` by this admin lie behind the `compacted` of the batch?

    If the log has lost its end, and the `compacted` with it, the batch is as before, and may be retried: its
    events are removed only minutes later.
    """
    events = [one.event for one in visit.world.truth.log if one.event.scope == batch.id]
    named = [event for event in events if isinstance(event, ev.Compacted | ev.RetryRequested)]
    kinds = [type(event) for event in named if event.submission == batch.submission]
    return ev.Compacted in kinds and ev.RetryRequested in kinds[kinds.index(ev.Compacted) :]


async def _jobs(visit: Visit, batch: BatchId) -> tuple[str | None, list[tuple[Any, ...]]]:
    """When a batch ended, and how its jobs stand, as people are told, and as its events add up."""
    document = await visit.queries.batch(batch)
    story, until = BatchStory(batch), await visit.cluster.log.last_seq()
    async for records in visit.cluster.log.follow(after=0, only=Only(batch=batch), until=until):
        for recorded in records:
            story.fold(recorded)
    told = [(job["job"], job["state"], job["attempt"], job["finished_at"]) for job in document["job_list"]]
    return document["finished_at"], [*told, () if story.state is None else tuple(story.state.status)]


def is_about_compacted(event: ev.Event, before: State) -> bool:
    """Is it about a batch whose events are gone? Then a guard that held before may hold again."""
    if isinstance(event, ev.NodeEvent | ev.Notified | ev.Deleted):
        return False
    return event.batch_id in before.compacted
