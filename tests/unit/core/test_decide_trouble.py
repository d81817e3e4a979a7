"""What the scheduler does when things go wrong: nodes that vanish, kills, builds that fail, broken nodes."""

import pytest

from core_kit import Lab, of
from distribute.core import events as ev
from distribute.core.decide import BUILD_FAILED
from distribute.core.events import Event
from distribute.core.specs import BatchSpec, Resources
from distribute.core.state import Status
from distribute.testing import builders as make


def told(events: list[Event]) -> list[tuple[str, ...]]:
    """Events as what is said of whom, and why."""
    found = []
    for event in events:
        match event:
            case ev.Released():
                found.append(("released", event.job, event.node, event.reason))
            case ev.Assigned():
                found.append(("assigned", event.job, event.node))
            case ev.Completed():
                found.append(("completed", event.batch, event.state))
            case ev.BatchArchived():
                found.append(("batch_archived", event.batch))
            case ev.Quarantined() | ev.Lost():
                found.append((event.type, event.node))
            case _:
                raise AssertionError(f"the scheduler wrote {event}")
    return found


def running(**fields: object) -> Lab:
    """One job runs at ws1, and nothing else is there."""
    lab = Lab(make.joined(), make.submitted(make.batch(1, **fields)))
    lab.assign()
    lab.run("job1")
    return lab


# --- nodes that go ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "reason"),
    [(make.lost(), "node_lost"), (make.left(), "node_left"), (make.joined(), "node_restarted")],
    ids=["lost", "left", "restarted"],
)
def test_what_a_node_that_went_held_is_released_and_given_elsewhere(event: Event, reason: str) -> None:
    lab = running()
    lab.happen(make.drain_requested(), event, make.joined("ws2"))
    (released,) = lab.decide()
    assert told([released]) == [("released", "job1", "ws1", reason)]
    lab.happen(released)
    assert told(lab.decide()) == [("assigned", "job1", "ws2")]


def test_a_node_that_ends_keeps_what_it_still_reports_and_gives_back_the_rest() -> None:
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(3, resources=Resources(cpus=1))))
    assert lab.assign() == {"job1": "ws1", "job2": "ws1"}
    lab.run("job1")
    lab.run("job2")
    lab.happen(make.leaving(keeps=("lab/sweep/job1",)))
    (released,) = lab.decide()
    assert told([released]) == [("released", "job2", "ws1", "node_left")]
    lab.happen(released)
    assert lab.decide() == []  # it takes nothing more, though it has room
    lab.happen(make.joined("ws2", cpus=2))
    assert lab.assign() == {"job2": "ws2", "job3": "ws2"}
    lab.happen(make.finished("job1"), make.job_archived("job1"), make.left())
    assert lab.decide() == []
    assert lab.status("job1") == Status.SUCCEEDED


def test_what_was_on_its_way_to_a_node_that_ends_is_released() -> None:
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(2, resources=Resources(cpus=1))))
    made = lab.decide()
    lab.happen(make.leaving(), *made)
    assert told(lab.decide()) == [
        ("released", "job1", "ws1", "node_left"),
        ("released", "job2", "ws1", "node_left"),
    ]


def test_what_a_node_keeps_is_released_when_it_leaves_or_is_lost_all_the_same() -> None:
    for gone, reason in ((make.left(), "node_left"), (make.lost(), "node_lost")):
        lab = running()
        lab.happen(make.leaving(keeps=("lab/sweep/job1",)))
        assert lab.decide() == []
        lab.happen(gone)
        assert told(lab.decide()) == [("released", "job1", "ws1", reason)]


def test_a_node_that_ended_and_joins_again_takes_jobs() -> None:
    lab = Lab(make.joined(), make.leaving(), make.left(), make.joined(), make.submitted())
    assert lab.assign() == {"job1": "ws1"}


def test_what_was_given_after_the_node_joined_again_is_its_own() -> None:
    lab = Lab(make.joined(), make.joined(), make.submitted())
    lab.assign()
    lab.run("job1")
    assert lab.decide() == []


def test_a_node_silent_for_longer_than_its_lease_is_given_up_once() -> None:
    lab = running()
    (event,) = lab.decide({"ws1": 61.04})
    assert isinstance(event, ev.Lost)
    assert (event.node, event.silent_s) == ("ws1", 61.0)
    assert lab.decide({"ws1": 62.0}) == []
    lab.happen(event)
    assert told(lab.decide({"ws1": 63.0})) == [("released", "job1", "ws1", "node_lost")]


def test_a_node_that_is_not_there_is_not_given_up() -> None:
    assert Lab(make.joined(), make.left()).decide({"ws1": 99.0, "ws9": 99.0}) == []


# --- kills -----------------------------------------------------------------------------------------


def test_a_killed_batch_gives_back_what_runs_and_ends_as_killed() -> None:
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


def test_a_failed_build_gives_its_jobs_to_other_nodes() -> None:
    lab = running(build="make")
    lab.happen(make.joined("ws2"), make.build_finished(succeeded=False))
    made = lab.decide()
    assert told(made) == [("released", "job1", "ws1", "build_failed")]
    lab.happen(*made)
    assert told(lab.decide()) == [("assigned", "job1", "ws2")]


def test_a_build_that_fails_everywhere_fails_the_batch() -> None:
    lab = Lab(make.joined("ws1"), make.joined("ws2"), make.submitted(make.batch(3, build="make")))
    lab.happen(make.build_finished("ws1", succeeded=False))
    lab.agenda.observe(frozenset({"ws2"}))
    assert lab.decide() == []  # ws2 may come back
    lab.agenda.observe(frozenset())
    lab.happen(make.build_finished("ws2", succeeded=False))
    (event,) = lab.decide()
    assert isinstance(event, ev.Completed)
    assert (event.state, event.reason) == ("failed", BUILD_FAILED)


@pytest.mark.parametrize("gone", [make.left("ws2"), make.lost("ws2")], ids=["left", "lost"])
def test_nodes_that_are_gone_keep_no_hope_alive(gone: Event) -> None:
    lab = Lab(make.joined("ws1"), make.joined("ws2"), make.submitted(make.batch(3, build="make")))
    lab.happen(make.drain_requested("ws2"), make.build_finished("ws1", succeeded=False))
    assert lab.decide() == []
    lab.happen(gone)
    assert told(lab.decide()) == [("completed", "sweep", "failed")]


def test_nodes_that_could_not_run_it_anyway_do_not_count() -> None:
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


def test_a_deleted_batch_comes_again_from_its_first_attempt() -> None:
    lab = running()
    lab.happen(make.finished(), make.job_archived())
    lab.happen(*lab.decide())
    lab.happen(make.deleted(), make.submitted())
    (event,) = lab.decide()
    assert isinstance(event, ev.Assigned)
    assert event.attempt == 1


# --- broken nodes ----------------------------------------------------------------------------------


def failing(jobs: int, *specs: BatchSpec) -> Lab:
    """So many jobs, of the batches in turn, failed fast at `broken`, one after another."""
    lab = Lab(make.joined("broken"), *(make.submitted(spec) for spec in specs))
    for number in range(jobs):
        spec = specs[number % len(specs)]
        job = of(spec.batch, f"job{number // len(specs) + 1}")
        lab.happen(make.assigned(job, "broken"))
        lab.fail_fast(job, "broken")
    return lab


def succeeds_elsewhere(lab: Lab) -> None:
    """The ninth job of the sweep succeeds at a sound node."""
    lab.happen(make.joined("sound"), make.drain_requested("sound"), make.assigned("job9", "sound"))
    lab.succeed("job9", "sound")


def quarantines(lab: Lab) -> list[ev.Quarantined]:
    return [event for event in lab.decide() if isinstance(event, ev.Quarantined)]


def test_a_node_that_fails_fast_what_succeeds_elsewhere_is_put_in_quarantine() -> None:
    lab = failing(5, make.batch(9))
    succeeds_elsewhere(lab)
    (event,) = quarantines(lab)
    assert event.node == "broken"
    told_why = "failed 5 jobs within seconds, one after another, of lab/sweep, whose jobs succeed elsewhere"
    assert event.reason == told_why


def test_four_failures_are_not_enough() -> None:
    lab = failing(4, make.batch(9))
    succeeds_elsewhere(lab)
    assert quarantines(lab) == []


def test_a_batch_whose_every_job_fails_speaks_against_no_node() -> None:
    assert quarantines(failing(9, make.batch(9))) == []


def test_the_nodes_own_success_is_no_proof_against_it() -> None:
    lab = Lab(make.joined("broken"), make.submitted(make.batch(9)))
    lab.happen(make.assigned("job9", "broken"))
    lab.succeed("job9", "broken")
    for number in range(1, 6):
        lab.happen(make.assigned(f"job{number}", "broken"))
        lab.fail_fast(f"job{number}", "broken")
    assert quarantines(lab) == []


def test_a_node_that_fails_jobs_of_three_batches_is_broken_even_if_none_succeeded_elsewhere() -> None:
    two = [make.batch(4, batch=name) for name in ("a", "b")]
    lab = failing(6, *two)
    lab.happen(make.joined("other"), make.drain_requested("other"))
    assert quarantines(lab) == []
    lab = failing(6, *two, make.batch(4, batch="c"))
    lab.happen(make.joined("other"), make.drain_requested("other"))
    (event,) = quarantines(lab)
    assert event.reason == "failed 6 jobs within seconds, one after another, of 3 batches"


def test_the_only_node_is_never_put_in_quarantine() -> None:
    assert quarantines(failing(6, *(make.batch(4, batch=name) for name in ("a", "b", "c")))) == []


def test_a_batch_that_other_nodes_fail_as_well_speaks_against_none_of_them() -> None:
    lab = failing(5, make.batch(9))
    succeeds_elsewhere(lab)
    lab.happen(make.assigned("job8", "sound"))
    lab.fail_fast("job8", "sound")
    assert quarantines(lab) == []


@pytest.mark.parametrize("fields", [{"succeeded": False, "wall_s": 600.0}, {"succeeded": True}])
def test_a_long_run_or_a_success_between_clears_the_node(fields: dict[str, object]) -> None:
    lab = failing(4, make.batch(9))
    lab.happen(make.assigned("job5", "broken"))
    lab.run("job5", "broken")
    lab.happen(make.finished("job5", "broken", **fields), make.assigned("job6", "broken"))
    lab.fail_fast("job6", "broken")
    succeeds_elsewhere(lab)
    assert quarantines(lab) == []


def test_what_failed_at_a_broken_node_runs_again_elsewhere() -> None:
    lab = failing(5, make.batch(9))
    succeeds_elsewhere(lab)
    lab.happen(*lab.decide())
    made = lab.decide()
    assert [line for line in told(made) if line[0] == "released"] == [
        ("released", f"job{number}", "broken", "quarantined") for number in range(1, 6)
    ]
    lab.happen(*made)
    assert [lab.status(f"job{number}") for number in range(1, 6)] == [Status.QUEUED] * 5
    lab.happen(make.undrained("sound"))
    assert set(lab.assign().values()) == {"sound"}


def test_a_person_lifts_the_quarantine() -> None:
    lab = failing(5, make.batch(9))
    succeeds_elsewhere(lab)
    lab.happen(*lab.decide())
    lab.happen(*lab.decide())
    lab.happen(make.undrained("broken"))
    assert set(lab.assign().values()) == {"broken"}


# --- what is under way -----------------------------------------------------------------------------


def test_nothing_is_decided_twice() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(3)), make.submitted(make.batch(1, batch="other")))
    assert len(lab.decide()) == 4
    assert lab.decide() == []


def test_what_is_under_way_counts_as_done() -> None:
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(2)))
    assert len(lab.decide()) == 2
    lab.happen(make.submitted(make.batch(1, batch="other")))
    assert lab.decide() == []  # the node is full, as soon as the log says so


def test_what_was_refused_is_decided_anew() -> None:
    lab = Lab(make.joined("ws1", cpus=1), make.submitted(make.batch(2)))
    (event,) = lab.decide()
    lab.agenda.drop(event.scope)
    (again,) = lab.decide()
    assert isinstance(again, ev.Assigned)
    assert (again.job, again.node) == ("job1", "ws1")


def test_another_schedulers_word_takes_the_place_of_ours() -> None:
    lab = Lab(make.joined("ws1", cpus=1), make.joined("ws2", cpus=1), make.submitted(make.batch(3)))
    assert told(lab.decide()) == [("assigned", "job1", "ws1"), ("assigned", "job2", "ws2")]
    lab.happen(make.assigned("job1", "ws2"))
    assert told(lab.decide()) == [("assigned", "job3", "ws1")]
    assert lab.state.nodes["ws2"].used_cpus == 1


def test_events_of_before_a_restart_are_folded_without_having_been_decided_here() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(make.batch(1)), make.assigned())
    assert lab.decide() == []
    lab.happen(make.released(reason="owner"))
    assert lab.assign() == {"job1": "ws1"}
