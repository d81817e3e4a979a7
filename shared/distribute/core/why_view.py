"""What a job waits for, as JSON for people and scripts. The keys are a contract."""

from __future__ import annotations

from typing import Any

from distribute.core.agenda import Agenda
from distribute.core.explain import explain
from distribute.core.listing import JOB_STATES
from distribute.core.state import QUEUED, BatchState, Status
from distribute.core.waits_for import waits_for
from distribute.core.words import rfc3339

Json = dict[str, Any]


def why_view(agenda: Agenda, batch: BatchState, job: str) -> Json:
    """What a job waits for, node by node. Raises `KeyError` for an unknown job.

    `waits_for` is that in one word, see `WaitsFor`; None: it does not wait. `asked_at` is the time now by the
    log's clock.
    """
    row = batch.rows[job]
    explanation = explain(agenda, batch, row)
    is_waiting = batch.status[row] == QUEUED and batch.ran_at is None
    waits = waits_for(agenda.state, batch, row, agenda.log_now).value if is_waiting else None
    return {
        "namespace": batch.id.namespace,
        "batch": batch.id.batch,
        "job": job,
        "state": JOB_STATES[Status(batch.status[row])],
        "summary": explanation.summary,
        "waits_for": waits,
        "asked_at": rfc3339(agenda.log_now),
        "nodes": [
            {
                "node": verdict.node,
                "obstacle": verdict.obstacle.name.lower() if verdict.obstacle else None,
                "text": verdict.text,
            }
            for verdict in explanation.nodes
        ],
    }
