"""A batch that was deleted, and another one of its name: a node mistakes neither for the other."""

from __future__ import annotations

import pytest

from distribute.core.log import events as ev
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt, Standing, SubmissionRef, standing
from unit.services.runner_kit import DONE, SWEEP, Node, event_of

FIRST, SECOND = SubmissionRef("first", 10), SubmissionRef("second", 20)


@pytest.fixture
def node() -> Node:
    return Node()


def assigned(submission: SubmissionRef, job: str = "job1") -> ev.Assigned:
    return make.assigned(job, submission=submission.id, submitted_seq=submission.seq)


def run(node: Node, submission: SubmissionRef, *, needs_build: bool = False) -> Attempt:
    """A job of this batch that runs, or waits for its batch's build."""
    load, claim = node.hear(assigned(submission))
    assert load == do.Load(SWEEP, submission)
    node.handle(st.Loaded(SWEEP, needs_build))
    node.stored(claim)
    assert isinstance(claim, do.Report)
    assert isinstance(claim.of, Attempt)
    if not needs_build:
        (started,) = node.handle(st.Launched(claim.of))
        node.stored(started)
    return claim.of


def test_another_batch_takes_the_place_of_the_one_before(node: Node) -> None:
    """Also of its attempts at other jobs, and of what was built."""
    old = run(node, FIRST)
    assert node.hear(assigned(SECOND, "job2"))[:3] == [
        do.Stop(old),
        do.Forget(SWEEP),
        do.Load(SWEEP, SECOND),
    ]
    assert list(node.machine.has) == [(*SWEEP, "job2", 1)]


def test_the_same_job_of_another_batch_is_stopped_once(node: Node) -> None:
    old = run(node, FIRST)
    assert node.hear(assigned(SECOND)).count(do.Stop(old)) == 1
    assert list(node.machine.has) == [(*SWEEP, "job1", 1)]


def test_an_assignment_that_comes_late_changes_nothing(node: Node) -> None:
    run(node, SECOND)
    for job in ("job1", "job2"):
        assert node.hear(assigned(FIRST, job)) == []
    assert list(node.machine.has) == [(*SWEEP, "job1", 1)]


def test_an_attempt_that_the_log_lost_is_not_that_of_another_batch(node: Node) -> None:
    """Both are attempt 1 of the same job, with the same share. The log is an older copy, and its sequences
    may be smaller."""
    old = run(node, SECOND)
    node.machine.log_replaced(node.seq)
    node.handle(st.ScopeRead(old, (), 0))
    assert node.machine.has == (old.id,), "it runs on: the scheduler may say it again"
    new = assigned(FIRST._replace(seq=7))
    node.rejoin(node.machine.join())
    assert do.Stop(old) in node.hear(new)


def test_an_attempt_that_the_log_lost_is_its_own_batchs_at_another_place(node: Node) -> None:
    old = run(node, FIRST)
    node.machine.log_replaced(node.seq)
    node.handle(st.ScopeRead(old, (), 0))
    (read,) = node.hear(assigned(FIRST._replace(seq=4)))
    assert read == do.Read(old)


def test_the_events_of_a_build_name_its_submission(node: Node) -> None:
    attempt = run(node, FIRST, needs_build=True)
    read = do.Read(node.machine._builds._builds[SWEEP])
    (started,) = node.read(read)
    event = event_of(started)
    assert isinstance(event, ev.BuildStarted)
    assert (event.submission, event.causation) == (FIRST.id, attempt.assigned_id)


def test_the_end_of_the_batch_before_ends_nothing_of_this_one(node: Node) -> None:
    """It may come late. What the log has lost of this batch, the scheduler may say again."""
    attempt = run(node, SECOND)
    node.machine.log_replaced(node.seq)
    node.handle(st.ScopeRead(attempt, (), 0))
    for late in (
        make.completed(state="killed", submission=FIRST.id),
        make.deleted(submission=FIRST.id),
        make.retry_requested(submission=FIRST.id),
    ):
        assert node.hear(late) == []
    assert node.machine.has == (attempt.id,)
    assert node.hear(make.completed(state="killed", submission=SECOND.id))[0] == do.Stop(attempt)


@pytest.mark.parametrize(("submission", "stops"), [(FIRST.id, False), (SECOND.id, True), (None, True)])
def test_a_release_ends_an_attempt_of_the_batch_that_it_names(
    node: Node, submission: str | None, stops: bool
) -> None:
    attempt = run(node, SECOND)
    released = make.released(submission=submission)
    assert (do.Stop(attempt, sets_aside=True) in node.hear(released)) is stops


def test_a_node_that_leaves_names_its_incarnation(node: Node) -> None:
    attempt = run(node, FIRST)
    node.handle(st.Exited(attempt, DONE))
    (leaving, *_), (left,) = node.machine.leave(), node.machine.left()
    for said in (event_of(leaving), event_of(left)):
        assert isinstance(said, ev.Leaving | ev.Left)
        assert said.incarnation == "folder/1"


# --- a batch that was replaced while it ran ---------------------------------------------------------


def goes_on_beside(job: str = "job2", beside: tuple[str, ...] = ("first",)) -> ev.Assigned:
    """An assignment of the second batch, in which attempts of the first go on."""
    return assigned(SECOND, job).model_copy(update={"beside": beside})


def test_an_attempt_goes_on_beside_those_of_the_batch_that_replaced_its_own(node: Node) -> None:
    old = run(node, FIRST)
    instructions = node.hear(goes_on_beside())
    assert instructions[:2] == [do.Forget(SWEEP), do.Load(SWEEP, SECOND)]
    assert do.Stop(old) not in instructions
    assert list(node.machine.has) == [(*SWEEP, "job1", 1), (*SWEEP, "job2", 1)]
    assert event_of(node.end(old)).type == "finished"


@pytest.mark.parametrize("given", [goes_on_beside("job1"), goes_on_beside(beside=("another",))])
def test_an_attempt_does_not_go_on_beside_the_next_at_its_job_or_if_it_is_not_named(
    node: Node, given: ev.Assigned
) -> None:
    old = run(node, FIRST)
    assert do.Stop(old) in node.hear(given)


def test_an_attempt_that_has_not_reported_its_start_does_not_go_on(node: Node) -> None:
    """The batch was replaced before its assignment came: only what has started goes on."""
    old = run(node, FIRST, needs_build=True)
    assert do.Stop(old) in node.hear(goes_on_beside())


def test_what_went_on_is_released_by_its_own_submission(node: Node) -> None:
    old = run(node, FIRST)
    node.hear(goes_on_beside())
    assert node.hear(make.released(submission=SECOND.id)) == []
    assert node.hear(make.released(submission=FIRST.id)) == [do.Stop(old, sets_aside=True)]


def test_a_build_is_forgotten_once_the_batch_that_replaced_its_own_is_over(node: Node) -> None:
    old = run(node, FIRST)
    assert node.hear(make.completed(submission=SECOND.id)) == [], "an attempt runs"
    node.stored(node.end(old))
    assert node.hear(make.completed(submission=SECOND.id)) == [do.Forget(SWEEP)]


def test_a_later_runner_takes_up_attempts_of_both_batches(node: Node) -> None:
    run(node, FIRST)
    *_, claim = node.hear(goes_on_beside())
    node.handle(st.Loaded(SWEEP, False))
    node.stored(claim)
    records = [attempt.record for attempt in node.machine.attempts.values()]
    later = Node()
    later.machine.take_up(records, ())
    assert list(later.machine.has) == [(*SWEEP, "job1", 1), (*SWEEP, "job2", 1)]


@pytest.mark.parametrize(("before", "is_known"), [(1, True), (2, False)])
def test_the_next_attempt_at_a_job_that_went_on_is_found_behind_that_of_the_batch_before(
    node: Node, before: int, is_known: bool
) -> None:
    earlier = node.record(assigned(FIRST).model_copy(update={"attempt": before}))
    released = node.record(make.released(attempt=before, submission=FIRST.id))
    again = node.record(assigned(SECOND).model_copy(update={"attempt": 2}))
    assert isinstance(again.event, ev.Assigned)
    found, _ = standing(Attempt.of(again, again.event), "ws1", [earlier, released, again])
    assert found is (Standing.HELD if is_known else Standing.UNKNOWN)
