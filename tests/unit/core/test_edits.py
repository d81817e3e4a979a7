"""A person edits a batch: what its waiting jobs ask for, and how it limits itself."""

from __future__ import annotations

from typing import Any

from core_kit import Lab, told
from distribute.core.folding.edits import edit_in_words
from distribute.core.log import events as ev
from distribute.core.spec.specs import GpuKind, Resources
from distribute.core.state.state import Group, Shape, Status
from distribute.testing import builders as make

NONE: frozenset[str] = frozenset()


def lab_of(jobs: Any = 3, *, cpus: int = 8, **fields: Any) -> Lab:
    return Lab(make.joined(cpus=cpus), make.submitted(make.batch(jobs, **fields)))


def cpus_by_job(lab: Lab) -> dict[str, int]:
    batch = lab.batch()
    return {name: batch.group_of(row).shape.cpus for name, row in batch.rows.items()}


def given(made: list[ev.Event]) -> dict[str, ev.Assigned]:
    return {event.job: event for event in made if isinstance(event, ev.Assigned)}


# --- what jobs ask for ---------------------------------------------------------------------------------


def test_waiting_jobs_get_what_the_edit_says() -> None:
    lab = lab_of()
    lab.happen(make.edited(cpus=4, memory_bytes=make.GIB, timeout_s=60.0, retries=2))
    assert lab.batch().groups == (Group(Shape(NONE, 4, make.GIB), 2, 0, 3, 60.0),)
    assigned = given(lab.decide())
    assert [(one.cpus, one.memory_bytes, one.timeout_s) for one in assigned.values()] == 2 * [
        (4, make.GIB, 60.0)
    ]


def test_what_the_edit_does_not_name_stays() -> None:
    lab = lab_of(1, resources=Resources(cpus=2, memory_bytes=make.GIB, gpus=1, gpu_kind=GpuKind(model="x")))
    lab.happen(make.edited(retries=1))
    (group,) = lab.batch().groups
    assert (group.shape.cpus, group.shape.memory_bytes, group.shape.gpus, group.timeout_s) == (
        2,
        make.GIB,
        1,
        None,
    )
    assert group.shape.gpu_kind is not None


def test_a_job_that_asks_for_no_gpu_any_more_names_no_kind_of_gpu() -> None:
    lab = lab_of(1, resources=Resources(gpus=1, gpu_kind=GpuKind(model="x")))
    lab.happen(make.edited(gpus=0))
    assert lab.batch().groups[0].shape == Shape(NONE, 1)
    assert set(lab.assign()) == {"job1"}


def test_jobs_with_a_node_or_over_keep_what_they_have() -> None:
    lab = lab_of(4, cpus=3)
    lab.assign()
    lab.succeed("job1")
    lab.run("job2")
    lab.happen(make.edited(cpus=2))
    assert cpus_by_job(lab) == {"job1": 1, "job2": 1, "job3": 1, "job4": 2}
    assert lab.batch().active[1].cpus == 1


def test_a_running_job_that_its_node_gives_back_keeps_what_it_had() -> None:
    lab = lab_of(2, cpus=1)
    lab.assign()
    lab.run("job1")
    lab.happen(make.edited(cpus=2), make.yielded())
    assert cpus_by_job(lab) == {"job1": 1, "job2": 2}
    assert set(lab.assign()) == {"job1"}


def test_only_the_jobs_that_are_named_change_and_equal_neighbours_share_a_group() -> None:
    lab = lab_of(5)
    lab.happen(make.edited(jobs=("job2", "job3"), cpus=2))
    assert [group[2:4] for group in lab.batch().groups] == [(0, 1), (1, 3), (3, 5)]
    lab.happen(make.edited(jobs=("job1", "job4", "job5"), cpus=2))
    assert [group[2:4] for group in lab.batch().groups] == [(0, 5)]
    assert len(given(lab.decide())) == 4


def test_scattered_jobs_that_ask_for_the_same_wait_together() -> None:
    """However many groups an edit makes of a batch, a decision looks at what they ask for, once each."""
    lab = lab_of(6, cpus=9)
    lab.happen(make.edited(jobs=("job1", "job3", "job5"), cpus=2))
    assert len(lab.batch().groups) == 6
    waits = lab.agenda.waiting[lab.batch().id]
    assert [list(waiting.rows()) for waiting in waits] == [[0, 2, 4], [1, 3, 5]]
    assert list(lab.assign()) == ["job1", "job3", "job5", "job2", "job4", "job6"]
    for job in ("job3", "job4"):
        lab.happen(make.released(job))
    assert [list(waiting.rows()) for waiting in waits] == [[2], [3]]
    assert set(lab.assign()) == {"job3", "job4"}
    assert cpus_by_job(lab) == {f"job{n}": 2 - (n + 1) % 2 for n in range(1, 7)}


def test_the_last_job_waits_alone_whatever_it_asks_for() -> None:
    lab = lab_of([make.job("a"), make.job("b"), make.job("c")], last_job="c")
    waits = lab.agenda.waiting[lab.batch().id]
    assert [[group.start for group in waiting.groups] for waiting in waits] == [[0], [2]]
    lab.happen(make.edited(jobs=("a",), cpus=2), make.edited(cpus=2))
    waits = lab.agenda.waiting[lab.batch().id]
    assert [[group.start for group in waiting.groups] for waiting in waits] == [[0], [2]]


def test_the_last_job_stays_in_a_group_of_its_own() -> None:
    lab = lab_of(3, last_job="job3", resources=Resources(cpus=1))
    lab.happen(make.edited(cpus=2))
    assert [group[2:4] for group in lab.batch().groups] == [(0, 2), (2, 3)]


def test_a_whole_node_stays_one_unless_the_edit_says_how_many_cpus() -> None:
    lab = lab_of(1, resources=None)
    lab.happen(make.edited(memory_bytes=make.GIB))
    assert lab.batch().groups[0].shape.whole_node
    lab.happen(make.edited(cpus=2, memory_bytes=make.GIB))
    assert lab.batch().groups[0].shape == Shape(NONE, 2, make.GIB)


def test_a_job_that_no_node_could_run_runs_after_an_edit_and_the_other_way_round() -> None:
    lab = lab_of(1, cpus=2, resources=Resources(cpus=9))
    assert lab.assign() == {}
    lab.happen(make.edited(cpus=2))
    assert set(lab.assign()) == {"job1"}
    lab = lab_of(1, cpus=2)
    lab.happen(make.edited(cpus=9))
    assert lab.assign() == {}


def test_an_assignment_that_was_decided_before_the_edit_counts_as_it_was_decided() -> None:
    lab = lab_of(1)
    made = lab.decide()
    lab.happen(make.edited(cpus=4), *made)
    assert lab.batch().active[0].cpus == 1
    assert lab.state.nodes["ws1"].used_cpus == 1
    lab.run("job1")
    lab.happen(make.yielded())
    assert given(lab.decide())["job1"].cpus == 4


def test_an_edit_of_a_lost_nodes_jobs_leaves_them_for_others_as_they_were() -> None:
    lab = lab_of(2, cpus=1)
    lab.assign()
    lab.run("job1")
    lab.quiet.add("ws1")
    lab.wait(70)
    lab.happen(*lab.decide())
    lab.happen(make.edited(cpus=2), make.joined("ws2", cpus=1))
    lab.wait(120)
    assert lab.assign() == {"job1": "ws2"}


# --- how the batch limits itself -----------------------------------------------------------------------


def test_a_limit_can_be_raised_lowered_and_lifted() -> None:
    lab = lab_of(8, max_running=2)
    assert len(lab.assign()) == 2
    lab.happen(make.edited(max_running=3))
    assert len(lab.assign()) == 1
    lab.happen(make.edited(max_running=1))
    assert lab.assign() == {}
    lab.happen(make.edited(max_running=0))
    assert lab.batch().limits.max_running is None
    assert len(lab.assign()) == 5


def test_assignments_that_were_decided_before_a_lower_limit_count() -> None:
    lab = lab_of(4, max_running=3)
    made = lab.decide()
    lab.happen(make.edited(max_running=1), *made)
    assert (len(lab.batch().active), lab.state.misfits) == (3, 0)
    assert lab.assign() == {}


def test_assignments_that_were_decided_before_a_first_limit_count() -> None:
    lab = lab_of(4)
    made = lab.decide()
    lab.happen(make.edited(max_running=1), *made)
    assert (len(lab.batch().active), lab.state.misfits) == (4, 0)


def test_a_batch_that_gave_up_goes_on_with_a_higher_limit() -> None:
    lab = lab_of(3, cpus=1, max_failures=1)
    lab.assign()
    lab.run("job1")
    lab.happen(make.finished(succeeded=False, outputs=None))
    lab.happen(make.edited(max_failures=2))
    assert set(lab.assign()) == {"job2"}


def test_the_last_job_waits_again_if_others_may_run_after_all() -> None:
    lab = lab_of(3, cpus=1, max_failures=1, last_job="job3")
    lab.assign()
    lab.run("job1")
    lab.happen(make.finished(succeeded=False, outputs=None))
    assert set(lab.assign()) == {"job3"}, "the others are over: the batch has given up"
    lab.run("job3")
    lab.happen(make.edited(max_failures=2))
    assert lab.batch().last_is_outdated


def test_a_batch_gives_up_by_a_lower_limit() -> None:
    lab = lab_of(3, cpus=1, max_failures=3)
    lab.assign()
    lab.run("job1")
    lab.happen(make.finished(succeeded=False, outputs=None), make.edited(max_failures=1))
    assert told(lab.decide()) == [("completed", "sweep", "failed")]


# --- what does not fit ---------------------------------------------------------------------------------


def test_an_edit_of_a_batch_that_is_over_does_not_fit() -> None:
    lab = lab_of()
    lab.happen(make.kill_requested(), make.completed(state="killed"), make.edited(cpus=2))
    assert lab.state.last_misfit.endswith("the batch is over")
    assert set(cpus_by_job(lab).values()) == {1}
    assert lab.batch().edited is None


def test_an_edit_of_a_batch_that_ran_elsewhere_does_not_fit() -> None:
    lab = Lab(make.submitted(ran_at=make.RAN_AT), make.edited(cpus=2))
    assert lab.state.last_misfit.endswith("nothing here runs it")


def test_names_of_no_job_change_nothing() -> None:
    lab = lab_of()
    lab.happen(make.edited(jobs=("nobody", "job2"), cpus=2))
    assert cpus_by_job(lab) == {"job1": 1, "job2": 2, "job3": 1}


def test_who_edited_it_last_is_known_and_the_words_say_what_changed() -> None:
    lab = lab_of()
    event = make.edited(
        by="bob", cpus=2, memory_bytes=make.GIB, gpus=0, timeout_s=0.0, retries=1, max_running=0
    )
    lab.happen(event)
    assert lab.batch().edited == ("bob", lab.state.time)
    assert edit_in_words(event) == "2 cpus, 1G of memory, 0 GPUs, no timeout, 1 retry, max_running none"
    assert lab.status() is Status.QUEUED
