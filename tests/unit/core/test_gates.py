"""Batches that limit themselves: `max_running`, `max_failures` and `not_before`."""

from datetime import timedelta
from typing import Any

import pytest

from core_kit import Lab, of, told
from distribute.core.explaining.explain import explain
from distribute.core.files.manifest import Outputs
from distribute.core.log import events as ev
from distribute.core.log.recorded import Append
from distribute.core.scheduling.decide import decide
from distribute.core.spec.specs import Resources
from distribute.core.state.state import Status
from distribute.core.state.usage import OVERDUE_S
from distribute.core.telling.listing import batch_document
from distribute.core.views.views import batch_view
from distribute.testing import builders as make


def lab_with(jobs: int = 5, *, nodes: int = 2, **fields: Any) -> Lab:
    names = [f"ws{number}" for number in range(1, nodes + 1)]
    return Lab(*map(make.joined, names), make.submitted(make.batch(jobs, **fields)))


def why(lab: Lab, job: str) -> str:
    return explain(lab.agenda, lab.batch(), lab.batch().rows[job]).summary


# --- max_running -----------------------------------------------------------------------------------


def test_no_more_jobs_are_with_nodes_than_max_running() -> None:
    lab = lab_with(max_running=2)
    assert set(lab.assign()) == {"job1", "job2"}
    assert lab.assign() == {}
    assert why(lab, "job3") == "waits for its batch: as many of its jobs run as its max_running allows: 2"
    lab.succeed("job1", lab.batch().active[0].node)
    assert set(lab.assign()) == {"job3"}


def test_what_is_decided_and_not_in_the_log_counts_as_running() -> None:
    lab = lab_with(max_running=2)
    assert len(lab.decide()) == 2
    assert lab.decide() == []


def test_the_limit_holds_for_jobs_of_all_needs_together() -> None:
    jobs = [make.job(f"job{number}", resources=Resources(cpus=number)) for number in (1, 2, 3)]
    lab = Lab(make.joined(), make.submitted(make.batch(jobs, max_running=1)))
    assert set(lab.assign()) == {"job1"}
    lab.succeed("job1")
    assert set(lab.assign()) == {"job2"}


def test_another_batch_gets_the_nodes_that_the_limit_leaves() -> None:
    lab = lab_with(5, nodes=1, max_running=1, priority=9)
    lab.happen(make.submitted(make.batch(5, batch="other")))
    given = [event.batch for event in lab.decide() if isinstance(event, ev.Assigned)]
    assert given.count("sweep") == 1
    assert "other" in given


def test_a_job_whose_node_is_lost_is_taken_over_although_the_limit_is_reached() -> None:
    lab = lab_with(3, max_running=1)
    lab.happen(make.assigned("job1", "ws1"))
    lab.run("job1", "ws1")
    lab.quiet.add("ws1")
    lab.wait(61)
    lab.happen(*lab.decide())
    lab.wait(61)
    assert [kind for kind, *_ in told(lab.decide())] == ["released", "assigned"]


def appends(lab: Lab) -> list[Append]:
    return decide(lab.agenda, lab.now, make.new_id)


def test_each_assignment_is_guarded_by_the_one_before_it_whatever_the_job() -> None:
    lab = lab_with(max_running=3)
    first, second, third = appends(lab)
    assert (first.guard.last_seq, first.behind) == (0, ())
    assert second.behind == (first.event.id,)
    assert third.behind == (second.event.id,)
    lab.happen(first.event, second.event, third.event)
    lab.succeed("job1", lab.batch().active[0].node)
    [fourth] = appends(lab)
    assert (fourth.guard.last_seq, fourth.behind) == (lab.batch().assigned_seq, ())


def test_an_assignment_behind_one_that_waits_for_its_place_in_the_log_goes_behind_that() -> None:
    lab = lab_with(max_running=2)
    first, second = appends(lab)
    lab.happen(first.event, make.claimed("job1", first.event.node))  # type: ignore[union-attr]
    lab.happen(make.finished("job1", first.event.node, outputs=None))  # type: ignore[union-attr]
    [third] = appends(lab)
    assert third.behind == (second.event.id,)


def test_the_fold_refuses_one_assignment_too_many() -> None:
    lab = lab_with(max_running=1)
    lab.happen(make.assigned("job1"), make.assigned("job2"))
    assert lab.status("job2") is Status.QUEUED
    assert lab.state.misfits == 1


def test_a_batch_that_held_itself_back_is_not_overdue_for_that() -> None:
    lab = Lab(make.joined("ws1", cpus=1), make.submitted(make.batch(3, max_running=1)))
    lab.assign()
    lab.run("job1")
    lab.pass_quickly(OVERDUE_S + 60)
    lab.happen(make.submitted(make.batch(1, batch="other"), user="bob"))
    lab.happen(make.finished("job1"), make.job_archived("job1"))
    lab.look()
    assert not any(lab.agenda.overdue.values())


# --- max_failures ----------------------------------------------------------------------------------


def fail(lab: Lab, job: str, attempt: int = 1) -> None:
    node = lab.batch().active[lab.batch().rows[job]].node
    lab.run(job, node, attempt)
    lab.happen(
        make.finished(job, node, attempt, succeeded=False, wall_s=60.0), make.job_archived(job, node, attempt)
    )


def test_after_max_failures_nothing_begins_and_what_runs_may_end() -> None:
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(5, max_failures=1)))
    assert set(lab.assign()) == {"job1", "job2"}
    fail(lab, "job1")
    assert lab.decide() == []
    said = "no further job of it begins: 1 of its jobs failed, and its max_failures is 1"
    assert why(lab, "job3") == f"waits for its batch: {said}"
    assert batch_document(lab.batch())["held"] == said
    lab.succeed("job2")
    assert told(lab.decide()) == [("completed", "sweep", "failed")]


def give_up(lab: Lab) -> None:
    lab.assign()
    fail(lab, "job1")
    lab.happen(*lab.decide())


def test_a_batch_that_gave_up_says_why_in_its_state_and_of_each_job() -> None:
    lab = lab_with(nodes=1, max_failures=1, max_running=1)
    give_up(lab)
    view = batch_view(lab.state, lab.batch().id)
    assert view["state"] == "failed"
    assert view["reason"] == "1 of its jobs failed, and its max_failures is 1"
    assert view["held"] is None
    assert {job["job"]: job["reason"] for job in view["job_list"]} == {"job1": "exit code 1"} | dict.fromkeys(
        ["job2", "job3", "job4", "job5"], view["reason"]
    )


def test_a_job_that_its_node_gives_back_fails_with_a_batch_that_gave_up_and_says_why() -> None:
    lab = Lab(make.joined(cpus=2), make.submitted(make.batch(3, max_failures=1)))
    lab.assign()
    lab.run("job2")
    fail(lab, "job1")
    lab.happen(make.yielded("job2", outputs=Outputs(files=1)))
    assert (lab.status("job2"), lab.decide()) == (Status.RETRYING, [])
    lab.happen(make.job_archived("job2"))
    lab.happen(*lab.decide())
    shown = {job["job"]: (job["state"], job["reason"]) for job in the_jobs(lab)}
    given_up = "1 of its jobs failed, and its max_failures is 1"
    assert shown["job3"] == ("failed", given_up)
    why_job2 = f"attempt 1 was given back or lost, and its batch began no more: {given_up}"
    assert shown["job2"] == ("failed", why_job2)
    assert lab.batch().outcomes.result_seq[lab.batch().rows["job2"]], "what it left is kept"
    lab.happen(make.retry_requested(jobs=("job1",)))
    assert {job["job"]: job["reason"] for job in the_jobs(lab)}["job2"] == why_job2


def the_jobs(lab: Lab) -> list[Any]:
    jobs: list[Any] = batch_view(lab.state, lab.batch().id)["job_list"]
    return jobs


def test_a_failure_that_is_tried_again_does_not_count() -> None:
    lab = lab_with(nodes=1, max_failures=1, max_running=1, retries=1)
    lab.assign()
    fail(lab, "job1")
    assert set(lab.assign()) == {"job1"}
    fail(lab, "job1", attempt=2)
    assert told(lab.decide()) == [("completed", "sweep", "failed")]


def test_a_retry_of_a_batch_that_gave_up_runs_all_that_did_not_succeed() -> None:
    lab = lab_with(3, nodes=1, max_failures=1, max_running=1)
    give_up(lab)
    lab.happen(make.retry_requested(failed_only=True))
    assert set(lab.assign()) == {"job1"}
    lab.succeed("job1", attempt=2)
    assert set(lab.assign()) == {"job2"}


# --- not_before ------------------------------------------------------------------------------------


def test_nothing_begins_before_its_time() -> None:
    lab = lab_with(2, nodes=1, not_before=make.EPOCH + timedelta(minutes=10))
    assert lab.assign() == {}
    said = "none of its jobs begins before 2026-01-01T00:10:00.000Z"
    assert why(lab, "job1") == f"waits for its batch: {said}"
    assert batch_document(lab.batch(), lab.now)["held"] == said
    lab.pass_quickly(600)
    assert set(lab.assign()) == {"job1", "job2"}
    assert batch_document(lab.batch(), lab.now)["held"] is None


def test_a_time_in_the_past_is_no_reason_to_wait() -> None:
    lab = lab_with(1, nodes=1, not_before=make.EPOCH - timedelta(days=1))
    assert set(lab.assign()) == {"job1"}


def test_a_batch_that_waited_for_its_time_is_not_overdue_for_that() -> None:
    lab = Lab(make.joined(cpus=1), make.submitted(make.batch(1, batch="first")))
    lab.assign()
    lab.run(of("first"))
    lab.happen(make.submitted(make.batch(1, not_before=make.EPOCH + timedelta(minutes=40)), user="bob"))
    lab.pass_quickly(40 * 60 + 60)
    lab.look()
    assert not any(lab.agenda.overdue.values())


@pytest.mark.parametrize(
    "limits", [{"max_running": 0}, {"max_failures": 0}, {"not_before": "2030-01-01T08:00"}]
)
def test_a_specification_with_a_limit_that_means_nothing_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        make.batch(1, **limits)
