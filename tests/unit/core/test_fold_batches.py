"""Folding events about whole batches: kill, retry, complete, delete."""

from copy import deepcopy
from typing import Any

import pytest

from core_kit import status_of
from distribute.core.ids import BatchId
from distribute.core.spec.specs import Resources
from distribute.core.state.grouping import needs
from distribute.core.state.state import Group, Shape, State, Status, rows_of
from distribute.testing import builders as make

SWEEP = BatchId("lab", "sweep")
RUNNING = (make.assigned(), make.claimed(), make.started())


def of_three(**fields: Any) -> State:
    """Three jobs, of which the first runs."""
    return make.happen(make.joined(), make.submitted(make.batch(3, **fields)), *RUNNING)


def statuses(state: State) -> list[Status]:
    return [status_of(state, job) for job in state.batches[SWEEP].rows]


@pytest.mark.parametrize("jobs", [1, 5, (1 << 14) + 3])
def test_every_job_has_a_row_of_its_own(jobs: int) -> None:
    names = [f"job{number}" for number in range(jobs)]
    assert rows_of(names) == {name: row for row, name in enumerate(names)}


def test_equal_jobs_share_a_group_and_keep_the_order_of_the_file() -> None:
    large = Resources(cpus=2)
    jobs = [
        make.job("a"),
        make.job("b", resources=large),
        make.job("c", retries=3),
        make.job("d"),
        make.job("e", resources=large, retries=0),
        make.job("f", resources=Resources(cpus=1)),
    ]
    batch = make.happen(make.submitted(make.batch(jobs))).batches[SWEEP]
    one, two = Shape(frozenset(), cpus=1), Shape(frozenset(), cpus=2)
    assert batch.groups == (Group(one, 0, 0, 3), Group(two, 0, 3, 5), Group(one, 3, 5, 6))
    assert batch.names == ["a", "d", "f", "b", "e", "c"]
    assert batch.file_order is not None
    assert [batch.names[row] for row in batch.file_order] == ["a", "b", "c", "d", "e", "f"]
    assert [batch.group_of(row) for row in (0, 2, 3, 4, 5)] == [batch.groups[n] for n in (0, 0, 1, 1, 2)]


def test_a_jobs_needs_are_its_own_or_else_its_batchs() -> None:
    spec = make.batch([make.job("a"), make.job("b", resources=Resources(gpus=1), retries=2)], retries=1)
    assert needs(spec, spec.work.jobs[0]) == (Shape(frozenset(), cpus=1), 1)
    assert needs(spec, spec.work.jobs[1]) == (Shape(frozenset(), cpus=1, gpus=1), 2)
    assert needs(make.batch(resources=None), make.job("a"))[0].whole_node


def test_a_kill_ends_waiting_jobs_and_marks_running_ones() -> None:
    state = of_three()
    make.happen(make.kill_requested(), state=state)
    assert statuses(state) == [Status.RUNNING, Status.KILLED, Status.KILLED]
    make.happen(make.released(reason="killed"), state=state)
    assert statuses(state) == [Status.KILLED] * 3


def test_a_kill_ends_jobs_that_wait_for_another_attempt() -> None:
    state = of_three(retries=1)
    make.happen(make.finished(succeeded=False), make.kill_requested(), state=state)
    assert statuses(state) == [Status.KILLED] * 3
    make.happen(make.job_archived(), state=state)
    assert statuses(state) == [Status.KILLED] * 3


def test_a_marked_job_that_fails_counts_as_killed() -> None:
    state = of_three(retries=1)
    make.happen(make.kill_requested(), make.finished(succeeded=False), state=state)
    assert status_of(state) is Status.KILLED


def test_a_marked_job_that_succeeds_has_succeeded() -> None:
    state = of_three()
    make.happen(make.kill_requested(), make.finished(), state=state)
    assert status_of(state) is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("job", "becomes"),
    [
        ("job1", [Status.RUNNING, Status.QUEUED, Status.QUEUED]),
        ("job2", [Status.RUNNING, Status.KILLED, Status.QUEUED]),
    ],
)
def test_one_job_can_be_killed(job: str, becomes: list[Status]) -> None:
    state = of_three()
    make.happen(make.kill_requested(job=job), state=state)
    assert statuses(state) == becomes
    assert state.batches[SWEEP].kill_wanted(state.batches[SWEEP].rows[job])
    assert not state.batches[SWEEP].kill_wanted(2)


def test_a_job_that_is_over_is_not_killed() -> None:
    state = of_three()
    make.happen(make.finished(), make.kill_requested(job="job1"), state=state)
    assert statuses(state)[0] is Status.SUCCEEDED
    assert not state.batches[SWEEP].kill_wanted(0)
    assert state.misfits == 0, "it may end while the request is on its way"


@pytest.mark.parametrize("kill", [make.kill_requested(), make.kill_requested(job="job2")])
def test_an_assignment_under_way_during_a_kill_is_accepted_so_that_it_can_be_released(kill: object) -> None:
    state = of_three()
    make.happen(kill, make.assigned("job2"), state=state)  # type: ignore[arg-type]
    assert status_of(state, "job2") is Status.ASSIGNED
    assert state.nodes["ws1"].used_cpus == 2
    make.happen(make.released("job2", reason="killed"), state=state)
    assert status_of(state, "job2") is Status.KILLED
    assert state.nodes["ws1"].used_cpus == 1
    assert state.misfits == 0


def test_a_completion_with_a_reason_fails_waiting_jobs() -> None:
    state = make.happen(make.submitted(make.batch(3)))
    make.happen(make.completed(state="failed", reason="the build failed"), state=state)
    batch = state.batches[SWEEP]
    assert statuses(state) == [Status.FAILED] * 3
    assert (batch.end, batch.end_reason, batch.finished_at) == ("failed", "the build failed", state.time)


def test_a_job_assigned_while_its_batch_failed_can_only_end() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(2, retries=5)))
    make.happen(make.completed(state="failed", reason="the build failed"), *RUNNING, state=state)
    assert status_of(state) is Status.RUNNING
    make.happen(make.finished(succeeded=False), state=state)
    assert statuses(state) == [Status.FAILED, Status.FAILED]
    assert state.misfits == 0


def test_a_batch_ends_once() -> None:
    state = make.happen(
        make.submitted(), make.completed(state="failed", reason="x"), make.completed(state="killed")
    )
    assert state.batches[SWEEP].end == "failed"
    assert state.last_misfit.endswith("the batch is over")


@pytest.mark.parametrize(
    ("failed_only", "becomes"),
    [
        (True, [Status.RETRYING, Status.QUEUED, Status.KILLED, Status.SUCCEEDED]),
        (False, [Status.RETRYING, Status.QUEUED, Status.QUEUED, Status.SUCCEEDED]),
    ],
)
def test_a_retry_queues_failed_and_killed_jobs_again(failed_only: bool, becomes: list[Status]) -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(4)))
    for job, succeeded in (("job1", False), ("job2", False), ("job4", True)):
        make.happen(make.assigned(job), make.claimed(job), state=state)
        make.happen(make.finished(job, succeeded=succeeded, wall_s=60), state=state)
    make.happen(make.job_archived("job2"), make.kill_requested(job="job3"), state=state)
    make.happen(make.completed(state="failed"), make.retry_requested(failed_only=failed_only), state=state)
    batch = state.batches[SWEEP]
    assert statuses(state) == becomes
    assert (batch.end, batch.finished_at, batch.failures, batch.reasons) == (None, None, {}, {})
    assert batch.kill_wanted(2) is failed_only


def test_an_assignment_under_way_during_a_kill_is_accepted_after_a_retry_of_others() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(1)))
    make.happen(make.kill_requested(), make.completed(state="killed"), state=state)
    make.happen(make.retry_requested(failed_only=True), make.assigned(), state=state)
    assert status_of(state) is Status.ASSIGNED
    make.happen(make.released(reason="killed"), state=state)
    assert status_of(state) is Status.KILLED
    assert (state.nodes["ws1"].used_cpus, state.misfits) == (0, 0)


def test_a_retry_forgets_failed_builds() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(build="make")))
    make.happen(make.build_finished(succeeded=False), make.completed(state="failed"), state=state)
    make.happen(make.retry_requested(), state=state)
    assert state.batches[SWEEP].build_failed == {}


def test_a_retry_does_not_save_a_job_that_is_being_killed() -> None:
    state = of_three()
    make.happen(make.kill_requested(job="job1"), make.retry_requested(), state=state)
    make.happen(make.released(reason="node_lost"), state=state)
    assert status_of(state) is Status.KILLED


def test_a_batch_that_is_being_killed_can_not_be_retried() -> None:
    state = of_three()
    make.happen(make.kill_requested(), make.retry_requested(), state=state)
    assert state.last_misfit.endswith("the batch is still being killed")
    assert statuses(state) == [Status.RUNNING, Status.KILLED, Status.KILLED]


def test_a_killed_batch_can_run_again() -> None:
    state = make.happen(make.joined(), make.submitted(make.batch(2)), make.kill_requested())
    make.happen(make.completed(state="killed"), make.retry_requested(), *RUNNING, state=state)
    assert statuses(state) == [Status.RUNNING, Status.QUEUED]


def test_a_deleted_batch_is_forgotten_and_its_name_free() -> None:
    state = of_three(build="make")
    make.happen(make.build_started(), make.build_finished(), state=state)
    make.happen(make.finished(succeeded=False, wall_s=1.0), make.kill_requested(), state=state)
    make.happen(make.completed(state="killed"), make.deleted(), state=state)
    node = state.nodes["ws1"]
    assert state.batches == {}
    assert (node.builds, node.record.fast_failures) == (set(), {})
    make.happen(make.submitted(make.batch(1)), state=state)
    batch = state.batches[SWEEP]
    assert (batch.seq, batch.last_seq, list(batch.job_seq), list(batch.attempts)) == (
        state.seq,
        state.seq,
        [0],
        [0],
    )
    make.happen(*RUNNING, state=state)
    assert state.misfits == 0


def test_a_job_assigned_while_its_batch_was_deleted_takes_nothing_of_its_node() -> None:
    state = make.happen(make.joined(), make.submitted(), make.completed(state="failed", reason="x"))
    make.happen(make.assigned(), make.deleted(), state=state)
    assert state.misfits == 0
    assert SWEEP not in state.batches
    assert (state.nodes["ws1"].used_cpus, state.nodes["ws1"].attempts) == (0, set())
    assert state.usage["jane"].cores == 0


def test_a_batch_is_not_over_while_a_job_waits_or_runs() -> None:
    """A scheduler that has not read the jobs' last events may write it."""
    state = make.happen(make.joined(), make.submitted(), make.completed(state="failed"))
    assert state.last_misfit.endswith("jobs of the batch wait")
    make.happen(make.assigned(), make.completed(state="failed", reason="x"), state=state)
    assert state.last_misfit.endswith("jobs of the batch are in flight")
    assert (state.batches[SWEEP].end, statuses(state)) == (None, [Status.ASSIGNED])


def test_a_batch_is_not_archived_before_its_jobs_are() -> None:
    state = make.happen(make.joined(), make.submitted(), *RUNNING, make.finished(), make.completed())
    make.happen(make.batch_archived(), state=state)
    assert state.last_misfit.endswith("what jobs of the batch leave is not archived yet")
    make.happen(make.job_archived(), make.batch_archived(), state=state)
    assert state.batches[SWEEP].archived


def test_a_late_event_of_the_archiver_about_a_deleted_batch_is_no_misfit() -> None:
    state = make.happen(make.joined(), make.submitted(), *RUNNING, make.finished())
    make.happen(make.completed(), make.deleted(), make.job_archived(), state=state)
    make.happen(make.submitted(), make.job_archived(), state=state)
    assert state.misfits == 0
    assert status_of(state) is Status.QUEUED


def test_what_a_person_was_told_changes_nothing_but_the_guard_of_the_batch() -> None:
    state = of_three()
    before = deepcopy(state.batches[SWEEP])
    make.happen(make.notified(), state=state)
    batch = state.batches[SWEEP]
    before.last_seq = before.under_seq = state.seq
    assert (batch, state.misfits) == (before, 0)


def test_what_a_person_was_told_of_a_deleted_batch_is_no_misfit() -> None:
    state = make.happen(make.submitted(), make.kill_requested(), make.completed(state="killed"))
    make.happen(make.deleted(), make.notified(), state=state)
    assert state.misfits == 0


def test_a_submission_that_was_refused_still_counts_in_the_scope() -> None:
    """Otherwise no guard of the batch would ever hold again."""
    state = make.happen(make.submitted(), make.submitted())
    assert state.batches[SWEEP].last_seq == 2


def test_a_priority_can_change() -> None:
    state = make.happen(make.submitted(), make.reprioritized(7))
    assert state.batches[SWEEP].priority == 7


# --- another batch of the name ---------------------------------------------------------------------


def test_a_late_assignment_of_a_deleted_batch_fits_no_other_of_its_name() -> None:
    first, second = make.submitted(), make.submitted()
    state = make.happen(first, make.kill_requested(), make.completed(state="killed"), make.deleted(), second)
    make.happen(make.assigned(submission=first.id, submitted_seq=1), state=state)
    assert state.misfits == 1
    assert "another batch of the same name" in state.last_misfit
    assert state.batches[SWEEP].counts[Status.QUEUED] == 1
    make.happen(make.assigned(submission=second.id, submitted_seq=5), state=state)
    assert state.misfits == 1
    assert state.batches[SWEEP].counts[Status.ASSIGNED] == 1


def test_an_assignment_of_version_1_is_judged_by_the_name_alone() -> None:
    state = make.happen(make.submitted(), make.assigned())
    assert state.batches[SWEEP].counts[Status.ASSIGNED] == 1


def test_a_build_of_a_deleted_batch_does_not_count_for_another_of_its_name() -> None:
    first, second = make.submitted(make.batch(build="make")), make.submitted(make.batch(build="make"))
    state = make.happen(
        first, make.joined(), make.kill_requested(), make.completed(state="killed"), make.deleted(), second
    )
    started = make.build_started(submission=first.id)
    finished = make.build_finished(succeeded=False).model_copy(update={"causation": started.id})
    make.happen(started, finished, state=state)
    assert state.misfits == 2
    assert (state.batches[SWEEP].building, state.batches[SWEEP].build_failed) == ({}, {})
    started = make.build_started(submission=second.id)
    make.happen(started, finished.model_copy(update={"causation": started.id}), state=state)
    assert state.misfits == 2
    assert set(state.batches[SWEEP].build_failed) == {"ws1"}
