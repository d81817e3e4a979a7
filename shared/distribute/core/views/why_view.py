"""What a job waits for, as JSON for people and scripts. The keys are a contract."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from distribute.core.explaining.explain import explain
from distribute.core.explaining.queue_place import Place, place_of
from distribute.core.explaining.start_estimate import estimate_start
from distribute.core.explaining.waits_for import waits_for
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.matching import is_paused
from distribute.core.state.state import QUEUED, BatchState
from distribute.core.state.usage import ONE_CORE
from distribute.core.telling.listing import job_state
from distribute.core.words import rfc3339

Json = dict[str, Any]


def why_view(agenda: Agenda, batch: BatchState, job: str) -> Generator[None, None, Json]:
    """What a job waits for, node by node, in slices. Raises `KeyError` for an unknown job.

    `waits_for` is that in one word, see `WaitsFor`; None: it does not wait. `queue` is its place in the
    queue, None: it stands in none. `start` is when it probably begins, None: nobody can tell. `asked_at` is
    the time now by the log's clock.
    """
    row = batch.rows[job]
    explanation = explain(agenda, batch, row)
    asked_at = agenda.log_now
    is_waiting = batch.status[row] == QUEUED and batch.ran_at is None
    waits = waits_for(agenda.state, batch, row, asked_at).value if is_waiting else None
    place = place_of(agenda, batch, row) if is_waiting else None
    queue = _queue(agenda, batch, place) if place is not None else None
    estimate = (yield from estimate_start(agenda, batch, row, place)) if place is not None else None
    start: Json | None = None
    if estimate is not None:
        start = {
            "earliest": rfc3339(asked_at + estimate.earliest_s),
            "likely": rfc3339(asked_at + estimate.likely_s),
            "latest": rfc3339(asked_at + estimate.latest_s),
            "ended": estimate.ended,
        }
    return {
        "namespace": batch.id.namespace,
        "batch": batch.id.batch,
        "job": job,
        "state": _state(agenda, batch, row),
        "summary": explanation.summary,
        "waits_for": waits,
        "asked_at": rfc3339(asked_at),
        "queue": queue,
        "start": start,
        "nodes": [
            {
                "node": verdict.node,
                "obstacle": verdict.obstacle.name.lower() if verdict.obstacle else None,
                "text": verdict.text,
            }
            for verdict in explanation.nodes
        ],
    }


def _state(agenda: Agenda, batch: BatchState, row: int) -> str:
    attempt = batch.active.get(row)
    node = agenda.state.nodes.get(attempt.node) if attempt is not None else None
    paused = {node.name} if node is not None and is_paused(node, agenda.log_now) else set[str]()
    return job_state(batch, row, paused)


def _queue(agenda: Agenda, batch: BatchState, place: Place) -> Json:
    """The place, and how many jobs of which batches come first, and why. Shares are in cores."""
    jobs: dict[tuple[Any, ...], int] = {}
    for found in place.ahead:
        other = found.waiting.batch
        key = (other.id, other.user, other.priority, found.why)
        jobs[key] = jobs.get(key, 0) + found.jobs
    return {
        "place": place.place,
        "priority": batch.priority,
        "share": _share(agenda, batch.user),
        "ahead": [
            {
                **batch_id._asdict(),
                "user": user,
                "priority": priority,
                "share": _share(agenda, user),
                "jobs": number,
                "why": why,
            }
            for (batch_id, user, priority, why), number in jobs.items()
        ],
    }


def _share(agenda: Agenda, user: str) -> float:
    return round(agenda.shares[user] / ONE_CORE, 3)
