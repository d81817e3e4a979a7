"""Silent nodes: how long the scheduler waits for them, and what happens to their jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core_kit import Lab, of, told
from distribute.core.ids import AttemptId
from distribute.core.log import events as ev
from distribute.core.scheduling.decide import decide
from distribute.core.scheduling.liveness import Lease
from distribute.core.state.state import Status
from distribute.testing import builders as make


def running(jobs: int = 1, *, ran_s: float = 0.0, lease: Lease | None = None, **fields: Any) -> Lab:
    """Jobs that have run for so long at ws1, the only node."""
    lab = Lab(make.joined(), make.submitted(make.batch(jobs, **fields)), lease=lease)
    for job in lab.assign():
        lab.run(job)
    lab.now += ran_s
    lab.look()
    return lab


def fall_silent(lab: Lab, seconds: float, node: str = "ws1") -> list[tuple[str, ...]]:
    """Let the node be silent for so long, and append what the scheduler decides meanwhile."""
    lab.quiet.add(node)
    said = []
    for _ in range(int(seconds)):
        lab.wait(1)
        made = lab.decide()
        lab.happen(*made, apart_s=0.0)
        said += told(made)
    return said


def test_a_node_silent_for_its_lease_is_lost_once_and_keeps_its_job_while_no_other_can_take_it() -> None:
    lab = running()
    lab.quiet.add("ws1")
    lab.wait(59)
    assert lab.decide() == []
    lab.wait(1)
    (event,) = lab.decide()
    assert isinstance(event, ev.Lost)
    assert (event.node, event.silent_s) == ("ws1", 60.0)
    lab.wait(1)
    assert lab.decide() == []
    lab.happen(event)
    assert fall_silent(lab, 3600) == []
    assert lab.status() is Status.RUNNING


def test_a_node_that_has_left_is_not_declared_lost() -> None:
    lab = Lab(make.joined(), make.left())
    lab.wait(99)
    assert lab.decide() == []


def test_a_lost_nodes_job_is_released_and_assigned_in_one_decision() -> None:
    lab = running()
    fall_silent(lab, 61)
    lab.happen(make.joined("ws2"))
    released, assigned = decide(lab.agenda, lab.now, make.new_id)
    lost = next(recorded.event for recorded in lab.log if recorded.event.type == "lost")
    assert isinstance(released.event, ev.Released)
    assert (released.event.node, released.event.reason) == ("ws1", "node_lost")
    assert released.event.causation == lost.id
    assert released.guard.last_seq == lab.batch().job_seq[0]
    assert not released.behind
    assert isinstance(assigned.event, ev.Assigned)
    assert (assigned.event.node, assigned.event.attempt) == ("ws2", 2)
    assert assigned.behind == (released.event.id,), "it is guarded by the release"
    assert decide(lab.agenda, lab.now, make.new_id) == []
    lab.happen(released.event, assigned.event)
    assert lab.batch().active[0].node == "ws2"


def test_a_job_stays_with_its_lost_node_while_no_other_has_room() -> None:
    lab = running()
    lab.happen(make.joined("ws2", cpus=1), make.submitted(make.batch(1, batch="other")))
    assert lab.assign() == {"job1": "ws2"}
    lab.run(of("other"), "ws2")
    assert fall_silent(lab, 300) == [("lost", "ws1")]
    lab.happen(make.finished(of("other"), "ws2"))
    assert told(lab.decide())[1:] == [
        ("released", "job1", "ws1", "node_lost"),
        ("assigned", "job1", "ws2"),
    ]


@pytest.mark.parametrize(
    ("ran_s", "patience_s"), [(0, 60), (599, 60), (7200, 720), (3 * 86_400, 1800)], ids=str
)
def test_patience_grows_with_what_would_be_lost(ran_s: int, patience_s: int) -> None:
    lab = running(ran_s=ran_s)
    lab.happen(make.joined("ws2"), apart_s=0.0)
    assert ("released", "job1", "ws1", "node_lost") not in fall_silent(lab, patience_s - 1)
    assert fall_silent(lab, 2)[-2:] == [
        ("released", "job1", "ws1", "node_lost"),
        ("assigned", "job1", "ws2"),
    ]


def test_the_lease_is_a_setting() -> None:
    lease = Lease(out_of_touch_s=5.0, lost_after_s=20.0, patience_growth=0.5, longest_patience_s=100.0)
    lab = running(ran_s=7200, lease=lease)
    lab.happen(make.joined("ws2"))
    assert fall_silent(lab, 98) == [("lost", "ws1")]
    assert ("assigned", "job1", "ws2") in fall_silent(lab, 3)


def test_a_node_that_is_back_before_another_takes_its_job_goes_on_and_its_result_counts() -> None:
    lab = running(ran_s=3 * 86_400)
    lab.happen(make.joined("ws2"))
    incarnation = lab.state.nodes["ws1"].incarnation
    assert fall_silent(lab, 1700) == [("lost", "ws1")]
    lab.quiet.discard("ws1")
    lab.happen(make.joined("ws1", incarnation=incarnation, keeps=make.kept(["job1"])))
    lab.wait(3600)
    assert lab.decide() == []
    lab.happen(make.finished())
    assert lab.status() is Status.SUCCEEDED
    assert lab.state.misfits == 0


def test_a_result_that_a_lost_node_still_sends_counts() -> None:
    lab = running()
    assert fall_silent(lab, 600) == [("lost", "ws1")]
    lab.happen(make.finished())
    assert lab.status() is Status.SUCCEEDED


def test_a_job_that_another_node_has_taken_does_not_return() -> None:
    lab = running()
    lab.happen(make.joined("ws2"))
    fall_silent(lab, 61)
    lab.run("job1", "ws2", attempt=2)
    lab.quiet.discard("ws1")
    lab.happen(make.joined("ws1", keeps=make.kept(["job1"])), make.finished("job1", "ws1"))
    assert lab.state.last_misfit.endswith("attempt 1, where the last is 2")
    assert lab.batch().active[0].node == "ws2"
    assert lab.decide() == []


def test_silence_that_ends_before_the_lease_does_changes_nothing() -> None:
    lab = running()
    lab.happen(make.joined("ws2"))
    assert fall_silent(lab, 59) == []
    lab.beat("ws1")
    assert fall_silent(lab, 59) == []
    assert lab.status() is Status.RUNNING


def test_a_runner_that_is_back_has_only_the_attempts_it_keeps() -> None:
    lab = running(3)
    lab.happen(make.joined(keeps=make.kept(["job2"])))
    assert told(lab.decide()) == [
        ("released", "job1", "ws1", "node_restarted"),
        ("released", "job3", "ws1", "node_restarted"),
    ]


def test_an_attempt_is_kept_by_its_number_and_not_by_its_job() -> None:
    lab = running()
    lab.happen(make.released(reason="not_there"))
    lab.happen(make.assigned(attempt=2))
    lab.run("job1", attempt=2)
    lab.happen(make.joined(keeps=make.kept(["job1"])))
    assert told(lab.decide()) == [("released", "job1", "ws1", "node_restarted")]
    lab.happen(make.joined(keeps=[AttemptId("lab", "sweep", "job1", 2)]))
    lab.agenda.drop(lab.batch().job_id(0))
    assert lab.decide() == []


def test_attempts_at_an_unknown_node_are_released() -> None:
    lab = Lab(make.submitted(), make.assigned("job1", "ghost"))
    assert told(lab.decide()) == [("released", "job1", "ghost", "node_left")]


def test_a_node_that_joins_with_an_attempt_given_to_it_before_it_was_known_has_it() -> None:
    lab = Lab(make.submitted(), make.assigned("job1", "ghost"))
    lab.happen(make.joined("ghost", keeps=make.kept(["job1"])))
    assert lab.state.nodes["ghost"].used_cpus == 1
    assert lab.decide() == []


def test_a_pause_does_not_count_as_silence() -> None:
    lab = running()
    until = make.EPOCH + timedelta(hours=1)
    lab.happen(make.joined("ws2"), make.paused("ws1", until=until, keeps=("job1",)))
    assert fall_silent(lab, 3590) == []
    assert fall_silent(lab, 65) == []
    assert fall_silent(lab, 10) == [
        ("lost", "ws1"),
        ("released", "job1", "ws1", "node_lost"),
        ("assigned", "job1", "ws2"),
    ], "a node that does not come back from its pause is lost like any other: what it ran took seconds"


def test_attempts_that_a_paused_node_does_not_keep_are_released() -> None:
    lab = running(2)
    lab.happen(make.paused("ws1", keeps=("job1",)), make.joined("ws2"))
    made = lab.decide()
    assert told(made)[0][:3] == ("released", "job2", "ws1")
    lab.happen(*made)
    assert lab.assign() == {"job2": "ws2"}


def test_a_pause_that_was_made_longer_ends_at_its_last_until() -> None:
    lab = running()
    lab.happen(make.joined("ws2"))
    for hours in (1, 2):
        until = make.EPOCH + timedelta(hours=hours)
        lab.happen(make.paused("ws1", until=until, keeps=("job1",)))
    assert fall_silent(lab, 7190) == []
    assert ("assigned", "job1", "ws2") in fall_silent(lab, 75)


def test_a_node_that_falls_silent_once_its_pause_is_over_has_its_whole_lease() -> None:
    lab = running()
    lab.happen(make.joined("ws2"), make.paused("ws1", keeps=("job1",)))
    assert fall_silent(lab, 600) == []
    lab.happen(make.resumed("ws1"))
    assert fall_silent(lab, 58) == []
    assert fall_silent(lab, 4)[-1] == ("assigned", "job1", "ws2")


def test_who_was_away_himself_waits_for_a_whole_lease() -> None:
    """The listener's computer slept, or its clock jumped, so the silence does not count."""
    lab = running()
    lab.happen(make.joined("ws2"))
    fall_silent(lab, 50)
    lab.now += 7200
    lab.look()
    assert fall_silent(lab, 58) == []
    assert ("lost", "ws1") in fall_silent(lab, 3)


def test_a_job_of_a_node_that_was_lost_for_long_is_taken_as_soon_as_it_is_killed() -> None:
    lab = running()
    fall_silent(lab, 61)
    lab.happen(make.kill_requested())
    assert told(lab.decide()) == [("released", "job1", "ws1", "node_lost")]


def test_queued_jobs_go_before_jobs_of_a_lost_node() -> None:
    lab = running(2, resources=None)
    fall_silent(lab, 61)
    lab.happen(make.joined("ws2"))
    assert lab.assign() == {"job2": "ws2"}
    assert lab.status("job1") is Status.RUNNING


def test_two_nodes_that_went_down_with_a_job_are_enough() -> None:
    lab = running()
    lab.happen(make.joined("ws2"))
    fall_silent(lab, 61)
    lab.run("job1", "ws2", attempt=2)
    lab.happen(make.joined("ws2"), *lab.decide())
    (released,) = lab.decide()
    assert told([released]) == [("released", "job1", "ws2", "node_restarted")]
    lab.happen(released)
    assert lab.status() is Status.FAILED
    assert lab.batch().reasons[0] == (
        "2 nodes went down while it ran on them (ws1, ws2), so it is not tried again"
    )


def test_two_crashes_of_one_node_are_not_two_nodes() -> None:
    lab = running()
    for attempt in (1, 2):
        lab.happen(make.joined("ws1"))
        lab.happen(*lab.decide())
        assert lab.assign() == {"job1": "ws1"}
        lab.run("job1", attempt=attempt + 1)
    lab.happen(make.joined("ws1"))
    lab.happen(*lab.decide())
    assert lab.status() is Status.FAILED
    assert (
        lab.batch().reasons[0]
        == "its node went down 3 times while it ran (last: ws1), so it is not tried again"
    )


def test_every_event_of_a_node_is_a_sign_of_life() -> None:
    """Its heartbeats may be lost, or come later than its events."""
    lab = Lab(make.joined(), make.submitted())
    assert lab.assign() == {"job1": "ws1"}
    lab.quiet.add("ws1")
    lab.wait(55)
    lab.happen(make.claimed())
    assert lab.decide() == []
    lab.wait(55)
    assert lab.decide() == []


def test_an_assignment_on_its_way_to_a_node_that_is_forgotten_meanwhile_is_released() -> None:
    lab = Lab(make.joined(), make.submitted())
    (assigned,) = lab.decide()
    lab.happen(make.left(), make.forgotten())
    lab.happen(assigned)
    assert told(lab.decide()) == [("released", "job1", "ws1", "node_left")]
