"""Kills that race with other events, and killed jobs of nodes that go away."""

from __future__ import annotations

import pytest

from core_kit import Lab, told
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.scheduling.liveness import Lease
from distribute.core.state.state import Status
from distribute.testing import builders as make
from unit.core.kill_kit import BY_KILL, decided, job, killed

# --- races ------------------------------------------------------------------------------------------


def test_a_job_that_its_node_has_not_claimed_is_released() -> None:
    lab = Lab(make.joined(), make.submitted())
    lab.assign()
    lab.happen(make.kill_requested())
    assert decided(lab) == [("released", "job1", "ws1", "killed")]
    assert decided(lab) == [("completed", "sweep", "killed")]


def test_a_claim_that_beats_the_release_keeps_the_job_with_its_node() -> None:
    lab = Lab(make.joined(), make.submitted())
    lab.assign()
    lab.happen(make.kill_requested())
    assert told(lab.decide()) == [("released", "job1", "ws1", "killed")]
    lab.happen(make.claimed())  # the guard of `released` fails
    assert decided(lab) == [("stop_ordered", "job1", "ws1")]
    lab.happen(make.started(), make.finished(**BY_KILL))
    assert lab.status() is Status.KILLED


def test_a_start_that_beats_the_order_changes_nothing() -> None:
    lab = Lab(make.joined(), make.submitted())
    lab.assign()
    lab.happen(make.claimed(), make.kill_requested())
    assert told(lab.decide()) == [("stop_ordered", "job1", "ws1")]
    lab.happen(make.started())
    assert decided(lab) == [("stop_ordered", "job1", "ws1")]
    assert decided(lab) == []


def test_the_next_event_of_the_node_follows_from_its_last_one_and_not_from_the_order() -> None:
    lab = Lab(make.joined(), make.submitted())
    (assigned,) = lab.decide()
    claimed = make.claimed().model_copy(update={"causation": assigned.id})
    lab.happen(assigned, claimed, make.kill_requested())
    lab.happen(*lab.decide())
    lab.happen(make.started().model_copy(update={"causation": claimed.id}))
    assert (lab.status(), lab.state.misfits) == (Status.RUNNING, 0)


def test_a_job_that_succeeds_before_its_node_reads_the_order_has_succeeded() -> None:
    lab = killed()
    lab.happen(make.finished())
    assert lab.status() is Status.SUCCEEDED
    assert job(lab)["killed_by"] is None
    assert decided(lab) == [("completed", "sweep", "completed")], "nothing of it was killed"


def test_a_killed_job_that_failed_by_itself_is_killed() -> None:
    lab = killed()
    lab.happen(make.finished(succeeded=False, reason="out of memory"))
    assert lab.status() is Status.KILLED
    assert job(lab)["reason"] == "killed by jane; out of memory"


def test_a_retry_that_comes_while_a_late_attempt_is_ended_runs_the_job_again() -> None:
    """The batch is over, and an assignment that was under way then is claimed, and to be ended."""
    lab = Lab(make.joined(), make.submitted())
    (assigned,) = lab.decide()
    lab.agenda.drop(assigned.scope)
    lab.happen(make.kill_requested(), make.completed(state="killed"), assigned, make.claimed())
    lab.happen(*lab.decide())
    assert lab.batch().active[0].stop_at is not None
    lab.happen(make.retry_requested(), make.finished(**BY_KILL, outputs=None))
    assert (lab.status(), lab.batch().failures) == (Status.QUEUED, {})


def test_a_late_attempt_of_a_failed_batch_is_ended_and_stays_failed() -> None:
    lab = Lab(make.joined(), make.submitted())
    (assigned,) = lab.decide()
    lab.agenda.drop(assigned.scope)
    lab.happen(make.completed(state="failed", reason="the build failed"), assigned, make.claimed())
    (order,) = lab.decide()
    assert isinstance(order, ev.StopOrdered)
    assert (order.by, order.whole_batch) == (None, True)
    lab.happen(order, make.finished(**BY_KILL, outputs=None))
    assert lab.status() is Status.FAILED


def late(*, claimed: bool = False) -> Lab:
    """A batch that ended because no node could build it, while its job was being assigned."""
    lab = Lab(make.joined(), make.submitted())
    (assigned,) = lab.decide()
    lab.agenda.drop(assigned.scope)
    lab.happen(make.completed(state="failed", reason="the build failed"), assigned)
    if claimed:
        lab.happen(make.claimed())
        lab.happen(*lab.decide())
        assert lab.batch().active[0].stop_at is not None
    return lab


@pytest.mark.parametrize(
    "gone", [make.yielded(), make.released(reason="killed"), make.released(reason="node_left")]
)
def test_a_late_assignment_of_a_failed_batch_that_comes_to_nothing_leaves_the_job_failed(gone: Event) -> None:
    lab = late()
    lab.happen(gone)
    assert lab.status() is Status.FAILED
    lab.happen(make.retry_requested(failed_only=True))
    assert lab.status() is Status.QUEUED, "a retry of what failed has it run again"


def test_a_late_attempt_of_a_failed_batch_whose_node_is_gone_stays_failed_and_says_why() -> None:
    lab = late(claimed=True)
    lab.happen(make.left())
    assert decided(lab) == [("released", "job1", "ws1", "node_left")]
    text = "killed, because its batch is over; ws1 left before it could report what the job left"
    assert (lab.status(), job(lab)["reason"]) == (Status.FAILED, text)


def test_a_late_attempt_that_its_node_gives_back_leaves_a_killed_job_killed() -> None:
    lab = Lab(make.joined(), make.submitted())
    (assigned,) = lab.decide()
    lab.agenda.drop(assigned.scope)
    lab.happen(make.kill_requested(), make.completed(state="killed"), assigned, make.yielded())
    assert lab.status() is Status.KILLED


def test_the_batch_is_archived_again_after_a_late_attempt_left_something() -> None:
    lab = Lab(make.joined(), make.submitted())
    (assigned,) = lab.decide()
    lab.agenda.drop(assigned.scope)
    lab.happen(make.kill_requested(), make.completed(state="killed"), make.batch_archived())
    lab.happen(assigned, make.claimed())
    lab.happen(*lab.decide())
    lab.happen(make.finished(**BY_KILL), make.job_archived())
    assert decided(lab) == [("batch_archived", "sweep")]
    assert lab.status() is Status.KILLED


# --- nodes that go away -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gone", "reason", "text"),
    [
        (make.left(), "node_left", "killed by jane; ws1 left before it could report what the job left"),
        (
            make.joined(cpus=2),
            "node_restarted",
            "killed by jane; ws1 started again before it could report what the job left",
        ),
    ],
    ids=["left", "restarted"],
)
def test_a_killed_job_of_a_node_that_is_gone_ends_without_results(
    gone: Event, reason: str, text: str
) -> None:
    lab = killed()
    lab.happen(gone)
    assert decided(lab) == [("released", "job1", "ws1", reason)]
    assert (lab.status(), job(lab)["reason"]) == (Status.KILLED, text)
    assert decided(lab) == [("completed", "sweep", "killed")]


def test_a_killed_job_of_a_silent_node_waits_for_it_as_long_as_a_wanted_one_would() -> None:
    lease = Lease(patience_growth=1.0)
    lab = Lab(make.joined(), make.submitted(), lease=lease)
    lab.assign()
    lab.run("job1")
    lab.pass_quickly(200)
    lab.quiet.add("ws1")
    lab.wait(100)
    assert decided(lab) == [("lost", "ws1")]
    lab.happen(make.kill_requested(), make.joined("ws2"))
    assert decided(lab) == [("stop_ordered", "job1", "ws1")], "in case that it comes back"
    lab.wait(50)
    assert decided(lab) == []
    lab.wait(100)
    assert decided(lab) == [("released", "job1", "ws1", "node_lost")]
    assert lab.status() is Status.KILLED, "it is not given to the other node"
    assert job(lab)["reason"] == "killed by jane; ws1 was lost before it could report what the job left"
    assert decided(lab) == [("completed", "sweep", "killed")]


def test_a_node_that_returns_in_time_still_reports_what_the_killed_job_left() -> None:
    lab = killed()
    attempt = lab.batch().attempt_id(0)
    lab.quiet.add("ws1")
    lab.wait(61)
    made = lab.decide()
    lab.quiet.clear()
    lab.happen(*[event for event in made if event.type == "lost"], make.joined(cpus=2, keeps=(attempt,)))
    assert decided(lab) == []
    lab.happen(make.finished(**BY_KILL))
    assert decided(lab) == [("completed", "sweep", "killed")]


def test_a_killed_job_that_its_nodes_heartbeats_do_not_name_is_released() -> None:
    lab = killed()
    lab.beat(running=())
    for _ in range(61):
        lab.now += 1
        lab.agenda.tick(lab.now)
        lab.beat(running=())
    assert decided(lab) == [("released", "job1", "ws1", "not_there")]
    assert lab.status() is Status.KILLED
