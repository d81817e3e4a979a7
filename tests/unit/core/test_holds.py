"""Batches that a person holds."""

from typing import Any

import pytest

from core_kit import Lab, told
from distribute.core.explaining.explain import explain
from distribute.core.projections.course import Course
from distribute.core.slices import at_once
from distribute.core.state.state import Status
from distribute.core.state.usage import OVERDUE_S
from distribute.core.telling.listing import batch_document
from distribute.core.views.why_view import why_view
from distribute.core.words import rfc3339
from distribute.snapshot import digest, dump, load
from distribute.testing import builders as make


def lab_with(jobs: int, *, nodes: int = 1, **fields: Any) -> Lab:
    joined = [make.joined(f"ws{number}", cpus=1) for number in range(1, nodes + 1)]
    return Lab(*joined, make.submitted(make.batch(jobs, **fields)))


def test_no_job_of_a_held_batch_begins_until_it_is_released() -> None:
    lab = lab_with(2)
    lab.happen(make.held())
    assert lab.decide() == []
    lab.happen(make.hold_released())
    assert set(lab.assign()) == {"job1"}


def test_what_runs_goes_on_and_what_is_tried_again_waits() -> None:
    lab = lab_with(1, retries=1)
    lab.assign()
    lab.happen(make.held())
    lab.run("job1")
    assert lab.decide() == []
    lab.happen(make.finished(succeeded=False, wall_s=60), make.job_archived())
    assert lab.status() is Status.QUEUED
    assert lab.decide() == []
    lab.happen(make.hold_released())
    assert set(lab.assign()) == {"job1"}


def test_people_see_who_holds_a_batch_since_when_and_why() -> None:
    lab = lab_with(2)
    lab.assign()
    lab.happen(make.held(by="bob", reason="the mesh is wrong"))
    said = f"held by bob since {rfc3339(lab.now)}: the mesh is wrong"
    assert explain(lab.agenda, lab.batch(), 1).summary == f"waits for its batch: {said}"
    assert at_once(why_view(lab.agenda, lab.batch(), "job2"))["summary"] == f"waits for its batch: {said}"
    document = batch_document(lab.batch(), lab.now, lab.state)
    assert (document["held"], document["held_by"]) == (said, "bob")
    assert document["held_at"] == rfc3339(lab.now)
    assert Course.of(lab.batch()).held_by == "bob"


def test_a_hold_is_told_also_while_no_job_waits() -> None:
    lab = lab_with(1)
    lab.assign()
    lab.happen(make.held())
    assert str(batch_document(lab.batch(), lab.now, lab.state)["held"]).startswith("held by jane")
    lab.happen(make.hold_released())
    document = batch_document(lab.batch(), lab.now, lab.state)
    assert (document["held"], document["held_by"], document["held_at"]) == (None, None, None)


def test_of_two_holds_the_first_counts() -> None:
    lab = lab_with(1)
    lab.happen(make.held(by="bob"), make.held(by="eve"))
    assert batch_document(lab.batch())["held_by"] == "bob"
    lab.happen(make.hold_released())
    assert set(lab.assign()) == {"job1"}


def test_a_batch_that_is_over_can_not_be_held_nor_released() -> None:
    lab = lab_with(1)
    lab.happen(make.kill_requested(), make.completed(state="killed"), make.held())
    assert lab.state.last_misfit.endswith("the batch is over")
    lab.happen(make.hold_released())
    assert lab.state.misfits == 2


def test_a_batch_that_ran_elsewhere_can_not_be_held() -> None:
    lab = Lab(make.submitted(make.batch(1), ran_at=make.RAN_AT), make.held())
    assert lab.state.last_misfit.endswith("the batch ran at slurm, and nothing here runs it")


def test_a_held_batch_can_be_killed() -> None:
    lab = lab_with(2)
    lab.happen(make.held(), make.kill_requested())
    assert told(lab.decide()) == [("completed", "sweep", "killed")]


def test_a_hold_ends_with_its_batch_so_that_a_retry_begins() -> None:
    lab = lab_with(1)
    lab.assign()
    lab.run("job1")
    lab.happen(make.held(), make.finished(succeeded=False, wall_s=60), make.job_archived())
    lab.happen(*lab.decide())
    assert (lab.batch().end, lab.batch().holding) == ("failed", None)
    lab.happen(make.retry_requested())
    assert set(lab.assign()) == {"job1"}


def test_no_other_node_takes_over_a_job_of_a_held_batch() -> None:
    """It would begin there anew."""
    lab = lab_with(1, nodes=2)
    (node,) = lab.assign().values()
    lab.run("job1", node)
    lab.happen(make.held())
    lab.quiet.add(node)
    lab.wait(61)
    lab.happen(*lab.decide())
    lab.wait(61)
    assert lab.decide() == []
    summary = explain(lab.agenda, lab.batch(), 0).summary
    assert "No other node takes it over: held by jane since" in summary
    lab.happen(make.hold_released())
    assert [kind for kind, *_ in told(lab.decide())] == ["released", "assigned"]


def test_the_job_that_runs_last_is_held_too() -> None:
    lab = lab_with(2, last_job="job2")
    lab.assign()
    lab.succeed("job1")
    lab.happen(make.held())
    assert lab.decide() == []
    lab.happen(make.hold_released())
    assert set(lab.assign()) == {"job2"}


def test_what_was_held_is_not_overdue_for_that() -> None:
    """It would take a node from those that waited meanwhile."""
    lab = lab_with(1, nodes=0)
    lab.happen(make.held())
    lab.pass_quickly(OVERDUE_S + 60)
    lab.happen(make.hold_released())
    lab.look()
    assert lab.agenda.overdue == {}


@pytest.mark.parametrize("reason", [None, "the mesh is wrong"])
def test_a_snapshot_has_the_hold(reason: str | None) -> None:
    lab = lab_with(1)
    lab.happen(make.held(reason=reason))
    restored = load(dump(lab.state))
    assert restored.batches[lab.batch().id].holding == lab.batch().holding
    assert digest(restored) == digest(lab.state)
