"""A lab with jobs that a person kills."""

from __future__ import annotations

from typing import Any

from core_kit import Lab, told
from distribute.core.ids import BatchId
from distribute.core.log.events import Event
from distribute.core.views.views import batch_view
from distribute.testing import builders as make

SWEEP = BatchId("lab", "sweep")
BY_KILL: dict[str, Any] = {"succeeded": False, "exit_code": None, "signal": 15, "reason": "killed by jane"}


def running(jobs: int = 1, **fields: Any) -> Lab:
    """Jobs that run on ws1, which has a cpu for each of two."""
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(jobs, **fields)))
    for job in lab.assign():
        lab.run(job)
    return lab


def decided(lab: Lab) -> list[tuple[str, ...]]:
    """Append what the scheduler decides."""
    made = lab.decide()
    lab.happen(*made)
    return told(made)


def killed(*kills: Event, jobs: int = 1, **fields: Any) -> Lab:
    """Running jobs that a person has killed, and whose node knows that."""
    lab = running(jobs, **fields)
    lab.happen(*(kills or (make.kill_requested(),)))
    assert ("stop_ordered", "job1", "ws1") in decided(lab)
    return lab


def job(lab: Lab, name: str = "job1") -> dict[str, object]:
    """A job as `status --json` shows it."""
    (found,) = batch_view(lab.state, SWEEP, job=name)["job_list"]
    return dict(found)
