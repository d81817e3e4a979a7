"""Why a job waits, or where its time went: what keeps it, and the ledger of its life."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypedDict

from distribute.client.documents import VerdictDocument
from distribute.client.ledger_document import LedgerDocument, ledger_document, log_time
from distribute.client.queries import no_such_batch, no_such_job
from distribute.client.queue_documents import QueueDocument, StartDocument
from distribute.client.words import local_time, printable
from distribute.core.errors import UnknownName

if TYPE_CHECKING:
    from distribute.client.documents import WhyDocument
    from distribute.client.queries import Queries
    from distribute.core.ids import JobId
    from distribute.ports import Cluster


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
    told = await queries.life(job)
    if told is not None:
        return _story(job, told, told["state"], told["ledger"])
    return await _read_here(cluster, queries, job)


async def _read_here(cluster: Cluster, queries: Queries, job: JobId) -> WhyStory:
    """The same, with the ledger by the events that are read here. Raises as `read_why`."""
    from distribute.client.ledger import read_ledger  # the classes of events and the fold: 0.1 s

    read = await read_ledger(cluster, job)
    if not read.exists:
        raise await _unknown(cluster, queries, job)
    why = await queries.why(job)
    ledger = read.ledger(_asked_at(why))
    if ledger is None:
        raise no_such_job(job)
    state = why["state"] if "state" in why else (await queries.job(job))["state"]
    return _story(job, why, state, ledger_document(ledger))


def _story(job: JobId, why: WhyDocument, state: str, ledger: LedgerDocument) -> WhyStory:
    return {
        "namespace": job.namespace,
        "batch": job.batch,
        "job": job.job,
        "state": state,
        "summary": why["summary"],
        "waits_for": why.get("waits_for"),
        "queue": why.get("queue"),
        "start": why.get("start"),
        "nodes": why["nodes"],
        "ledger": ledger,
        "asked_at": why.get("asked_at"),
    }


def _asked_at(why: WhyDocument) -> float:
    """The time of the answer by the log's clock. An older scheduler does not say it."""
    said = why.get("asked_at")
    return time.time() if said is None else log_time(said)


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
