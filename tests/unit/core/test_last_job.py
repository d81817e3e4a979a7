"""The job of a batch that runs when all others are over."""

from typing import Any

import pytest

from core_kit import Lab, told
from distribute.core.explaining.explain import explain
from distribute.core.ids import Under
from distribute.core.log import events as ev
from distribute.core.log.recorded import guard_scope
from distribute.core.spec.specs import Resources
from distribute.core.state.state import Status
from distribute.testing import builders as make


def lab_with(jobs: int = 3, *, nodes: int = 1, build: str | None = None, **fields: Any) -> Lab:
    """A batch whose last job is `job<jobs>`."""
    names = [f"ws{number}" for number in range(1, nodes + 1)]
    spec = make.batch(jobs, build=build, last_job=f"job{jobs}", **fields)
    return Lab(*map(make.joined, names), make.submitted(spec))


def why(lab: Lab, job: str) -> str:
    return explain(lab.agenda, lab.batch(), lab.batch().rows[job]).summary


def ends(lab: Lab, *jobs: str) -> None:
    for job in jobs:
        assert set(lab.assign()) == {job}
        lab.succeed(job)


def fails(lab: Lab, job: str, attempt: int = 1) -> None:
    assert set(lab.assign()) == {job}
    lab.run(job, attempt=attempt)
    lab.happen(make.finished(job, attempt=attempt, succeeded=False), make.job_archived(job, attempt=attempt))


def end_of(lab: Lab) -> ev.Completed:
    (event,) = lab.decide()
    assert isinstance(event, ev.Completed)
    lab.happen(event)
    return event


def test_it_runs_when_all_others_are_over() -> None:
    lab = lab_with()
    assert why(lab, "job3") == "waits for its batch: it runs last, and waits for 2 other jobs"
    assert set(lab.assign()) == {"job1", "job2"}
    lab.succeed("job1")
    assert why(lab, "job3") == "waits for its batch: it runs last, and waits for 1 other job"
    lab.succeed("job2")
    ends(lab, "job3")
    assert end_of(lab).state == "completed"


def test_free_nodes_do_not_have_it_run_earlier() -> None:
    lab = lab_with(nodes=3)
    assert set(lab.assign()) == {"job1", "job2"}
    assert lab.assign() == {}


def test_its_assignment_is_guarded_by_everything_under_the_batch() -> None:
    lab = lab_with(2)
    ends(lab, "job1")
    (event,) = lab.decide()
    assert isinstance(event, ev.Assigned)
    assert event.last
    assert guard_scope(event) == Under(event.batch_id)


def test_it_has_its_own_needs_and_stands_in_the_last_row() -> None:
    jobs = [make.job(f"job{number}", resources=Resources(cpus=number % 2 + 1)) for number in range(1, 6)]
    lab = Lab(make.joined(), make.submitted(make.batch(jobs, last_job="job5")))
    batch = lab.batch()
    assert batch.last_row == batch.rows["job5"] == 4
    assert batch.groups[-1].stop - batch.groups[-1].start == 1
    assert batch.file_order is not None
    assert [batch.names[row] for row in batch.file_order] == [f"job{number}" for number in range(1, 6)]


def test_failures_of_others_do_not_keep_it_from_running() -> None:
    lab = lab_with(2)
    fails(lab, "job1")
    ends(lab, "job2")
    assert end_of(lab).state == "failed"


def test_it_runs_when_the_batch_has_given_up() -> None:
    lab = lab_with(4, max_failures=1, max_running=1)
    fails(lab, "job1")
    assert why(lab, "job2").startswith("waits for its batch: no further job of it begins")
    ends(lab, "job4")
    event = end_of(lab)
    assert (event.state, event.reason) == ("failed", "1 of its jobs failed, and its max_failures is 1")
    assert lab.status("job2") is Status.FAILED
    assert lab.status("job4") is Status.SUCCEEDED


def test_its_own_failure_does_not_count_for_max_failures() -> None:
    lab = lab_with(2, max_failures=1, retries=1)
    ends(lab, "job1")
    fails(lab, "job2")
    fails(lab, "job2", attempt=2)
    event = end_of(lab)
    assert (event.state, event.reason) == ("failed", None)


def test_it_waits_until_what_the_others_left_is_archived() -> None:
    lab = lab_with(2)
    assert set(lab.assign()) == {"job1"}
    lab.run("job1")
    lab.happen(make.finished("job1"))
    assert lab.assign() == {}
    said = "waits for its batch: it runs last, and waits until the results of 1 other job are archived"
    assert why(lab, "job2") == said
    lab.happen(make.job_archived("job1"))
    assert set(lab.assign()) == {"job2"}


def test_a_kill_of_the_batch_kills_it() -> None:
    lab = lab_with(2)
    lab.happen(make.kill_requested())
    assert end_of(lab).state == "killed"
    assert lab.status("job2") is Status.KILLED


def test_it_runs_again_after_a_retry_of_others() -> None:
    lab = lab_with(2)
    fails(lab, "job1")
    ends(lab, "job2")
    end_of(lab)
    lab.happen(make.retry_requested())
    assert lab.status("job2") is Status.QUEUED
    assert set(lab.assign()) == {"job1"}
    lab.succeed("job1", attempt=2)
    assert set(lab.assign()) == {"job2"}


def test_a_retry_while_it_runs_has_it_run_again_after_the_others() -> None:
    lab = lab_with(2)
    fails(lab, "job1")
    assert set(lab.assign()) == {"job2"}
    lab.run("job2")
    lab.happen(make.retry_requested())
    lab.happen(make.finished("job2"), make.job_archived("job2"))
    assert lab.status("job2") is Status.QUEUED
    assert set(lab.assign()) == {"job1"}
    lab.succeed("job1", attempt=2)
    assert set(lab.assign()) == {"job2"}
    lab.succeed("job2", attempt=2)
    assert end_of(lab).state == "completed"


def test_a_retry_of_it_alone_leaves_the_others() -> None:
    lab = lab_with(2)
    ends(lab, "job1")
    fails(lab, "job2")
    end_of(lab)
    lab.happen(make.retry_requested())
    assert set(lab.assign()) == {"job2"}
    lab.succeed("job2", attempt=2)
    assert end_of(lab).state == "completed"


def test_an_assignment_of_it_before_its_time_does_not_fit() -> None:
    lab = lab_with(2)
    lab.happen(make.assigned("job2"))
    assert lab.status("job2") is Status.QUEUED
    assert lab.state.misfits == 1


def with_last_at_a_lost_node(*, nodes: int = 2, **fields: Any) -> Lab:
    """Job 1 has failed, job 2 runs last at a node that is lost. Another node is there."""
    lab = lab_with(2, nodes=nodes, **fields)
    for job in ("job1", "job2"):
        (node,) = lab.assign().values()
        lab.run(job, node)
        if job == "job1":
            lab.happen(make.finished(job, node, succeeded=False), make.job_archived(job, node))
    lab.quiet.add(node)
    lab.wait(61)
    lab.happen(*lab.decide())
    return lab


def test_it_is_taken_over_from_a_lost_node() -> None:
    lab = with_last_at_a_lost_node()
    lab.wait(61)
    assert [kind for kind, *_ in told(lab.decide())] == ["released", "assigned"]


@pytest.mark.parametrize("limits", [{}, {"max_running": 1}])
@pytest.mark.parametrize("waits_s", [0, 61])
def test_no_node_takes_it_over_while_others_run_again(limits: dict[str, Any], waits_s: int) -> None:
    lab = with_last_at_a_lost_node(**limits)
    lab.wait(waits_s)
    lab.happen(make.retry_requested())
    lab.wait(61 - waits_s)
    given: dict[str, str] = {}
    for _ in range(2):  # with `max_running`, job 1 has to wait until job 2 is released
        given |= lab.assign()
    assert given.keys() == {"job1"}
    assert lab.status("job2") is Status.QUEUED
    lab.succeed("job1", given["job1"], attempt=2)
    assert set(lab.assign()) == {"job2"}
    assert lab.state.misfits == 0


def test_it_runs_again_after_others_also_if_it_was_to_be_tried_no_more() -> None:
    lab = with_last_at_a_lost_node()
    lab.wait(61)
    (node,) = lab.assign().values()
    lab.run("job2", node, attempt=2)
    lab.happen(make.retry_requested(), make.released("job2", node, attempt=2, reason="node_rebooted"))
    assert lab.status("job2") is Status.QUEUED
