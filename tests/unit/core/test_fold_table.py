"""The table of transitions, cell by cell: the effect of each job event in each status."""

from collections.abc import Callable

import pytest

from compat.documents import EVENTS_PAGE, transitions_as_text
from core_kit import status_of
from distribute.core.files.manifest import Outputs
from distribute.core.folding.fold import apply
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.state.state import State, Status
from distribute.core.state.transitions import JOB_TRANSITIONS
from distribute.testing import builders as make

WITH_RETRY = make.batch(2, retries=1)
OF_ANOTHER = make.submitted().model_copy(update={"batch": "other"})

LEADS_TO: dict[Status, tuple[Event, ...]] = {
    Status.QUEUED: (make.assigned(), make.released()),
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

ATTEMPTS = {Status.FAILED: 2}
"""How many attempts it has had then, where that is not one."""

EVENTS: dict[type[ev.JobEvent], Callable[[int], Event]] = {
    ev.Assigned: lambda attempt: make.assigned(attempt=attempt + 1),
    ev.Claimed: lambda attempt: make.claimed(attempt=max(1, attempt)),
    ev.Started: lambda attempt: make.started(attempt=max(1, attempt)),
    ev.StopOrdered: lambda attempt: make.stop_ordered(attempt=max(1, attempt)),
    ev.Finished: lambda attempt: make.finished(attempt=max(1, attempt)),
    ev.Yielded: lambda attempt: make.yielded(attempt=max(1, attempt)),
    ev.Collected: lambda attempt: make.collected(attempt=attempt, submission="any"),
    ev.Released: lambda attempt: make.released(attempt=max(1, attempt)),
    ev.Excused: lambda attempt: make.excused(attempt=max(1, attempt)),
    ev.JobArchived: lambda attempt: make.job_archived(attempt=max(1, attempt)),
}

LOOKED_AT_CLOSER = {
    (Status.QUEUED, ev.Collected): "only of a batch that ran elsewhere",
    (Status.FAILED, ev.Assigned): "only where the batch ended while the assignment was under way",
}
"""What the table allows, and the fold refuses in the state that these tests bring about."""


def in_status(status: Status) -> State:
    state = make.happen(make.joined(), make.submitted(WITH_RETRY), *LEADS_TO[status])
    assert status_of(state) is status
    return state


def test_the_table_has_every_job_event() -> None:
    assert EVENTS.keys() == JOB_TRANSITIONS.keys()


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("status", Status, ids=lambda status: status.name)
def test_each_event_in_each_status_does_what_the_table_says(status: Status, kind: type[ev.JobEvent]) -> None:
    """The new status is one of the table's, or the event does not fit."""
    state = in_status(status)
    make.happen(EVENTS[kind](ATTEMPTS.get(status, 1)), state=state)
    targets = JOB_TRANSITIONS[kind].get(status)
    fits = targets is not None and (status, kind) not in LOOKED_AT_CLOSER
    assert state.misfits == (not fits)
    assert status_of(state) in (targets if fits and targets else {status})


def becomes(status: Status, *events: Event, retries: int = 0) -> tuple[Status, Status]:
    """From where an event leads where: the last of these."""
    state = make.happen(make.joined(), make.submitted(make.batch(2, retries=retries)), *events[:-1])
    assert status_of(state) is status
    make.happen(events[-1], state=state)
    assert state.misfits == 0, state.last_misfit
    return status, status_of(state)


RUNNING = LEADS_TO[Status.RUNNING]
FAILED = make.finished(succeeded=False)
EMPTY = make.finished(succeeded=False, outputs=None)


@pytest.mark.parametrize(
    ("target", "retries", "events"),
    [
        (Status.SUCCEEDED, 0, (*RUNNING, make.finished())),
        (Status.FAILED, 0, (*RUNNING, FAILED)),
        (Status.RETRYING, 1, (*RUNNING, FAILED)),
        (Status.QUEUED, 1, (*RUNNING, EMPTY)),
        (Status.KILLED, 1, (*RUNNING, make.kill_requested(), FAILED)),
        (Status.QUEUED, 0, (*RUNNING, make.yielded())),
        (Status.RETRYING, 0, (*RUNNING, make.yielded(outputs=Outputs(files=1)))),
        (Status.KILLED, 0, (*RUNNING, make.kill_requested(), make.yielded())),
        (Status.QUEUED, 0, (*RUNNING, make.released())),
        (Status.KILLED, 0, (*RUNNING, make.kill_requested(), make.released(reason="killed"))),
    ],
)
def test_the_targets_of_running_jobs_are_reached(
    target: Status, retries: int, events: tuple[Event, ...]
) -> None:
    assert becomes(Status.RUNNING, *events, retries=retries)[1] is target


def test_the_table_in_the_documents_is_up_to_date() -> None:
    """`docs/events.md` shows it, made by `python -m tests.compat`."""
    assert transitions_as_text() in EVENTS_PAGE.read_text()


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (make.claimed("job9"), "there is no such job"),
        (make.finished(), "the job is queued"),
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
def test_events_of_another_attempt_are_fenced(event: Event, why: str) -> None:
    state = make.happen(make.joined(), make.joined("ws2"), make.submitted(WITH_RETRY))
    make.happen(make.assigned(), make.claimed(), event, state=state)
    assert state.last_misfit.endswith(f": {why}")
    assert status_of(state) is Status.CLAIMED


def test_an_event_delivered_again_changes_nothing() -> None:
    state = make.happen(make.joined(), make.submitted())
    again = make.record([make.assigned()], after=state)[0]
    for _ in range(3):
        apply(state, again)
    assert state.nodes["ws1"].used_cpus == 1
    assert state.misfits == 0
    assert state.seq == again.seq
