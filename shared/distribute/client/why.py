"""Why a job waits, or where its time went: what keeps it, and the ledger of its life."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

from distribute.client.documents import VerdictDocument
from distribute.client.ledger import read_ledger
from distribute.client.queries import no_such_batch, no_such_job
from distribute.client.queue_documents import QueueDocument, StartDocument
from distribute.client.words import local_time, printable
from distribute.core.errors import UnknownName
from distribute.core.words import rfc3339

if TYPE_CHECKING:
    from distribute.client.documents import WhyDocument
    from distribute.client.queries import Queries
    from distribute.core.ids import JobId
    from distribute.core.projections.ledger import Ledger
    from distribute.ports import Cluster


class EntryDocument(TypedDict):
    """So many seconds of a job's life, as `projections.ledger.Phase` names them.

    `since` is when the first of them began. `attempt`: of this one, or of the wait for it. `node` is where
    that was, if it was at a node.
    """

    phase: str
    seconds: float
    since: str | None
    attempt: int
    node: str | None


class LedgerDocument(TypedDict):
    """A job's life from its submission to its end or, if it is not over, to the moment of the answer.

    The entries add up to `total_s`, to the millisecond.
    """

    submitted_at: str | None
    until: str | None
    over: bool
    total_s: float
    entries: list[EntryDocument]


class WhyStory(TypedDict):
    """What `distribute why` answers. All but the job and its ledger is as `WhyDocument` has it."""

    namespace: str
    batch: str
    job: str
    state: str
    summary: str
    waits_for: str | None
    queue: QueueDocument | None
    start: StartDocument | None
    nodes: list[VerdictDocument]
    ledger: LedgerDocument
    asked_at: str | None


async def read_why(cluster: Cluster, queries: Queries, job: JobId) -> WhyStory:
    """Read why a job waits, and where its time went.

    Raises:
        UnknownName: there is no such batch or job; of a deleted batch, it says who deleted it, and when.
    """
    read = await read_ledger(cluster, job)
    if not read.exists:
        raise await _unknown(cluster, queries, job)
    why = await queries.why(job)
    ledger = read.ledger(_asked_at(why))
    if ledger is None:
        raise no_such_job(job)
    return {
        "namespace": job.namespace,
        "batch": job.batch,
        "job": job.job,
        "state": why["state"] if "state" in why else (await queries.job(job))["state"],
        "summary": why["summary"],
        "waits_for": why.get("waits_for"),
        "queue": why.get("queue"),
        "start": why.get("start"),
        "nodes": why["nodes"],
        "ledger": _document(ledger),
        "asked_at": why.get("asked_at"),
    }


def _asked_at(why: WhyDocument) -> float:
    """The time of the answer by the log's clock. An older scheduler does not say it."""
    said = why.get("asked_at")
    return time.time() if said is None else datetime.fromisoformat(said).timestamp()


def _document(ledger: Ledger) -> LedgerDocument:
    return {
        "submitted_at": rfc3339(ledger.submitted_at),
        "until": rfc3339(ledger.until),
        "over": ledger.is_over,
        "total_s": ledger.total_ms / 1000,
        "entries": [
            {
                "phase": entry.phase.value,
                "seconds": entry.took_ms / 1000,
                "since": rfc3339(entry.since),
                "attempt": entry.attempt,
                "node": entry.node,
            }
            for entry in ledger.entries
        ],
    }


async def _unknown(cluster: Cluster, queries: Queries, job: JobId) -> UnknownName:
    """The error for a job that is not there."""
    batch = job.batch_id
    if await queries.has(batch):
        return no_such_job(job)
    deletion = await cluster.log.last(batch, "deleted")
    if deletion is None:
        return no_such_batch(batch)
    by, at = printable(deletion.event.author), local_time(deletion.time)
    name = str(batch)
    return UnknownName(
        "batch",
        name,
        f"there is no batch {printable(name)} any more: {by} deleted it at {at}",
        "`distribute status` lists those there are",
    )
