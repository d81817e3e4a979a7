"""The scheduler's reaction to events, heartbeats, refusals and time."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FrameType

import pytest

from distribute.core.errors import LogReplaced
from distribute.core.ids import AttemptId, JobId
from distribute.core.log import events as ev
from distribute.core.log.beats import Beat
from distribute.core.log.events import Event
from distribute.core.log.recorded import Append, Recorded
from distribute.core.scheduling.liveness import ABSENT_AFTER_S, CLAIM_WITHIN_S, Lease
from distribute.core.state.state import State, Status
from distribute.testing import builders as make
from distribute_services.scheduler.logic import Scheduler


class Office:
    """A scheduler, the log that it reads, and a clock."""

    def __init__(self, *events: Event, catch_up_to: int = 0) -> None:
        self.now = make.EPOCH.timestamp()
        self.written = 0
        self.scheduler = Scheduler(
            State(), lease=Lease(), new_id=make.new_id, now=self.now, catch_up_to=catch_up_to
        )
        self.read(*events)

    def read(self, *events: Event) -> None:
        """Put events into the log, and let the scheduler read them."""
        for event in events:
            self.written += 1
            self.scheduler.deliver([Recorded(self.written, self.now, event)], self.now)

    def decide(self) -> list[Append]:
        return self.scheduler.decide(self.now)

    def beat(self, node: str, running: Iterable[AttemptId] = ()) -> None:
        incarnation = self.scheduler.state.nodes[node].incarnation
        beat = Beat(node=node, incarnation=incarnation, load=0.0, running=tuple(running))
        self.scheduler.hear(beat, self.now)

    def pass_seconds(self, seconds: float, running: Iterable[AttemptId] = ()) -> list[Event]:
        """Let seconds pass. ws1 beats in each. Returns the events that were decided meanwhile."""
        made: list[Event] = []
        for _ in range(int(seconds)):
            self.now += 1
            self.beat("ws1", running)
            self.scheduler.tick(self.now)
            made += [append.event for append in self.decide()]
        return made


def types(made: Iterable[Append]) -> list[str]:
    return [append.event.type for append in made]


# --- refusals --------------------------------------------------------------------------------------


def test_a_refused_append_waits_until_the_event_that_beat_it_is_read() -> None:
    """On the same state, the scheduler would decide the same, and the broker would refuse it again."""
    office = Office(make.joined(), make.submitted())
    (assigned,) = office.decide()
    beaten_by = office.written + 1
    office.scheduler.refused(assigned, beaten_by)
    assert office.decide() == []
    office.read(make.assigned("job1", "ws1"))
    assert office.decide() == []
    assert office.scheduler.state.batches[assigned.event.batch_id].active[0].cause != assigned.event.id  # type: ignore[union-attr]


def test_a_refused_event_is_decided_again_if_it_still_fits() -> None:
    office = Office(make.joined(), make.submitted())
    (assigned,) = office.decide()
    office.scheduler.refused(assigned, office.written + 2)
    office.read(make.drain_requested())
    assert office.decide() == [], "what beat it comes after this"
    office.read(make.undrained())
    assert types(office.decide()) == ["assigned"]


def test_the_event_that_beat_an_append_may_be_read_before_the_refusal() -> None:
    office = Office(make.joined(), make.submitted())
    (assigned,) = office.decide()
    office.read(make.reprioritized(3))
    office.scheduler.refused(assigned, office.written)
    assert types(office.decide()) == ["assigned"]


def test_a_late_refusal_changes_nothing() -> None:
    office = Office(make.joined(), make.submitted(make.batch(1)))
    (assigned,) = office.decide()
    office.read(make.assigned("job1", "ws1"))
    office.scheduler.refused(assigned, office.written)
    assert office.decide() == []
    assert not office.scheduler.agenda.pending


def test_a_refused_end_of_a_batch_is_decided_again_behind_the_event_that_beat_it() -> None:
    office = Office(make.submitted(), make.kill_requested())
    (completed,) = office.decide()
    assert completed.event.type == "completed"
    office.scheduler.refused(completed, office.written + 1)
    assert office.decide() == []
    office.read(make.reprioritized(2))
    (again,) = office.decide()
    assert again.event.type == "completed"
    assert again.guard.last_seq == office.written


def test_if_a_release_is_refused_release_and_assignment_are_decided_again() -> None:
    """The release and the assignment behind it are one decision."""
    office = Office(make.joined(), make.submitted(), make.assigned(), make.claimed(), make.started())
    office.pass_seconds(1, make.kept(["job1"]))
    office.read(make.joined("ws2"))
    for _ in range(100):
        office.now += 1
        office.beat("ws2")
        office.scheduler.tick(office.now)
        made = office.decide()
        if any(append.event.type == "released" for append in made):
            break
        office.read(*(append.event for append in made))
    *_, released, assigned = made
    assert (released.event.type, assigned.event.type) == ("released", "assigned")
    office.scheduler.refused(released, office.written + 1)
    assert office.decide() == []
    office.read(make.finished())
    job = JobId("lab", "sweep", "job1")
    assert job not in office.scheduler.agenda.pending
    assert office.scheduler.state.batches[job.batch_id].status[0] == Status.SUCCEEDED
    assert types(office.decide()) == ["completed"]


# --- catching up -----------------------------------------------------------------------------------


def test_the_scheduler_decides_nothing_before_it_has_caught_up() -> None:
    office = Office(make.joined(), make.submitted(), catch_up_to=3)
    assert office.decide() == []
    office.read(make.undrained())
    assert types(office.decide()) == ["assigned"]


def test_an_event_that_is_delivered_again_changes_nothing() -> None:
    office = Office(make.joined(), make.submitted())
    office.scheduler.deliver([Recorded(1, office.now, make.left())], office.now)
    assert office.scheduler.state.nodes["ws1"].presence == "here"


# --- heartbeats ------------------------------------------------------------------------------------


def running_job() -> Office:
    office = Office(make.joined(), make.submitted())
    office.read(*(append.event for append in office.decide()))
    office.read(make.claimed(), make.started())
    return office


def test_a_job_that_beats_do_not_name_for_a_minute_is_released() -> None:
    office = running_job()
    assert office.pass_seconds(ABSENT_AFTER_S) == []
    (released,) = office.pass_seconds(1)
    assert isinstance(released, ev.Released)
    assert (released.node, released.reason) == ("ws1", "not_there")


def test_one_beat_that_names_the_job_is_enough() -> None:
    office = running_job()
    assert office.pass_seconds(ABSENT_AFTER_S - 1) == []
    assert office.pass_seconds(1, make.kept(["job1"])) == []
    assert office.pass_seconds(ABSENT_AFTER_S - 1) == []


def test_a_beat_that_names_another_attempt_does_not_count() -> None:
    office = running_job()
    earlier = [AttemptId("lab", "sweep", "job1", 7)]
    assert [event.type for event in office.pass_seconds(ABSENT_AFTER_S + 1, earlier)] == ["released"]


def test_a_job_that_is_not_claimed_for_a_minute_is_released() -> None:
    office = Office(make.joined(), make.submitted())
    office.read(*(append.event for append in office.decide()))
    assert office.pass_seconds(CLAIM_WITHIN_S - 1) == []
    (released,) = office.pass_seconds(1)
    assert isinstance(released, ev.Released)
    assert (released.node, released.reason) == ("ws1", "unclaimed")


def test_a_job_that_is_not_claimed_yet_need_not_be_in_beats() -> None:
    """The assignment may be on its way."""
    office = Office(make.joined(), make.submitted())
    office.read(*(append.event for append in office.decide()))
    assert office.pass_seconds(CLAIM_WITHIN_S - 1) == []
    office.read(make.claimed())
    assert office.pass_seconds(ABSENT_AFTER_S - 1) == []


def test_time_without_a_connection_does_not_count_as_silence() -> None:
    office = running_job()
    office.pass_seconds(50)
    office.now += 3600
    office.scheduler.was_deaf(office.now)
    assert office.pass_seconds(ABSENT_AFTER_S) == []


def test_a_beat_of_an_earlier_incarnation_is_ignored() -> None:
    office = running_job()
    office.read(make.joined(incarnation="new", keeps=make.kept(["job1"])))
    old = Beat(node="ws1", incarnation="old", load=0.0)
    for _ in range(120):
        office.now += 1
        office.scheduler.hear(old, office.now)
        office.scheduler.tick(office.now)
    assert types(office.decide()) == ["lost"]


# --- bounds ----------------------------------------------------------------------------------------


def calls_for(jobs: int) -> int:
    """The number of calls of the core's functions until `jobs` jobs of one batch have failed fast."""
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and "/core/" in frame.f_code.co_filename

    office = Office(make.joined(cpus=1), make.joined("ws2", cpus=1), make.submitted(make.batch(jobs)))
    sys.setprofile(count)
    try:
        while made := office.decide():
            office.read(*(append.event for append in made))
            for event in (append.event for append in made):
                if isinstance(event, ev.Assigned):
                    at = (event.job, event.node, event.attempt)
                    office.read(make.claimed(*at), make.finished(*at, succeeded=False, wall_s=0.01))
                    office.read(make.job_archived(*at))
    finally:
        sys.setprofile(None)
    (batch,) = office.scheduler.state.batches.values()
    assert batch.end == "failed"
    return calls


def test_the_cost_of_failures_is_linear() -> None:
    assert calls_for(320) < 2.5 * calls_for(160)


# --- compaction ------------------------------------------------------------------------------------


def test_a_forged_compaction_does_not_have_the_scheduler_read_the_log_again() -> None:
    office = Office(make.joined(), make.submitted())
    for last_seq in (1, 2, 2**62):  # before the batch, of a batch that is not over, and yet to come
        office.read(make.compacted(last_seq))
    assert office.scheduler.state.misfits == 3
    assert types(office.decide()) == ["assigned"]


def test_a_scheduler_that_missed_what_was_moved_reads_it_in_the_archive() -> None:
    office = Office(make.joined(), make.submitted())
    office.written += 5  # which were removed before it read them
    with pytest.raises(LogReplaced, match="they were removed while the log was read"):
        office.read(make.compacted(office.written))
