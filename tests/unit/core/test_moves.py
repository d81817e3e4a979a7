"""A person moves a job: its node gives it back, and it runs again, elsewhere if another node can take it."""

from __future__ import annotations

import pytest

from core_kit import Lab, of, told
from distribute.core.explaining.explain import explain
from distribute.core.files.manifest import Outputs
from distribute.core.log import events as ev
from distribute.core.scheduling.matching import Obstacle
from distribute.core.spec.specs import Resources
from distribute.core.state.state import Status
from distribute.core.state.usage import OVERDUE_S
from distribute.testing import builders as make

WHOLE = make.batch(1, resources=None)


def moving() -> Lab:
    """A job that runs on ws1, and that a person moves. Its node knows that."""
    lab = Lab(make.joined("ws1"), make.submitted(WHOLE))
    assert lab.assign() == {"job1": "ws1"}
    lab.run("job1")
    lab.happen(make.joined("ws2"), make.move_requested())
    (order,) = made = lab.decide()
    assert isinstance(order, ev.StopOrdered)
    assert (order.moved, order.by, order.whole_batch) == (True, "jane", False)
    lab.happen(*made)
    assert lab.decide() == [], "the node has been told"
    return lab


def summary(lab: Lab, job: str = "job1") -> str:
    return explain(lab.agenda, lab.batch(), lab.batch().rows[job]).summary


def test_a_moved_job_runs_at_another_node_without_a_failure() -> None:
    lab = moving()
    assert summary(lab) == "being moved by jane: attempt 1 at ws1"
    lab.happen(make.yielded())
    assert lab.batch().failures == {}
    assert lab.assign() == {"job1": "ws2"}
    assert lab.batch().moved_from == {}


def test_no_job_is_moved_in_a_batch_that_begins_no_further_one() -> None:
    """It would not run again, and end as failed."""
    given_up = make.batch(2, max_failures=1)
    lab = Lab(make.joined("ws1"), make.submitted(given_up))
    lab.happen(make.assigned("job1"), make.assigned("job2"))
    lab.run("job1")
    lab.run("job2")
    lab.happen(make.finished("job1", succeeded=False, outputs=None))
    assert lab.batch().status[0] == Status.FAILED
    lab.happen(make.move_requested("job2"))
    assert lab.batch().active[1].moved_by is None


def test_it_waits_until_what_it_left_is_archived() -> None:
    lab = moving()
    lab.happen(make.yielded(outputs=Outputs(files=1)))
    assert (lab.status(), lab.assign()) == (Status.RETRYING, {})
    lab.happen(make.job_archived())
    assert lab.assign() == {"job1": "ws2"}


def test_it_waits_for_another_node_that_is_busy_and_says_so() -> None:
    lab = moving()
    lab.happen(make.submitted(make.batch(batch="other", resources=None)), make.assigned(of("other"), "ws2"))
    lab.happen(make.yielded())
    assert lab.assign() == {}
    verdicts = explain(lab.agenda, lab.batch(), 0).nodes
    assert [verdict.obstacle for verdict in verdicts] == [Obstacle.MOVED_AWAY, Obstacle.BUSY]
    lab.succeed(of("other"), "ws2")
    assert lab.assign() == {"job1": "ws2"}


def test_the_node_that_it_left_takes_other_jobs_meanwhile_and_is_not_kept_for_it() -> None:
    lab = moving()
    lab.happen(make.submitted(make.batch(batch="other", resources=None)), make.assigned(of("other"), "ws2"))
    lab.happen(make.yielded(), make.submitted(make.batch(batch="small")))
    lab.pass_quickly(OVERDUE_S + 60)
    lab.look()
    assert lab.agenda.reserved.get("ws1") is None
    assert lab.assign() == {"job1": "ws1"}, "the job of `small`"
    assert lab.status("job1", "small") is Status.ASSIGNED


@pytest.mark.parametrize("away", [make.left("ws2"), make.drain_requested("ws2"), make.paused("ws2")])
def test_it_runs_where_it_was_if_the_other_node_is_away(away: ev.Event) -> None:
    lab = moving()
    lab.happen(away, make.yielded())
    assert lab.assign() == {"job1": "ws1"}


def test_it_runs_where_it_was_if_the_other_node_is_too_small() -> None:
    spec = make.batch(1, resources=Resources(memory_bytes=make.GIB))
    lab = Lab(make.joined("ws1"), make.joined("ws2", memory_bytes=1), make.submitted(spec))
    assert lab.assign() == {"job1": "ws1"}
    lab.run("job1")
    lab.happen(make.move_requested(), make.yielded())
    assert lab.assign() == {"job1": "ws1"}


def test_others_of_its_batch_do_not_wait_for_it() -> None:
    lab = Lab(make.joined("ws1", cpus=1), make.submitted(make.batch(3)))
    assert lab.assign() == {"job1": "ws1"}
    lab.run("job1")
    lab.happen(make.joined("ws2", cpus=1), make.assigned("job2", "ws2"), make.move_requested())
    lab.happen(*lab.decide())
    lab.happen(make.yielded())
    assert lab.assign() == {"job3": "ws1"}


def test_a_job_that_left_another_node_does_not_wait_for_it_either() -> None:
    lab = Lab(make.joined("ws1"), make.joined("ws2"), make.submitted(make.batch(2, resources=None)))
    assert lab.assign() == {"job1": "ws1", "job2": "ws2"}
    for job in ("job1", "job2"):
        lab.run(job)
        lab.happen(make.move_requested(job))
    lab.happen(*lab.decide())
    lab.happen(make.submitted(make.batch(batch="other", resources=None)), make.yielded("job2", "ws2"))
    lab.happen(make.assigned(of("other"), "ws2"), make.yielded("job1", "ws1"))
    assert lab.assign() == {"job2": "ws1"}, "job1 comes first, and waits for ws2"


def test_a_job_that_its_node_has_not_claimed_is_released_and_goes_elsewhere() -> None:
    lab = Lab(make.joined("ws1"), make.submitted(WHOLE))
    lab.assign()
    lab.happen(make.joined("ws2"), make.move_requested())
    made = lab.decide()
    assert told(made) == [("released", "job1", "ws1", "moved")]
    lab.happen(*made)
    assert lab.assign() == {"job1": "ws2"}


def test_a_job_that_succeeds_before_its_node_has_ended_it_has_succeeded() -> None:
    lab = moving()
    lab.happen(make.finished())
    assert lab.status() is Status.SUCCEEDED


def test_a_failure_while_it_is_moved_does_not_count() -> None:
    lab = moving()
    lab.happen(make.finished(succeeded=False, outputs=None, wall_s=1.0))
    assert lab.batch().failures == {}
    assert (lab.batch().suspects, lab.batch().moved_from) == ({}, {0: "ws1"})
    assert lab.assign() == {"job1": "ws2"}


def test_a_job_that_is_killed_while_it_is_moved_is_killed() -> None:
    lab = moving()
    lab.happen(make.kill_requested(job="job1"))
    assert lab.decide() == [], "its node ends it already"
    lab.happen(make.yielded())
    assert (lab.status(), lab.batch().moved_from) == (Status.KILLED, {})


@pytest.mark.parametrize("kill", [make.kill_requested(), make.kill_requested(job="job1")])
def test_a_moved_job_that_waits_and_is_killed_leaves_no_trace(kill: ev.Event) -> None:
    lab = moving()
    lab.happen(make.drain_requested("ws2"), make.drain_requested("ws1"), make.yielded(), kill)
    assert (lab.status(), lab.batch().moved_from) == (Status.KILLED, {})


def test_of_two_persons_who_move_it_the_first_counts() -> None:
    lab = moving()
    lab.happen(make.move_requested(by="bob"))
    assert lab.batch().active[0].moved_by == "jane"


@pytest.mark.parametrize(
    ("late", "misfit"),
    [
        (make.move_requested(attempt=1), None),
        (make.move_requested(attempt=3), None),
        (make.move_requested("nobody"), "there is no job 'nobody'"),
    ],
)
def test_a_move_of_another_attempt_changes_nothing(late: ev.Event, misfit: str | None) -> None:
    lab = moving()
    lab.happen(make.yielded())
    lab.assign()
    lab.happen(late)
    assert lab.batch().active[0].moved_by is None
    assert lab.state.misfits == (misfit is not None)
    assert misfit is None or lab.state.last_misfit.endswith(misfit)


def test_a_move_of_a_job_that_is_being_killed_changes_nothing() -> None:
    lab = Lab(make.joined(), make.submitted())
    lab.assign()
    lab.happen(make.claimed(), make.kill_requested(), make.move_requested())
    (order,) = lab.decide()
    assert isinstance(order, ev.StopOrdered)
    assert order.moved is None


def test_a_move_of_a_batch_that_is_over_does_not_fit() -> None:
    lab = Lab(make.joined(), make.submitted(), make.kill_requested(), make.completed(state="killed"))
    lab.happen(make.move_requested())
    assert lab.state.last_misfit.endswith("the batch is over")


@pytest.mark.parametrize(
    "end",
    [
        make.yielded("job2"),
        make.released("job2", reason="node_rebooted"),
        make.finished("job2", succeeded=False, outputs=None),
    ],
    ids=lambda end: str(end.type),
)
def test_a_last_job_that_is_moved_leaves_its_node_also_if_others_run_again_meanwhile(end: ev.Event) -> None:
    lab = Lab(make.joined("ws1"), make.submitted(make.batch(2, last_job="job2")))
    lab.assign()
    lab.run("job1")
    lab.happen(make.finished("job1", succeeded=False, outputs=None))
    assert lab.assign() == {"job2": "ws1"}
    lab.run("job2")
    lab.happen(make.move_requested("job2"))
    lab.happen(*lab.decide())
    lab.happen(make.retry_requested(lab.batch().id, failed_only=True), end)
    assert lab.batch().moved_from == {1: "ws1"}
    assert lab.batch().failures == {}
