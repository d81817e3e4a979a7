"""The table of transitions, cell by cell: what a job event does in each status, or that it does not fit."""

from collections.abc import Callable

import pytest

from core_kit import status_of
from distribute.core.events import Event
from distribute.core.fold import JOB_TRANSITIONS
from distribute.core.state import State, Status
from distribute.testing import builders as make

WITH_RETRY = make.batch(2, retries=1)
OF_ANOTHER = make.submitted().model_copy(update={"batch": "other"})

LEADS_TO: dict[Status, tuple[Event, ...]] = {
    Status.QUEUED: (),
    Status.ASSIGNED: (make.assigned(),),
    Status.CLAIMED: (make.assigned(), make.claimed()),
    Status.RUNNING: (make.assigned(), make.claimed(), make.started()),
    Status.RETRYING: (make.assigned(), make.claimed(), make.finished(succeeded=False)),
    Status.SUCCEEDED: (make.assigned(), make.claimed(), make.finished()),
    Status.FAILED: (
        make.assigned(),
        make.claimed(),
        make.finished(succeeded=False),
        make.job_archived(),
        make.assigned(attempt=2),
        make.claimed(attempt=2),
        make.finished(attempt=2, succeeded=False),
    ),
    Status.KILLED: (make.assigned(), make.kill_requested(), make.released(reason="killed")),
}
"""How a job gets into each status."""

ATTEMPTS = {Status.QUEUED: 0, Status.FAILED: 2}
"""How many attempts it has had then, where that is not one."""

EVENTS: dict[str, Callable[[int], Event]] = {
    "assigned": lambda attempt: make.assigned(attempt=attempt + 1),
    "claimed": lambda attempt: make.claimed(attempt=max(1, attempt)),
    "started": lambda attempt: make.started(attempt=max(1, attempt)),
    "finished": lambda attempt: make.finished(attempt=max(1, attempt)),
    "released": lambda attempt: make.released(attempt=max(1, attempt)),
    "job_archived": lambda attempt: make.job_archived(attempt=max(1, attempt)),
}

BECOMES: dict[tuple[Status, str], Status] = {
    (Status.QUEUED, "assigned"): Status.ASSIGNED,
    (Status.KILLED, "assigned"): Status.ASSIGNED,  # the kill came while the assignment was under way
    (Status.ASSIGNED, "claimed"): Status.CLAIMED,
    (Status.CLAIMED, "started"): Status.RUNNING,
    (Status.CLAIMED, "finished"): Status.SUCCEEDED,
    (Status.RUNNING, "finished"): Status.SUCCEEDED,
    (Status.ASSIGNED, "released"): Status.QUEUED,
    (Status.CLAIMED, "released"): Status.QUEUED,
    (Status.RUNNING, "released"): Status.QUEUED,
    (Status.RETRYING, "job_archived"): Status.QUEUED,
    (Status.QUEUED, "job_archived"): Status.QUEUED,  # of a batch of the same name, deleted meanwhile
    (Status.SUCCEEDED, "job_archived"): Status.SUCCEEDED,
    (Status.FAILED, "job_archived"): Status.FAILED,
    (Status.KILLED, "job_archived"): Status.KILLED,
}
"""Everything that fits."""


def in_status(status: Status) -> State:
    state = make.happen(make.joined(), make.submitted(WITH_RETRY), *LEADS_TO[status])
    assert status_of(state) is status
    return state


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("status", Status, ids=lambda status: status.name)
def test_each_event_in_each_status(status: Status, event: str) -> None:
    state = in_status(status)
    make.happen(EVENTS[event](ATTEMPTS.get(status, 1)), state=state)
    becomes = BECOMES.get((status, event))
    assert status_of(state) is (becomes if becomes is not None else status)
    assert state.misfits == (becomes is None)


def test_the_table_has_every_cell_that_fits() -> None:
    """And what it allows beyond, the fold looks at more closely."""
    allowed = {(status, make_type(kind)) for kind, statuses in JOB_TRANSITIONS.items() for status in statuses}
    assert set(BECOMES) <= allowed
    assert allowed - set(BECOMES) == {
        (Status.FAILED, "assigned"),  # where the batch ended while the assignment was under way
        (Status.FAILED, "released"),  # where a quarantine takes the failure back
        (Status.RETRYING, "released"),
        (Status.QUEUED, "released"),  # where a person had it retried, or killed, meanwhile
        (Status.KILLED, "released"),
    }


def make_type(kind: type) -> str:
    return str(kind.model_fields["type"].default)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (make.claimed("job9"), "there is no such job"),
        (make.finished(), "the job is queued"),
        (make.assigned(node="ws9"), "there is no such node"),
        (make.assigned(attempt=2), "attempt 2, where the last is 0"),
        (make.left("ws9"), "there is no such node"),
        (make.reprioritized(1, of=make.batch(batch="other")), "there is no such batch"),
        (make.submitted(), "this batch exists"),
        (OF_ANOTHER, "its specification is of lab/sweep"),
        (make.deleted(), "the batch is not over"),
        (make.batch_archived(), "the batch is not over"),
        (make.completed(), "jobs of the batch wait"),
        (make.completed(reason="x"), "not every job of the batch succeeded"),
        (make.kill_requested(job="job9"), "there is no job 'job9'"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.type,
)
def test_a_misfit_is_counted_and_named_and_changes_nothing_else(event: Event, why: str) -> None:
    state = make.happen(make.joined(), make.submitted(WITH_RETRY))
    make.happen(event, state=state)
    assert state.misfits == 1
    assert state.last_misfit == f"event 3 ({event.type} by {event.author} of {event.scope}): {why}"
    assert [status_of(state, job) for job in ("job1", "job2")] == [Status.QUEUED, Status.QUEUED]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (make.started(attempt=2), "attempt 2, where the last is 1"),
        (make.started(node="ws2"), "the job is at ws1"),
        (make.released(node="ws2"), "the job is at ws1"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.type,
)
def test_what_is_said_of_another_attempt_is_fenced(event: Event, why: str) -> None:
    state = make.happen(make.joined(), make.joined("ws2"), make.submitted(WITH_RETRY))
    make.happen(make.assigned(), make.claimed(), event, state=state)
    assert state.last_misfit.endswith(f": {why}")
    assert status_of(state) is Status.CLAIMED


def test_an_event_delivered_again_changes_nothing() -> None:
    state = make.happen(make.joined(), make.submitted())
    again = make.record([make.assigned()], after=state)[0]
    for _ in range(3):
        make.apply(state, again)
    assert state.nodes["ws1"].used_cpus == 1
    assert state.misfits == 0
    assert state.seq == again.seq
