"""Answer people's queries from the scheduler's state."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable
from functools import partial
from typing import Any

import orjson

from distribute.client.about import serving_about
from distribute.client.ledger_document import ledger_document, log_time
from distribute.client.queries import Behind
from distribute.core.ids import BatchId, JobId, check_name
from distribute.core.spec.specs import Resources
from distribute.core.telling.listing import Listing
from distribute.core.views.edit_view import edit_view
from distribute.core.views.views import (
    Compacted,
    batches_in_slices,
    ignored_view,
    match_view,
    node_view,
    nodes_view,
    results_view,
    standing_view,
    whole_batch,
)
from distribute.core.views.why_view import why_view
from distribute.ports import Cluster, Garbage, Handler
from distribute.slices import in_slices
from distribute.snapshot_writer import SnapshotWriter
from distribute_services.scheduler.ledgers import Ledgers
from distribute_services.scheduler.logic import Scheduler
from distribute_services.scheduler.up_to_now import UpToNow

Json = dict[str, Any]

Answering = Generator[None, None, bytes]
"""Makes an answer in slices. Yields after each."""


@contextlib.asynccontextmanager
async def answer_queries(
    cluster: Cluster, scheduler: Scheduler, snapshots: SnapshotWriter, up_to_now: UpToNow
) -> AsyncIterator[None]:
    """Answer people's queries, each a verb of its own, while the context lasts.

    An answer has what the log had when the query came. If it lacks some of that, it has `behind`.
    """
    answers: dict[str, Callable[[Json], Answering]] = {
        "status": lambda asked: _status(scheduler, cluster.log.garbage, **asked),
        "batch": lambda asked: _batch(scheduler, **asked),
        "names": lambda asked: _names(scheduler, _batch_id(asked)),
        "standing": lambda asked: _standing(scheduler, _batch_id(asked), asked.get("job")),
        "results": lambda asked: _results(scheduler, _batch_id(asked)),
        "nodes": lambda _: _whole(nodes_view(scheduler.agenda, scheduler.beats)),
        "node": lambda asked: _whole(_node(scheduler, asked["name"])),
        "why": lambda asked: _why(scheduler, _batch_id(asked), asked["job"]),
        "match": lambda asked: _whole(_match(scheduler, asked)),
        "edit": lambda asked: _edit(scheduler, _batch_id(asked), asked["jobs"], asked["changes"]),
    }

    ledgers = Ledgers(cluster)

    def handler(answer: Callable[[Json], Awaitable[bytes]]) -> Handler:
        async def handle(payload: bytes) -> bytes:
            behind = await up_to_now.behind()
            try:
                body = await answer(orjson.loads(payload or b"{}"))
                return body if behind is None else _with_behind(body, behind)
            except Compacted:
                return orjson.dumps({"compacted": True})  # the client reads the archive
            except KeyError as error:
                return orjson.dumps({"error": f"there is no {error.args[0]}"})
            except (ValueError, TypeError) as error:
                return orjson.dumps({"error": f"not a question: {error}"})

        return handle

    async with contextlib.AsyncExitStack() as stack:
        for verb, answer in answers.items():
            await stack.enter_async_context(cluster.queries.serving(verb, handler(_sliced(answer))))
        life = handler(partial(_life, scheduler, ledgers))
        await stack.enter_async_context(cluster.queries.serving("life", life))
        await stack.enter_async_context(
            cluster.queries.serving("digests", lambda _: _digests(scheduler, snapshots), at_work=1)
        )
        await stack.enter_async_context(serving_about(cluster.queries, "scheduler"))
        yield


def _sliced(answer: Callable[[Json], Answering]) -> Callable[[Json], Awaitable[bytes]]:
    return lambda asked: in_slices(answer(asked))


async def _digests(scheduler: Scheduler, snapshots: SnapshotWriter) -> bytes:
    """The digests of the state as of the event at `seq`, for a reader who folds the log up to there."""
    records = await snapshots.records(scheduler.state)
    return orjson.dumps({"seq": records.seq, **records.digests()._asdict()})


def _with_behind(body: bytes, behind: Behind) -> bytes:
    """An answer that says which events it may lack."""
    return b'{"behind":%b,%b' % (orjson.dumps(behind._asdict()), body[1:])


def _whole(answer: Json) -> Answering:
    """Make a short answer in one slice."""
    yield from ()
    return orjson.dumps(answer)


def _status(scheduler: Scheduler, garbage: Garbage, **which: Any) -> Answering:
    ignored = ignored_view(scheduler.state, garbage.count, garbage.last)
    return (yield from _with_list({}, "batches", batches_in_slices(scheduler.state, **which), ignored))


def _names(scheduler: Scheduler, batch_id: BatchId) -> Answering:
    """The names of a batch's jobs: 1 ms for 100,000."""
    batch = yield from whole_batch(scheduler.state, batch_id)
    return orjson.dumps({"jobs": batch.names})


def _batch(scheduler: Scheduler, *, namespace: str, batch: str, **which: Any) -> Answering:
    state = scheduler.state
    whole = yield from whole_batch(state, BatchId(namespace, batch))
    listing = Listing(whole, state, scheduler.agenda.log_now, **which)
    yield
    yield from listing.choose()
    return (yield from _with_list(listing.head, "job_list", listing.slices(), listing.tail))


def _with_list(head: Json, name: str, slices: Iterable[list[Json]], tail: Json) -> Answering:
    """The JSON of `head`, a list that comes in slices, and `tail`. Yields after each slice."""
    members = [orjson.dumps(head)[1:-1]] if head else []
    parts = [b"{", *members, b"," if members else b"", b'"%b":[' % name.encode()]
    separator = b""
    for some in slices:
        parts += (separator, orjson.dumps(some)[1:-1])
        separator = b","
        yield
    parts += (b"]", b"," if tail else b"", orjson.dumps(tail)[1:])
    body = b"".join(parts)
    yield  # the body may have 30 MB: freeing its parts takes as long as joining them
    return body


def _node(scheduler: Scheduler, name: str) -> Json:
    return node_view(scheduler.agenda, name, scheduler.beats.get(name))


def _why(scheduler: Scheduler, batch_id: BatchId, job: str) -> Answering:
    batch = yield from whole_batch(scheduler.state, batch_id)
    return orjson.dumps((yield from why_view(scheduler.agenda, batch, job)))


async def _life(scheduler: Scheduler, ledgers: Ledgers, asked: Json) -> bytes:
    """Why a job waits, and its ledger. Empty if the client has to read that."""
    batch_id, job = _batch_id(asked), check_name(asked["job"])
    if batch_id not in scheduler.state.batches and batch_id not in scheduler.state.packed:
        return b"{}"
    read = await ledgers.read(JobId(*batch_id, job))
    if read is None:
        return b"{}"
    batch = await in_slices(whole_batch(scheduler.state, batch_id))
    why = await in_slices(why_view(scheduler.agenda, batch, job))
    ledger = read.ledger(log_time(why["asked_at"]))
    return b"{}" if ledger is None else orjson.dumps(why | {"ledger": ledger_document(ledger)})


def _edit(scheduler: Scheduler, batch_id: BatchId, jobs: list[str] | None, changes: Json) -> Answering:
    batch = yield from whole_batch(scheduler.state, batch_id)
    return orjson.dumps(edit_view(scheduler.state, batch, jobs, changes))


def _batch_id(asked: Json) -> BatchId:
    return BatchId(asked["namespace"], asked["batch"])


def _standing(scheduler: Scheduler, batch_id: BatchId, job: str | None) -> Answering:
    return orjson.dumps((yield from standing_view(scheduler.state, batch_id, job)))


def _results(scheduler: Scheduler, batch_id: BatchId) -> Answering:
    return orjson.dumps((yield from results_view(scheduler.state, batch_id)))


def _match(scheduler: Scheduler, asked: Json) -> Json:
    shapes = [None if shape is None else Resources(**shape) for shape in asked["shapes"]]
    return match_view(scheduler.state, frozenset(asked["capabilities"]), shapes)
