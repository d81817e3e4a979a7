"""The course of a batch, folded from its own events."""

from __future__ import annotations

from distribute.core.log.events import Event
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory
from distribute.testing.builders import (
    assigned,
    batch,
    batch_archived,
    claimed,
    completed,
    deleted,
    finished,
    job_archived,
    record,
    retry_requested,
    submitted,
)

SPEC = batch(1)
RUN = (assigned(), claimed(), finished(succeeded=False), job_archived())
SUBMITTED = submitted(SPEC)
PAST = (SUBMITTED, *RUN, completed(SPEC, state="failed"), batch_archived(SPEC))


def course(*events: Event) -> Course:
    story = BatchStory(SPEC.id)
    for recorded in record(events):
        story.fold(recorded)
    return Course.of(story.state)


def test_there_is_no_batch_before_it_is_submitted() -> None:
    assert course() == Course()
    assert not course().exists


def test_a_batch_is_over_when_it_is_completed_and_archived_a_moment_later() -> None:
    assert course(submitted(SPEC)).end is None
    over = course(*PAST[:-1])
    assert (over.end, over.archived, over.finished_at is None) == ("failed", False, False)
    assert course(*PAST).archived


def test_a_completed_that_the_fold_refuses_ends_nothing() -> None:
    """Its author had not read that a job runs, or may not write it."""
    assert course(SUBMITTED, *RUN[:2], completed(SPEC), batch_archived(SPEC)) == course(SUBMITTED)


def test_a_retry_begins_the_batch_again() -> None:
    again, first = course(*PAST, retry_requested(SPEC)), course(SUBMITTED)
    assert again == first
    assert (again.seq, again.end, again.archived) == (1, None, False)


def test_a_deleted_batch_is_gone_and_its_name_is_free_for_another() -> None:
    past = (*PAST, deleted(SPEC))
    assert course(*past) == Course()
    again = submitted(SPEC)
    new = record([*past, again])[-1]
    assert course(*past, again) == Course(
        seq=new.seq, submitted_at=new.time, submission=again.id, user="jane", first_seq=new.seq
    )


def test_a_batch_that_is_not_over_can_not_be_deleted() -> None:
    assert course(submitted(SPEC), deleted(SPEC)).exists
