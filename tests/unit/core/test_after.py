"""Batches that wait for others."""

from typing import Any

import pytest

from core_kit import Lab, of, told
from distribute.core.explaining.explain import explain
from distribute.core.ids import BatchId
from distribute.core.spec.specs import After, When
from distribute.core.state.usage import OVERDUE_S
from distribute.core.telling.listing import batch_document
from distribute.snapshot import digest, dump, load
from distribute.testing import builders as make

FIRST = make.batch(1, batch="first")
THEN = BatchId("lab", "then")


def after(lab: Lab, *names: str, when: When = "succeeded") -> tuple[After, ...]:
    return tuple(
        After(namespace="lab", batch=name, submission=lab.batch(name).submission, when=when) for name in names
    )


def lab_that_waits(when: When = "succeeded", **fields: Any) -> Lab:
    """`first` has one job, and `then` waits for it."""
    lab = Lab(make.joined(), make.submitted(FIRST))
    lab.happen(make.submitted(make.batch(2, batch="then", after=after(lab, "first", when=when), **fields)))
    return lab


def given(lab: Lab) -> set[str]:
    """Assign what can be, and return the batches of these jobs."""
    made = lab.decide()
    lab.happen(*made)
    return {event.batch for event in made if event.type == "assigned"}


def end_first(lab: Lab, *, succeeded: bool = True) -> None:
    """Run the job of `first`, and end the batch."""
    lab.run(of("first"))
    lab.happen(make.finished(of("first"), succeeded=succeeded), make.job_archived(of("first")))
    lab.happen(*lab.decide())


def test_a_batch_begins_once_the_other_has_succeeded() -> None:
    lab = lab_that_waits()
    assert given(lab) == {"first"}
    said = "it waits for lab/first, of which 0 of 1 jobs are over"
    assert explain(lab.agenda, lab.batch("then"), 0).summary == f"waits for its batch: {said}"
    document = batch_document(lab.batch("then"), lab.now, lab.state)
    assert (document["held"], document["after"]) == (said, ["lab/first"])
    end_first(lab)
    assert given(lab) == {"then"}


def test_a_batch_whose_other_failed_ends_and_says_so() -> None:
    lab = lab_that_waits()
    given(lab)
    end_first(lab, succeeded=False)
    assert ("completed", "then", "failed") in told(lab.decide())
    lab.happen(make.completed(THEN, state="failed", reason="it was to run after lab/first, which failed"))
    reason = batch_document(lab.batch("then"))["reason"]
    assert reason == "it was to run after lab/first, which failed"


def test_a_batch_that_waits_for_any_end_begins_after_a_failure() -> None:
    lab = lab_that_waits("any")
    given(lab)
    end_first(lab, succeeded=False)
    assert given(lab) == {"then"}


def test_a_retry_of_the_other_lets_what_waited_for_it_run_when_it_is_retried() -> None:
    lab = lab_that_waits()
    given(lab)
    end_first(lab, succeeded=False)
    lab.happen(*lab.decide())
    lab.happen(make.retry_requested(FIRST))
    assert given(lab) == {"first"}
    lab.succeed(of("first"), attempt=2)
    lab.happen(*lab.decide())
    assert lab.batch("then").end == "failed"
    lab.happen(make.retry_requested(THEN))
    assert given(lab) == {"then"}


def test_a_retry_of_what_waits_in_vain_ends_it_again() -> None:
    lab = lab_that_waits()
    given(lab)
    end_first(lab, succeeded=False)
    lab.happen(*lab.decide())
    lab.happen(make.retry_requested(THEN))
    assert told(lab.decide()) == [("completed", "then", "failed")]


def test_a_retry_of_the_other_does_not_stop_what_began_after_it() -> None:
    lab = lab_that_waits("any", max_running=1)
    given(lab)
    end_first(lab, succeeded=False)
    assert given(lab) == {"then"}
    lab.happen(make.retry_requested(FIRST))
    lab.succeed(of("then"))
    assert "then" in given(lab)


@pytest.mark.parametrize(("when", "begins"), [("any", True), ("succeeded", False)])
def test_another_batch_of_the_name_is_not_meant(when: When, begins: bool) -> None:
    lab = lab_that_waits(when)
    lab.happen(make.kill_requested(FIRST), make.completed(FIRST, state="killed"), make.deleted(FIRST))
    lab.happen(make.submitted(FIRST))
    assert ("then" in given(lab)) == begins
    if not begins:
        assert lab.batch("then").end_reason == "it was to run after lab/first, which was killed"


def test_what_succeeded_and_was_deleted_is_waited_for_no_more() -> None:
    lab = Lab(make.joined(), make.submitted(FIRST), make.submitted(make.batch(1, batch="second")))
    lab.happen(make.submitted(make.batch(1, batch="then", after=after(lab, "first", "second"))))
    given(lab)
    end_first(lab)
    lab.happen(make.deleted(FIRST))
    assert batch_document(lab.batch("then"), lab.now, lab.state)["held"] == (
        "it waits for lab/second, of which 0 of 1 jobs are over"
    )


def test_a_batch_may_wait_for_one_that_is_over_and_packed() -> None:
    lab = Lab(make.joined(), make.submitted(FIRST))
    given(lab)
    end_first(lab)
    lab.happen(make.batch_archived(FIRST))
    waits_for = after(lab, "first")
    assert lab.pack() == {"first"}
    lab.happen(make.submitted(make.batch(1, batch="then", after=waits_for)))
    assert given(lab) == {"then"}


def test_a_submission_that_is_not_there_is_as_one_that_was_deleted() -> None:
    """Somebody deleted it between the look at it and the submission."""
    nowhere = After(namespace="lab", batch="first", submission="NOTHING")
    lab = Lab(make.joined(), make.submitted(make.batch(1, batch="then", after=(nowhere,))))
    assert told(lab.decide()) == [("completed", "then", "failed")]


def test_a_batch_that_waited_for_another_is_not_overdue_for_that() -> None:
    lab = lab_that_waits()
    given(lab)
    lab.run(of("first"))
    lab.pass_quickly(OVERDUE_S + 60)
    lab.happen(make.finished(of("first")), make.job_archived(of("first")))
    lab.happen(*lab.decide())
    lab.look()
    assert not any(lab.agenda.overdue.values())


def test_a_killed_batch_waits_no_more() -> None:
    lab = lab_that_waits()
    lab.happen(make.kill_requested(THEN))
    assert ("completed", "then", "killed") in told(lab.decide())


def test_a_snapshot_keeps_what_is_waited_for() -> None:
    lab = lab_that_waits()
    given(lab)
    again = load(dump(lab.state))
    assert again.waits == lab.state.waits
    assert digest(again) == digest(lab.state)
