"""Having the events of closed batches moved out of the log, into archives."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.queries import ask, no_such_batch
from distribute.client.words import local_time, printable
from distribute.core.errors import NobodyAnswers, Refused, Unreachable
from distribute.core.ids import BatchId

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.ports import Cluster

ANSWER_WITHIN_S = 600.0
"""The archiver reads a batch's events, writes them, and reads them back: 100,000 jobs take half a minute."""


class Compaction(NamedTuple):
    """What was moved of one batch: so many events, into an archive of so many bytes."""

    events: int
    size_bytes: int


async def closed_batches(
    queries: Queries, over_before: float, only: Collection[BatchId] = ()
) -> list[BatchDocument]:
    """The batches that were over and archived before a time, and are not compacted yet.

    Args:
        queries: to the cluster.
        over_before: the time, in seconds since 1970.
        only: these alone; none: all.

    Raises:
        Refused: there is no batch of one of these names, or it can't be compacted.
    """
    batches = {BatchId(one["namespace"], one["batch"]): one for one in (await queries.batches())["batches"]}
    for batch in only:
        if batch not in batches:
            raise no_such_batch(batch)
        why = _why_not(batches[batch], over_before)
        if why is not None:
            raise Refused(f"{printable(str(batch))} {why}")
    chosen = [batches[batch] for batch in only] if only else list(batches.values())
    return [batch for batch in chosen if _why_not(batch, over_before) is None]


def _why_not(batch: BatchDocument, over_before: float) -> str | None:
    """Why a batch can't be compacted; None: it can."""
    compacted_at, finished_at = batch.get("compacted_at"), batch["finished_at"]
    if compacted_at is not None:
        return f"was compacted at {local_time(_seconds(compacted_at))}"
    if finished_at is None or not batch["archived"]:
        return "is not over and archived"
    ended_at = _seconds(finished_at)
    if ended_at >= over_before:
        return f"ended at {local_time(ended_at)}, which is not before {local_time(over_before)}"
    return None


def _seconds(time: str) -> float:
    """A time of a document, in seconds since 1970."""
    return datetime.fromisoformat(time).timestamp()


async def compact(cluster: Cluster, person: Person, batch: BatchDocument, over_before: float) -> Compaction:
    """Have the archiver move the events of a batch into an archive. Every query still finds them.

    Args:
        cluster: where it is.
        person: who wants it.
        batch: which, as `closed_batches` found it.
        over_before: the batch must have been over before this time, in seconds since 1970.

    Raises:
        Refused: something happened to the batch meanwhile, or another one waits for it.
        Unreachable: the archiver does not run, or does not answer in time. Whatever it has done, nothing is
            lost: it goes on after its next start, or can be asked again.
    """
    question = {
        "namespace": batch["namespace"],
        "batch": batch["batch"],
        "over_before": over_before,
        "by": person.name,
    }
    try:
        return Compaction(**await ask(cluster, "compact", question, timeout_s=ANSWER_WITHIN_S))
    except NobodyAnswers:
        raise Unreachable("the archiver doesn't answer: is `distribute server` running?") from None
