"""A node's attempts after a refused guard, a lost tail, or an older copy of the log."""

from __future__ import annotations

import pytest

from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Standing, standing
from unit.services.runner_kit import DONE, SWEEP, Node, event_of


@pytest.fixture
def node() -> Node:
    return Node()


class Assigned:
    """A job that runs, and what its scope holds."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.assigned = make.assigned()
        *_, claim = node.hear(self.assigned)
        self.scope = [Recorded(node.seq, float(node.seq), self.assigned)]
        node.handle(st.Loaded(SWEEP, False))
        self.claimed = self.keep(claim)
        (launch,) = node.handle(st.Reported(claim.of, node.seq))
        self.attempt = launch.attempt
        (self.report,) = node.handle(st.Launched(self.attempt))
        """The instruction to append `started`, which is not answered yet."""

    def keep(self, report: do.Instruction) -> Recorded:
        """The event of a report is in the log."""
        recorded = self.node.record(event_of(report))
        self.scope.append(recorded)
        return recorded

    def answer(self) -> list[do.Instruction]:
        """`started` is in the log, and acknowledged."""
        self.keep(self.report)
        return self.node.handle(st.Reported(self.attempt, self.node.seq))


@pytest.fixture
def job(node: Node) -> Assigned:
    return Assigned(node)


# --- a refused guard -------------------------------------------------------------------------------


def test_noise_in_the_scope_stops_nothing(node: Node, job: Assigned) -> None:
    """Anyone can publish there. The node appends its event again, behind the noise."""
    noise = node.record(make.released().model_copy(update={"author": "jane"}))
    (read,) = node.refused(job.report, noise.seq)
    (again,) = node.read(read, *job.scope, noise)
    assert isinstance(again, do.Report)
    assert again.append.event is job.report.append.event
    assert again.append.guard.last_seq == noise.seq


def test_an_unreadable_message_in_the_scope_is_skipped(node: Node, job: Assigned) -> None:
    """The scope's last event lies before it, but the guard must name the sequence of the message."""
    (read,) = node.refused(job.report, 99)
    (again,) = node.read(read, *job.scope)
    assert isinstance(again, do.Report)
    assert again.append.guard.last_seq == 99


@pytest.mark.parametrize(
    "told",
    [
        make.released(),
        make.assigned(node="ws2", attempt=2),
    ],
)
def test_a_job_that_the_scheduler_gave_away_is_stopped(node: Node, job: Assigned, told: ev.Event) -> None:
    (read,) = node.refused(job.report)
    note, stop = node.read(read, *job.scope, node.record(told))
    assert isinstance(note, do.Note)
    assert isinstance(stop, do.Stop)
    assert stop.attempt is job.attempt


def test_events_of_a_deleted_batch_of_the_same_name_do_not_count(node: Node, job: Assigned) -> None:
    older = [make.assigned(attempt=1), make.released(attempt=1), make.assigned(node="ws2", attempt=2)]
    before = [Recorded(seq, float(seq), event) for seq, event in zip((-3, -2, -1), older, strict=True)]
    (read,) = node.refused(job.report)
    (again,) = node.read(read, *before, *job.scope)
    assert isinstance(again, do.Report)


def test_an_event_that_is_in_the_scope_already_is_not_appended_twice(node: Node, job: Assigned) -> None:
    (read,) = node.refused(job.report)
    job.keep(job.report)
    assert node.read(read, *job.scope) == []
    finished = node.end(job.attempt)
    assert finished.append.guard.last_seq == node.seq


def test_a_claim_that_is_in_the_scope_counts(node: Node) -> None:
    assigned = make.assigned()
    _, claim = node.hear(assigned)
    at = Recorded(node.seq, float(node.seq), assigned)
    node.handle(st.Loaded(SWEEP, False))
    (read,) = node.refused(claim)
    assert node.read(read, at, node.record(event_of(claim))) == [do.Launch(claim.of)]


# --- a log that was replaced -----------------------------------------------------------------------


def replaced(node: Node, last_seq: int = 0) -> list[do.Instruction]:
    node.seq = last_seq
    *reads, _ = instructions = node.machine.log_replaced(last_seq)
    node.rejoin(instructions)
    return reads


def test_running_jobs_go_on_and_lost_events_are_appended_again(node: Node, job: Assigned) -> None:
    """The log lost its tail. It has the assignment, but not the events of the node."""
    assert job.answer() == []
    (read,) = replaced(node, job.scope[0].seq)
    (claimed,) = node.read(read, job.scope[0])
    assert event_of(claimed) is job.claimed.event
    assert isinstance(claimed, do.Report)
    assert claimed.append.guard.last_seq == job.scope[0].seq
    (started,) = node.stored(claimed)
    assert event_of(started) is job.report.append.event
    assert node.stored(started) == []
    assert isinstance(event_of(node.end(job.attempt)), ev.Finished)


def test_the_node_joins_again_with_its_attempts(node: Node, job: Assigned) -> None:
    job.answer()
    *_, announced = node.machine.log_replaced(0)
    joined = event_of(announced)
    assert isinstance(joined, ev.Joined)
    assert joined.keeps == (job.attempt.id,)


def test_an_append_under_way_is_answered_before_the_scope_is_read(node: Node, job: Assigned) -> None:
    """Only then is the scope read. Otherwise the node could append the event twice."""
    assert replaced(node) == []
    (read,) = node.stored(job.report)
    assert isinstance(read, do.Read)


def test_a_job_whose_assignment_is_lost_runs_on_and_nothing_is_appended(node: Node, job: Assigned) -> None:
    """The scheduler appends it again as soon as it is back."""
    job.answer()
    (read,) = replaced(node)
    assert node.read(read) == []
    assert node.handle(st.Exited(job.attempt, DONE)) == [do.Collect(job.attempt, DONE)]
    (read,) = node.hear(job.assigned)
    at = Recorded(node.seq, float(node.seq), job.assigned)
    (claimed,) = node.read(read, at)
    (started,) = node.stored(claimed)
    assert node.handle(st.Collected(job.attempt, DONE, None)) == [], "`started` is on its way"
    (finished,) = node.stored(started)
    appended = [event_of(report).type for report in (claimed, started, finished)]
    assert appended == ["claimed", "started", "finished"]


def test_a_job_that_is_assigned_here_again_goes_on(node: Node, job: Assigned) -> None:
    """In an older copy of the log the job is queued, and the scheduler assigns it to its node once more."""
    job.answer()
    (read,) = replaced(node)
    again = make.assigned()
    assert node.hear(again) == [], "the scope is being read, and will be read again"
    (read,) = node.read(read)
    (claimed,) = node.read(read, Recorded(node.seq, float(node.seq), again))
    assert isinstance(event_of(claimed), ev.Claimed)
    assert node.machine.has == (job.attempt.id,)


def test_events_that_came_before_the_assignment_are_appended_again_behind_it(
    node: Node, job: Assigned
) -> None:
    """After a loss each author appends its events again, and the node may be first."""
    job.answer()
    (read,) = replaced(node)
    early = [node.record(recorded.event) for recorded in job.scope[1:]]
    assert node.hear(job.assigned) == []
    scope = [*early, Recorded(node.seq, float(node.seq), job.assigned)]
    (read,) = node.read(read, *scope)
    (claimed,) = node.read(read, *scope)
    assert event_of(claimed).type == "claimed"
    assert event_of(claimed).id != job.claimed.event.id, "the log takes an id only once"
    (started,) = node.stored(claimed)
    assert event_of(started).type == "started"


def test_a_job_that_another_node_has_now_is_stopped(node: Node, job: Assigned) -> None:
    job.answer()
    (read,) = replaced(node, 50)
    elsewhere = node.record(make.assigned(node="ws2"))
    note, stop = node.read(read, elsewhere)
    assert stop == do.Stop(job.attempt)
    assert isinstance(note, do.Note)
    assert "ws2" in note.text


@pytest.fixture
def ended(node: Node, job: Assigned) -> Assigned:
    """The job has ended, and the log has lost its assignment."""
    job.answer()
    (read,) = replaced(node)
    node.read(read)
    node.handle(st.Exited(job.attempt, DONE))
    (read,) = node.handle(st.Collected(job.attempt, DONE, None))
    assert node.read(read) == [do.Tidy(job.attempt)], "its results are stored, so its place is free"
    return job


def test_a_result_that_the_log_does_not_know_counts_when_its_node_gets_the_job_again(
    node: Node, ended: Assigned
) -> None:
    again = make.assigned()
    (read,) = node.hear(again)
    (report,) = node.read(read, Recorded(node.seq, float(node.seq), again))
    appended = []
    while isinstance(report, do.Report):
        appended.append(event_of(report).type)
        report, *_ = node.stored(report)
    assert appended == ["claimed", "started", "finished"]
    assert node.machine.idle


def test_a_result_that_the_log_does_not_know_is_dropped_with_its_batch(node: Node, ended: Assigned) -> None:
    assert node.hear(make.completed()) == [do.Stop(ended.attempt), do.Forget(SWEEP)]


def test_a_node_that_leaves_does_not_wait_for_a_result_that_the_log_does_not_know(
    node: Node, ended: Assigned
) -> None:
    told, *rest = node.machine.leave()
    assert event_of(told).keeps == (), "the scheduler may append the assignment again, behind this"
    assert rest == [do.Stop(ended.attempt), do.Forget(SWEEP)]


def test_a_node_that_retires_does_not_wait_for_it_either(node: Node, ended: Assigned) -> None:
    told, *rest = node.machine.retire()
    assert event_of(told).keeps == ()
    assert rest == [do.Stop(ended.attempt)]


def test_a_job_of_a_node_that_retires_ends_unknown(node: Node, job: Assigned) -> None:
    job.answer()
    (read,) = replaced(node)
    node.read(read)
    node.machine.retire()
    node.handle(st.Exited(job.attempt, DONE))
    (read,) = node.handle(st.Collected(job.attempt, DONE, None))
    assert node.read(read) == [do.Stop(job.attempt)]


def test_an_attempt_that_has_not_begun_is_dropped_if_the_log_lost_it(node: Node) -> None:
    claim = node.claim()
    node.stored(claim)  # it launches
    waiting = node.claim("job2")
    replaced(node)
    (read,) = node.refused(waiting)
    assert node.read(read) == [do.Stop(waiting.of)]


def test_lost_events_about_a_build_are_appended_again(node: Node) -> None:
    node.hear(make.assigned())
    read, _ = node.handle(st.Loaded(SWEEP, True))
    (started,) = node.read(read)
    node.handle(st.Built(SWEEP, DONE, None))
    (finished,) = node.stored(started)
    node.stored(finished)
    (read,) = [found for found in replaced(node) if found.of is started.of]
    (again,) = node.read(read)
    assert event_of(again) is event_of(started)
    (last,) = node.stored(again)
    assert event_of(last) is event_of(finished)


def test_nothing_more_is_told_of_a_build_once_a_later_one_of_its_batch_has_begun(node: Node) -> None:
    """Somebody forged the end of the batch while the end of its build was on its way."""
    node.hear(make.assigned(attempt=1))
    read, _ = node.handle(st.Loaded(SWEEP, True))
    (started,) = node.read(read)
    node.handle(st.Built(SWEEP, DONE, None))
    (finished,) = node.stored(started)
    node.hear(make.released(reason="unclaimed"))
    node.hear(make.completed(state="failed"))
    node.hear(make.assigned(attempt=2))
    read_anew, _ = node.handle(st.Loaded(SWEEP, True))
    (started_anew,) = node.read(read_anew)
    assert started_anew.of is not started.of
    (read,) = node.refused(finished, node.seq + 1)
    assert node.read(read, node.record(event_of(started)), node.record(event_of(started_anew))) == []


# --- an assignment that was appended again ---------------------------------------------------------


class Twice:
    """The log lost an assignment, and the scheduler gave the job again. Then the first is appended again."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.first = make.assigned(submission="batch", submitted_seq=1)
        self.second = make.assigned(submission="batch", submitted_seq=1)

    def record(self, *events: ev.Event) -> tuple[Recorded, ...]:
        return tuple(map(self.node.record, events))


def test_the_first_assignment_of_a_number_counts_whatever_is_appended_again_behind_it(node: Node) -> None:
    """The fold refuses the one behind it, and all that follows from that."""
    twice = Twice(node)
    _, claim = node.hear(twice.second)
    seconds = Recorded(node.seq, float(node.seq), twice.second)
    node.handle(st.Loaded(SWEEP, False))
    (launch,) = node.stored(claim)
    claimed = Recorded(node.seq, float(node.seq), event_of(claim))
    (read,) = node.hear(twice.first)
    again = Recorded(node.seq, float(node.seq), twice.first)
    assert node.read(read, seconds, claimed, again) == []
    attempt = launch.attempt
    assert attempt.assigned_id == twice.second.id
    (started,) = node.handle(st.Launched(attempt))
    assert event_of(started).causation == claimed.event.id


def test_a_detached_attempt_follows_the_assignment_that_counts(node: Node) -> None:
    twice = Twice(node)
    *_, claim = node.hear(twice.first)
    node.handle(st.Loaded(SWEEP, False))
    (launch,) = node.stored(claim)
    (started,) = node.handle(st.Launched(launch.attempt))
    node.stored(started)
    (read,) = replaced(node)
    assert node.read(read) == [], "the log has no assignment any more"
    scope = twice.record(twice.second, twice.first)
    assert node.machine.deliver(scope[0]) == [read]
    assert node.machine.deliver(scope[1]) == [], "the scope will be read again"
    assert node.read(read, *scope) == [read]
    (claimed,) = node.read(read, *scope)
    assert event_of(claimed).causation == twice.second.id


def test_an_earlier_attempt_that_is_assigned_again_stops_no_later_one(node: Node) -> None:
    first = make.assigned(submission="batch", submitted_seq=1)
    released = make.released(reason="unclaimed", submission="batch")
    second = make.assigned(attempt=2, submission="batch", submitted_seq=1)
    scope = [node.record(first), node.record(released)]
    *_, claim = node.hear(second)
    scope.append(Recorded(node.seq, float(node.seq), second))
    node.handle(st.Loaded(SWEEP, False))
    node.stored(claim)
    scope.append(Recorded(node.seq, float(node.seq), event_of(claim)))
    (read,) = node.hear(first)
    scope.append(Recorded(node.seq, float(node.seq), first))
    assert node.read(read, *scope) == []
    assert node.machine.has == ((*SWEEP, "job1", 2),)


@pytest.mark.parametrize(
    ("between", "holds"),
    [
        ((), False),
        ((make.released(node="ws2", submission="batch"),), True),
        ((make.finished(node="ws2", succeeded=False),), True),
        ((make.yielded(node="ws2"),), True),
        ((make.finished(node="ws3", succeeded=False),), False),
    ],
    ids=["nothing", "released", "finished", "yielded", "finished by another node"],
)
def test_an_attempt_begins_when_the_one_before_is_over(
    node: Node, between: tuple[ev.Event, ...], holds: bool
) -> None:
    elsewhere = make.assigned(node="ws2", submission="batch", submitted_seq=1)
    here = make.assigned(attempt=2, submission="batch", submitted_seq=1)
    scope = [node.record(event) for event in (elsewhere, *between)]
    *_, claim = node.hear(here)
    scope.append(Recorded(node.seq, float(node.seq), here))
    node.handle(st.Loaded(SWEEP, False))
    assert isinstance(claim, do.Report)
    found, _ = standing(claim.of, "ws1", scope)
    assert (found is Standing.HELD) is holds
