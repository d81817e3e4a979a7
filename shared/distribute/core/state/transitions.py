"""The table of transitions: which events a job takes in which status, and which status can follow.

Tests and the table in `docs/events.md` are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from distribute.core.log import events as ev
from distribute.core.state.state import IN_FLIGHT, Status

Targets = Mapping[Status, frozenset[Status]]


def _each(origins: frozenset[Status], *targets: Status) -> Targets:
    return {origin: frozenset(targets) for origin in origins}


def _stays(*statuses: Status) -> Targets:
    return {status: frozenset({status}) for status in statuses}


JOB_TRANSITIONS: Mapping[type[ev.JobEvent], Targets] = {
    ev.Assigned: _each(frozenset({Status.QUEUED, Status.KILLED, Status.FAILED}), Status.ASSIGNED),
    ev.Claimed: {Status.ASSIGNED: frozenset({Status.CLAIMED})},
    ev.Started: {Status.CLAIMED: frozenset({Status.RUNNING})},
    ev.StopOrdered: _stays(Status.CLAIMED, Status.RUNNING),
    ev.Finished: _each(
        frozenset({Status.CLAIMED, Status.RUNNING}),
        Status.SUCCEEDED,
        Status.FAILED,
        Status.RETRYING,
        Status.QUEUED,
        Status.KILLED,
    ),
    ev.Yielded: _each(IN_FLIGHT, Status.QUEUED, Status.RETRYING, Status.KILLED, Status.FAILED),
    ev.Collected: _each(frozenset({Status.QUEUED}), Status.SUCCEEDED, Status.FAILED, Status.KILLED),
    ev.Released: _each(IN_FLIGHT, Status.QUEUED, Status.KILLED, Status.FAILED),
    ev.Excused: {
        **_stays(Status.QUEUED, Status.KILLED),
        Status.RETRYING: frozenset({Status.QUEUED, Status.RETRYING}),
        Status.FAILED: frozenset({Status.QUEUED, Status.FAILED}),
    },
    ev.JobArchived: {
        **_stays(Status.QUEUED, Status.SUCCEEDED, Status.FAILED, Status.KILLED),
        Status.RETRYING: frozenset({Status.QUEUED}),
    },
}
"""Notes on the table:

- A job that was KILLED, or FAILED with its batch, accepts an assignment that was decided on before. Then the
  scheduler can release it.
- `stop_ordered` leaves a job with its node until the node has ended it, and says what it left (`finished`).
- With retries left, a failed job is RETRYING until its results are archived, and QUEUED at once if it left
  nothing. So is a job that its node gave back.
- `collected` fits only a batch that ran elsewhere, and `assigned` only one that did not.
- `excused` changes nothing if a person has killed the job, or its batch is over.
"""
