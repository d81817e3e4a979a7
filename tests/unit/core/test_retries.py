"""Jobs that a person has run again: all that failed or were killed, one kind of them, or chosen ones."""

from typing import Any

import pytest

from core_kit import Lab, told
from distribute.core.log import events as ev
from distribute.core.state.state import Status
from distribute.snapshot import digest, dump, load
from distribute.testing import builders as make

FAILED, KILLED, QUEUED, SUCCEEDED = Status.FAILED, Status.KILLED, Status.QUEUED, Status.SUCCEEDED


def ended(**fields: Any) -> Lab:
    """A batch that is over: jobs 1 and 2 failed, 3 and 4 were killed, 5 succeeded."""
    lab = Lab(make.joined(cpus=5), make.submitted(make.batch(5, **fields)))
    lab.happen(make.kill_requested(job="job3"), make.kill_requested(job="job4"))
    lab.assign()
    for job in ("job1", "job2", "job5"):
        lab.run(job)
        lab.happen(make.finished(job, succeeded=job == "job5", wall_s=60), make.job_archived(job))
    lab.happen(*lab.decide())
    lab.happen(*lab.decide())
    assert (lab.batch().end, lab.batch().archived) == ("failed", True)
    return lab


def statuses(lab: Lab) -> list[Status]:
    return [Status(status) for status in lab.batch().status]


@pytest.mark.parametrize(
    ("which", "becomes"),
    [
        ({}, [QUEUED, QUEUED, QUEUED, QUEUED, SUCCEEDED]),
        ({"failed_only": True}, [QUEUED, QUEUED, KILLED, KILLED, SUCCEEDED]),
        ({"killed_only": True}, [FAILED, FAILED, QUEUED, QUEUED, SUCCEEDED]),
        ({"jobs": ("job2", "job4")}, [FAILED, QUEUED, KILLED, QUEUED, SUCCEEDED]),
        ({"jobs": ("job2", "job4"), "failed_only": True}, [FAILED, QUEUED, KILLED, KILLED, SUCCEEDED]),
        ({"jobs": ("job5", "job1", "nobody's")}, [QUEUED, FAILED, KILLED, KILLED, SUCCEEDED]),
    ],
)
def test_a_retry_queues_what_the_person_wants(which: dict[str, Any], becomes: list[Status]) -> None:
    lab = ended()
    lab.happen(make.retry_requested(**which))
    assert statuses(lab) == becomes
    assert (lab.batch().end, lab.batch().archived) == (None, False)


def test_a_retry_that_holds_its_batch_lets_no_job_begin_before_that_is_released() -> None:
    lab = ended()
    lab.happen(make.retry_requested(failed_only=True, hold=True))
    assert statuses(lab) == [QUEUED, QUEUED, KILLED, KILLED, SUCCEEDED]
    assert lab.decide() == []
    holding = lab.batch().holding
    assert holding is not None
    assert (holding.by, holding.since, holding.reason) == ("jane", lab.now, None)
    lab.happen(make.edited(cpus=2), make.hold_released())
    assert {event.cpus for event in lab.decide() if isinstance(event, ev.Assigned)} == {2}


def test_a_retry_leaves_a_batch_to_the_person_who_holds_it() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(2)), make.kill_requested(job="job1"))
    lab.happen(make.held(by="bob", reason="a new mesh"), make.retry_requested(hold=True))
    holding = lab.batch().holding
    assert holding is not None
    assert (holding.by, holding.reason) == ("bob", "a new mesh")


def test_a_retried_batch_runs_and_ends_again() -> None:
    lab = ended()
    lab.happen(make.retry_requested(jobs=("job2",)))
    assert set(lab.assign()) == {"job2"}
    lab.succeed("job2", attempt=2)
    assert told(lab.decide()) == [("completed", "sweep", "failed")]
    lab.happen(make.completed(state="failed"))
    assert told(lab.decide()) == [("batch_archived", "sweep")]


def test_a_packed_batch_can_be_retried() -> None:
    lab = ended()
    assert lab.pack() == {"sweep"}
    lab.happen(make.retry_requested(jobs=("job1",)))
    assert set(lab.assign()) == {"job1"}


def test_chosen_jobs_begin_although_too_many_others_have_failed() -> None:
    lab = ended(max_failures=2)
    lab.happen(make.retry_requested(jobs=("job1", "job3")))
    assert set(lab.assign()) == {"job1", "job3"}
    lab.fail_fast("job1", attempt=2)
    lab.fail_fast("job3", attempt=2)
    lab.happen(make.retry_requested(jobs=("job4",)))
    assert set(lab.assign()) == {"job4"}


def test_failures_after_a_retry_count_again() -> None:
    lab = ended(max_failures=1)
    lab.happen(make.retry_requested(jobs=("job1", "job3")), make.held())
    assert lab.batch().forgiven == {1}
    lab.happen(make.assigned("job1", attempt=2))
    lab.fail_fast("job1", attempt=2)
    lab.happen(make.hold_released())
    (end,) = [event for event in lab.decide() if event.type == "completed"]
    assert end.reason == "1 of its jobs failed since its retry, and its max_failures is 1"


def test_a_retry_of_all_that_failed_forgives_nothing() -> None:
    lab = ended(max_failures=2)
    lab.happen(make.retry_requested(failed_only=True))
    assert lab.batch().forgiven == set()
    assert set(lab.assign()) == {"job1", "job2"}


def test_what_was_forgiven_counts_if_it_fails_once_more() -> None:
    lab = ended(max_failures=2)
    lab.happen(make.retry_requested(jobs=("job1",)), make.retry_requested(jobs=("job2",)))
    assert lab.batch().forgiven == set()


def test_a_snapshot_has_what_was_forgiven() -> None:
    lab = ended(max_failures=2)
    lab.happen(make.retry_requested(jobs=("job1",)))
    restored = load(dump(lab.state))
    assert restored.batches[lab.batch().id].forgiven == {1}
    assert digest(restored) == digest(lab.state)


def test_the_last_job_runs_again_after_the_chosen_ones() -> None:
    lab = Lab(make.joined(cpus=3), make.submitted(make.batch(3, last_job="job3")))
    lab.assign()
    for job in ("job1", "job2"):
        lab.run(job)
        lab.happen(make.finished(job, succeeded=False, wall_s=60), make.job_archived(job))
    assert set(lab.assign()) == {"job3"}
    lab.succeed("job3")
    lab.happen(*lab.decide())
    lab.happen(make.retry_requested(jobs=("job2",)))
    assert statuses(lab) == [FAILED, QUEUED, QUEUED]
    assert set(lab.assign()) == {"job2"}
    lab.succeed("job2", attempt=2)
    assert set(lab.assign()) == {"job3"}


def test_the_last_job_alone_is_retried_where_others_stay_failed() -> None:
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(2, last_job="job2", max_failures=1)))
    for job in ("job1", "job2"):
        lab.assign()
        lab.run(job)
        lab.happen(make.finished(job, succeeded=False, wall_s=60), make.job_archived(job))
    lab.happen(*lab.decide())
    lab.happen(make.retry_requested(jobs=("job2",)))
    assert statuses(lab) == [FAILED, QUEUED]
    assert set(lab.assign()) == {"job2"}
