"""How far a batch has come, from its own events."""

from __future__ import annotations

from distribute.core.events import Event
from distribute.testing.builders import (
    batch,
    batch_archived,
    completed,
    deleted,
    kill_requested,
    record,
    retry_requested,
    submitted,
)
from distribute_cli.ending import Course

SPEC = batch(1)


def course(*events: Event) -> Course:
    so_far = Course()
    for recorded in record(events):
        so_far = so_far.after(recorded)
    return so_far


def test_there_is_no_batch_before_it_is_submitted() -> None:
    assert course() == Course(seq=0)


def test_a_batch_is_over_when_it_is_completed_and_archived_a_moment_later() -> None:
    assert course(submitted(SPEC)).end is None
    over = course(submitted(SPEC), kill_requested(SPEC), completed(SPEC, state="killed", reason="a reason"))
    assert (over.end, over.reason, over.archived, over.finished_at is None) == (
        "killed",
        "a reason",
        False,
        False,
    )
    assert course(submitted(SPEC), completed(SPEC), batch_archived(SPEC)).archived


def test_a_retry_begins_anew() -> None:
    again = course(submitted(SPEC), completed(SPEC), batch_archived(SPEC), retry_requested(SPEC))
    first = course(submitted(SPEC))
    assert again == first
    assert (again.seq, again.end, again.archived) == (1, None, False)


def test_a_deleted_batch_is_none_and_its_name_is_free_for_another() -> None:
    past = (submitted(SPEC), completed(SPEC), batch_archived(SPEC), deleted(SPEC))
    assert course(*past) == Course()
    new = record([*past, submitted(SPEC)])[-1]
    assert course(*past, submitted(SPEC)) == Course(seq=5, submitted_at=new.time)
