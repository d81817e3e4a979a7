"""Events of a deleted batch, or of an earlier runner, that come late: they hit none of the same name."""

from __future__ import annotations

import pytest

from core_kit import Lab
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.testing import builders as make

SPEC = make.batch(2, retries=1)
BEFORE = "first"
"""The id of the submission of the deleted batch."""

RUNNING = (
    make.joined(),
    make.submitted(SPEC, id="second"),
    make.assigned("job1"),
    make.claimed("job1"),
    make.started("job1"),
)
OVER = (
    make.submitted(make.batch(1), id="second"),
    make.assigned(),
    make.claimed(),
    make.finished(succeeded=False),
    make.job_archived(),
)


@pytest.mark.parametrize(
    ("past", "late"),
    [
        (RUNNING, make.kill_requested(submission=BEFORE)),
        (RUNNING, make.kill_requested(job="job2", submission=BEFORE)),
        (RUNNING, make.reprioritized(7, submission=BEFORE)),
        (RUNNING, make.released("job1", submission=BEFORE)),
        (RUNNING, make.stop_ordered("job1", submission=BEFORE)),
        (OVER, make.completed(state="failed", submission=BEFORE)),
        (OVER, make.retry_requested(submission=BEFORE)),
        (OVER, make.excused(submission=BEFORE)),
        ((*OVER, make.completed(state="failed")), make.batch_archived(submission=BEFORE)),
        ((*OVER, make.completed(state="failed")), make.deleted(submission=BEFORE)),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_a_late_event_of_a_deleted_batch_changes_nothing_of_another_of_its_name(
    past: tuple[Event, ...], late: Event
) -> None:
    state = make.happen(*past)
    batch = state.batches[SPEC.id]
    before = (bytes(batch.status), batch.priority, batch.end, batch.archived, batch.killed, batch.killed_rows)
    make.happen(late, state=state)
    batch = state.batches[SPEC.id]
    after = (bytes(batch.status), batch.priority, batch.end, batch.archived, batch.killed, batch.killed_rows)
    assert after == before
    assert state.misfits == 1
    assert state.last_misfit.endswith("it is about another batch of the same name")


@pytest.mark.parametrize("submission", ["second", None], ids=["its own", "of an older version"])
def test_an_event_of_this_batch_or_of_an_older_version_counts(submission: str | None) -> None:
    state = make.happen(*RUNNING, make.kill_requested(submission=submission))
    assert state.batches[SPEC.id].killed
    state = make.happen(*OVER, make.completed(state="failed"), make.deleted(submission=submission))
    assert (state.batches, state.misfits) == ({}, 0)


def test_the_scheduler_names_the_submission_in_all_it_says_of_a_batch() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(1), id="second"))
    lab.assign()
    lab.run("job1")
    lab.happen(make.kill_requested())
    for _ in range(3):
        (event,) = lab.decide()
        assert isinstance(event, ev.StopOrdered | ev.Completed | ev.BatchArchived)
        assert event.submission == "second"
        lab.happen(event)
        if isinstance(event, ev.StopOrdered):
            lab.happen(make.finished(succeeded=False, outputs=None))
    assert lab.batch().archived


# --- nodes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "late",
    [
        make.left(incarnation="1"),
        make.leaving(incarnation="1"),
        make.paused(incarnation="1"),
        make.resumed(incarnation="1"),
        make.lost(causation="before"),
    ],
    ids=lambda late: late.type,
)
def test_a_late_event_of_an_earlier_runner_changes_nothing_of_the_one_that_joined_since(late: Event) -> None:
    past: list[Event] = [make.joined(incarnation="1"), make.joined(incarnation="2"), *RUNNING[1:]]
    state = make.happen(*past, late)
    node = state.nodes["ws1"]
    assert (node.presence, node.leaving, node.paused_until, node.dropped) == ("here", False, None, set())
    assert state.misfits == 1
    assert node.last_seq == state.seq, "a guard names the late event"


@pytest.mark.parametrize("incarnation", ["2", None], ids=["its own", "of an older version"])
def test_a_runner_that_left_is_gone(incarnation: str | None) -> None:
    past: list[Event] = [make.joined(incarnation="1"), make.joined(incarnation="2")]
    state = make.happen(*past, make.left(incarnation=incarnation))
    assert state.nodes["ws1"].presence == "left"


def test_a_lost_that_follows_from_the_nodes_last_event_counts() -> None:
    joined = make.joined()
    assert make.happen(joined, make.lost(causation=joined.id)).nodes["ws1"].presence == "lost"
