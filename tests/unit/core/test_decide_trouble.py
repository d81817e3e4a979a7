"""The scheduler's decisions about leaving nodes, kills, failed builds and races."""

from typing import Any

import pytest

from core_kit import Lab, told
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.scheduling.decide import BUILD_FAILED
from distribute.core.spec.specs import Resources
from distribute.core.state.state import Status
from distribute.testing import builders as make


def running(**fields: Any) -> Lab:
    """One job runs at ws1, the only node."""
    lab = Lab(make.joined(), make.submitted(make.batch(1, **fields)))
    lab.assign()
    lab.run("job1")
    return lab


# --- nodes that go ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (make.left(), "node_left"),
        (make.joined(), "node_restarted"),
        (make.joined(boot_id="boot2"), "node_rebooted"),
        (make.joined(boot_id=""), "node_restarted"),
    ],
    ids=["left", "restarted", "rebooted", "unknown boot"],
)
def test_jobs_of_a_node_that_is_gone_are_released_and_assigned_elsewhere(event: Event, reason: str) -> None:
    lab = running()
    lab.happen(make.drain_requested(), event, make.joined("ws2"))
    (released,) = lab.decide()
    assert told([released]) == [("released", "job1", "ws1", reason)]
    lab.happen(released)
    assert told(lab.decide()) == [("assigned", "job1", "ws2")]


def test_a_job_is_lost_to_a_reboot_although_the_runner_starts_twice_after_it() -> None:
    lab = running()
    lab.happen(make.joined(boot_id="boot2"), make.joined(boot_id="boot2"))
    (released,) = lab.decide()
    assert told([released]) == [("released", "job1", "ws1", "node_rebooted")]
    lab.happen(released)
    lab.happen(*lab.decide())
    lab.run("job1", attempt=2)
    lab.happen(make.joined(boot_id="boot2"))
    assert told(lab.decide()) == [("released", "job1", "ws1", "node_restarted")], "which is said once"


def test_a_leaving_node_keeps_the_attempts_it_names_and_loses_the_others() -> None:
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(3, resources=Resources(cpus=1))))
    assert lab.assign() == {"job1": "ws1", "job2": "ws1"}
    lab.run("job1")
    lab.run("job2")
    lab.happen(make.leaving(keeps=("job1",)))
    (released,) = lab.decide()
    assert told([released]) == [("released", "job2", "ws1", "node_left")]
    lab.happen(released)
    assert lab.decide() == []  # it takes nothing more, though it has room
    lab.happen(make.joined("ws2", cpus=2))
    assert lab.assign() == {"job2": "ws2", "job3": "ws2"}
    lab.happen(make.finished("job1"), make.job_archived("job1"), make.left())
    assert lab.decide() == []
    assert lab.status("job1") == Status.SUCCEEDED


def test_an_assignment_on_its_way_to_a_leaving_node_is_released() -> None:
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(2, resources=Resources(cpus=1))))
    made = lab.decide()
    lab.happen(make.leaving(), *made)
    assert told(lab.decide()) == [
        ("released", "job1", "ws1", "node_left"),
        ("released", "job2", "ws1", "node_left"),
    ]


def test_attempts_that_a_leaving_node_keeps_are_released_when_it_has_left() -> None:
    lab = running()
    lab.happen(make.leaving(keeps=("job1",)))
    assert lab.decide() == []
    lab.happen(make.left())
    assert told(lab.decide()) == [("released", "job1", "ws1", "node_left")]


def test_a_yielded_job_is_assigned_again_and_has_not_failed() -> None:
    lab = running()
    lab.happen(make.yielded(), make.drain_requested(), make.joined("ws2"))
    assert lab.assign() == {"job1": "ws2"}
    lab.run("job1", "ws2", attempt=2)
    lab.happen(make.finished("job1", "ws2", attempt=2))
    assert (lab.status(), lab.batch().failures, lab.batch().deaths) == (Status.SUCCEEDED, {}, {})


def test_a_node_that_left_and_joins_again_takes_jobs() -> None:
    lab = Lab(make.joined(), make.leaving(), make.left(), make.joined(), make.submitted())
    assert lab.assign() == {"job1": "ws1"}


def test_a_job_assigned_after_the_node_joined_again_stays() -> None:
    lab = Lab(make.joined(), make.joined(), make.submitted())
    lab.assign()
    lab.run("job1")
    assert lab.decide() == []


# --- kills -----------------------------------------------------------------------------------------


def test_running_jobs_of_a_killed_batch_are_released_and_it_ends_as_killed() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(make.batch(3)))
    lab.assign()
    lab.happen(make.kill_requested())
    made = lab.decide()
    assert told(made) == [("released", "job1", "ws1", "killed")]
    lab.happen(*made)
    assert told(lab.decide()) == [("completed", "sweep", "killed")]


def test_a_batch_killed_before_it_ran_ends_at_once() -> None:
    lab = Lab(make.submitted(make.batch(3)), make.kill_requested())
    assert told(lab.decide()) == [("completed", "sweep", "killed")]


def test_one_killed_job_fails_its_batch_in_the_end() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(make.batch(2)))
    lab.assign()
    lab.happen(make.kill_requested(job="job1"))
    made = lab.decide()
    assert told(made) == [("released", "job1", "ws1", "killed")]
    lab.happen(*made)
    assert lab.assign() == {"job2": "ws1"}
    lab.succeed("job2")
    assert told(lab.decide()) == [("completed", "sweep", "failed")]


def test_a_kill_that_comes_while_the_assignment_is_under_way_is_not_lost() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(1)))
    (assigned,) = lab.decide()
    lab.happen(make.kill_requested())
    assert lab.decide() == []  # the batch is not seen to its end while something of it is under way
    lab.happen(assigned)
    released = lab.decide()
    assert told(released) == [("released", "job1", "ws1", "killed")]
    lab.happen(*released)
    assert told(lab.decide()) == [("completed", "sweep", "killed")]


# --- builds ----------------------------------------------------------------------------------------


def test_after_a_failed_build_the_jobs_go_to_other_nodes() -> None:
    lab = running(build="make")
    lab.happen(make.joined("ws2"), make.build_finished(succeeded=False))
    made = lab.decide()
    assert told(made) == [("released", "job1", "ws1", "build_failed")]
    lab.happen(*made)
    assert told(lab.decide()) == [("assigned", "job1", "ws2")]


def test_a_build_that_fails_everywhere_fails_the_batch() -> None:
    lab = Lab(make.joined("ws1"), make.joined("ws2"), make.submitted(make.batch(3, build="make")))
    lab.happen(make.build_finished("ws1", succeeded=False))
    lab.quiet.add("ws2")
    lab.wait(30)
    assert lab.decide() == []  # ws2 may come back
    lab.beat("ws2")
    lab.happen(make.build_finished("ws2", succeeded=False))
    (event,) = lab.decide()
    assert isinstance(event, ev.Completed)
    assert (event.state, event.reason) == ("failed", BUILD_FAILED)


@pytest.mark.parametrize("gone", [make.left("ws2"), make.lost("ws2")], ids=["left", "lost"])
def test_nodes_that_are_gone_do_not_keep_a_failed_batch_waiting(gone: Event) -> None:
    lab = Lab(make.joined("ws1"), make.joined("ws2"), make.submitted(make.batch(3, build="make")))
    lab.happen(make.drain_requested("ws2"), make.build_finished("ws1", succeeded=False))
    assert lab.decide() == []
    lab.happen(gone)
    assert told(lab.decide()) == [("completed", "sweep", "failed")]


def test_nodes_that_could_not_run_the_batch_anyway_do_not_count() -> None:
    spec = make.batch(1, build="make", capabilities=frozenset({"gcc"}))
    lab = Lab(make.joined("ws1", capabilities=frozenset({"gcc"})), make.joined("ws2"), make.submitted(spec))
    lab.happen(make.build_finished("ws1", succeeded=False))
    assert told(lab.decide()) == [("completed", "sweep", "failed")]


# --- the end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("succeeded", "state"), [(True, "completed"), (False, "failed")])
def test_a_batch_ends_with_its_last_job_and_is_archived_once_all_is(succeeded: bool, state: str) -> None:
    lab = running()
    lab.happen(make.finished(succeeded=succeeded))
    made = lab.decide()
    assert told(made) == [("completed", "sweep", state)]
    lab.happen(*made)
    assert lab.decide() == []
    lab.happen(make.job_archived())
    made = lab.decide()
    assert told(made) == [("batch_archived", "sweep")]
    lab.happen(*made)
    assert lab.decide() == []
    assert lab.batch().archived


def test_a_batch_does_not_end_while_a_job_is_to_be_tried_again() -> None:
    lab = running(retries=1)
    lab.happen(make.finished(succeeded=False))
    assert lab.decide() == []
    lab.happen(make.job_archived())
    assert told(lab.decide()) == [("assigned", "job1", "ws1")]


def test_a_deleted_batch_that_is_submitted_again_begins_at_attempt_one() -> None:
    lab = running()
    lab.happen(make.finished(), make.job_archived())
    lab.happen(*lab.decide())
    lab.happen(make.deleted(), make.submitted())
    (event,) = lab.decide()
    assert isinstance(event, ev.Assigned)
    assert event.attempt == 1


# --- what is under way -----------------------------------------------------------------------------


def test_nothing_is_decided_twice() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(3)), make.submitted(make.batch(1, batch="other")))
    assert len(lab.decide()) == 4
    assert lab.decide() == []


def test_pending_events_count_as_done() -> None:
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(2)))
    assert len(lab.decide()) == 2
    lab.happen(make.submitted(make.batch(1, batch="other")))
    assert lab.decide() == []  # the node is full, as soon as the log says so


def test_a_refused_event_is_decided_again() -> None:
    lab = Lab(make.joined("ws1", cpus=1), make.submitted(make.batch(2)))
    (event,) = lab.decide()
    lab.agenda.drop(event.scope)
    (again,) = lab.decide()
    assert isinstance(again, ev.Assigned)
    assert (again.job, again.node) == ("job1", "ws1")


def test_an_event_of_another_scheduler_replaces_ours() -> None:
    lab = Lab(make.joined("ws1", cpus=1), make.joined("ws2", cpus=1), make.submitted(make.batch(3)))
    assert told(lab.decide()) == [("assigned", "job1", "ws1"), ("assigned", "job2", "ws2")]
    lab.happen(make.assigned("job1", "ws2"))
    assert told(lab.decide()) == [("assigned", "job3", "ws1")]
    assert lab.state.nodes["ws2"].used_cpus == 1


def test_events_from_before_a_restart_are_folded() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(make.batch(1)), make.assigned())
    assert lab.decide() == []
    lab.happen(make.released(reason="unclaimed"))
    assert lab.assign() == {"job1": "ws1"}


def test_a_batch_is_archived_again_after_an_assignment_that_was_under_way_when_it_ended() -> None:
    """Two schedulers: one assigned the job, the other ended the batch. The job ends before it is released."""
    lab = Lab(make.joined(), make.submitted(), make.kill_requested())
    lab.happen(make.completed(state="killed"), make.batch_archived())
    lab.happen(make.assigned(), make.claimed(), make.finished())
    assert not lab.batch().archived, "what the job left can't be pulled yet"
    assert lab.decide() == []
    lab.happen(make.job_archived())
    assert told(lab.decide()) == [("batch_archived", "sweep")]


def test_a_batch_stays_archived_if_such_a_job_left_nothing() -> None:
    lab = Lab(make.joined(), make.submitted(), make.kill_requested())
    lab.happen(make.completed(state="killed"), make.batch_archived())
    lab.happen(make.assigned(), make.claimed(), make.finished(outputs=None))
    assert lab.batch().archived
    assert lab.decide() == []
