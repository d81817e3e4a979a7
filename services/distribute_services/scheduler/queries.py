"""What people ask the scheduler, answered from the state it has."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson

from distribute.core.ids import BatchId
from distribute.core.specs import Resources
from distribute.core.views import batch_view, batches_view, match_view, nodes_view, why_view
from distribute.ports import Cluster
from distribute_services.scheduler.logic import Scheduler

Json = dict[str, Any]


@contextlib.asynccontextmanager
async def answer_queries(cluster: Cluster, scheduler: Scheduler) -> AsyncIterator[None]:
    """Answer `status`, `batch`, `nodes`, `why` and `match` for as long as the context lasts."""
    answers: dict[str, Callable[[Json], Json]] = {
        "status": lambda _: batches_view(scheduler.state),
        "batch": lambda asked: _batch(scheduler, **asked),
        "nodes": lambda _: nodes_view(scheduler.agenda, scheduler.beats),
        "why": lambda asked: why_view(scheduler.agenda, _batch_id(asked), asked["job"]),
        "match": lambda asked: _match(scheduler, asked),
    }

    def handler(answer: Callable[[Json], Json]) -> Callable[[bytes], Any]:
        async def handle(payload: bytes) -> bytes:
            return orjson.dumps(_answered(answer, payload))

        return handle

    async with contextlib.AsyncExitStack() as stack:
        for verb, answer in answers.items():
            await stack.enter_async_context(cluster.queries.serving(verb, handler(answer)))
        yield


def _answered(answer: Callable[[Json], Json], payload: bytes) -> Json:
    try:
        return answer(orjson.loads(payload or b"{}"))
    except KeyError as error:
        return {"error": f"there is no {error.args[0]}"}
    except (ValueError, TypeError) as error:
        return {"error": f"not a question: {error}"}


def _batch_id(asked: Json) -> BatchId:
    return BatchId(asked["namespace"], asked["batch"])


def _batch(scheduler: Scheduler, *, namespace: str, batch: str, **which: Any) -> Json:
    return batch_view(scheduler.state, BatchId(namespace, batch), **which, now=scheduler.agenda.now)


def _match(scheduler: Scheduler, asked: Json) -> Json:
    shapes = [None if shape is None else Resources(**shape) for shape in asked["shapes"]]
    return match_view(scheduler.state, frozenset(asked["capabilities"]), shapes)
