"""What the scheduler's log tells of nodes, batches and jobs."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pytest

from distribute.core.log.beats import Beat
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.core.scheduling.liveness import Lease
from distribute.core.state.state import State
from distribute.core.telling.wording import MAX_REASON
from distribute.testing import builders as make
from distribute_services.scheduler.logic import Scheduler
from distribute_services.scheduler.story import Story


class Head:
    """A scheduler that tells its story, and the log that it reads."""

    def __init__(self, caplog: pytest.LogCaptureFixture, *before: Event) -> None:
        caplog.set_level(logging.INFO)
        self._caplog = caplog
        self.now = make.EPOCH.timestamp()
        self._seq = 0
        self.scheduler = Scheduler(
            State(), lease=Lease(), new_id=make.new_id, now=self.now, catch_up_to=len(before)
        )
        self._deliver(before)
        self.story = Story(self.scheduler.state)

    def _deliver(self, events: Iterable[Event]) -> list[Recorded]:
        news = []
        for event in events:
            self._seq += 1
            news += self.scheduler.deliver([Recorded(self._seq, self.now, event)], self.now)
        return news

    def tells(self, *events: Event) -> list[str]:
        """Let these events happen. Returns what is logged of them."""
        self._caplog.clear()
        self.story.tell(self._deliver(events))
        return [record.getMessage() for record in self._caplog.records]

    def looks(self, *, after_s: float = 0) -> list[str]:
        """Let time pass in which no node is heard."""
        self._caplog.clear()
        for _ in range(int(after_s)):
            self.now += 1
            self.scheduler.tick(self.now)
        agenda = self.scheduler.agenda
        nodes = agenda.state.nodes
        self.story.look(
            agenda.silent, lambda name: agenda.liveness.silent_since(nodes[name], self.now), self.now
        )
        return [record.getMessage() for record in self._caplog.records]


def test_a_job_is_told_from_its_start_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    head = Head(caplog)
    spec = make.batch(2)
    assert head.tells(make.joined("ws1"), make.submitted(spec, user="jane")) == [
        "node ws1 joined: 4 cpus, 8G of memory",
        f"jane submitted {spec.id}: 2 jobs",
    ]
    assert head.tells(make.assigned("job1"), make.claimed("job1"), make.started("job1")) == [
        f"{spec.id}/job1 started on ws1"
    ]
    assert head.tells(make.finished("job1", succeeded=True, wall_s=83.0)) == [
        f"{spec.id}/job1 succeeded on ws1 after 1m23s"
    ]
    head.tells(make.assigned("job2"), make.claimed("job2"))
    assert head.tells(make.finished("job2", succeeded=False, exit_code=3, reason=None, wall_s=0.5)) == [
        f"{spec.id}/job2 failed on ws1 after 0.5s: exit code 3"
    ]
    assert head.tells(make.completed(spec, state="failed")) == [f"{spec.id} is over: 1 succeeded, 1 failed"]


def test_a_kill_is_told_with_who_asked_for_it_and_how_the_job_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    head = Head(caplog, make.joined("ws1"), make.submitted(make.batch(2)))
    head.tells(make.assigned("job1"), make.claimed("job1"), make.started("job1"))
    assert head.tells(make.kill_requested(state="queued"), make.kill_requested(by="bob")) == [
        "jane kills what still waits of lab/sweep",
        "bob kills lab/sweep",
    ]
    assert head.tells(make.stop_ordered("job1", by="bob")) == [
        "lab/sweep/job1 is to be ended by ws1: killed by bob"
    ]
    ended = {"succeeded": False, "exit_code": None, "signal": 15, "reason": "killed by bob", "wall_s": 2.0}
    assert head.tells(make.finished("job1", **ended)) == [
        "lab/sweep/job1 was killed on ws1 after 2s: killed by bob"
    ]
    assert head.tells(make.build_finished(succeeded=False, killed=True, reason="killed by bob")) == [
        "lab/sweep was not built to the end on ws1 after 0s: killed by bob"
    ]


def test_a_batch_that_is_replaced_before_its_end_is_told_is_told_in_its_own_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The scheduler folds what comes together before it tells any of it."""
    submitted = make.submitted(make.batch(2))
    said: list[Event] = [make.assigned("job2"), make.claimed("job2"), make.finished("job2", outputs=None)]
    ends = [make.kill_requested(), make.completed(state="killed")]
    head = Head(caplog, make.joined(), submitted)
    told = head.tells(*said, *ends, make.submitted(make.batch(1), replaces=submitted.id))
    assert told[-2:] == [
        "lab/sweep is over: killed",
        "jane replaced lab/sweep: 1 job, of which none is kept",
    ]


def test_a_node_that_is_lost_and_back_is_told_with_how_long(caplog: pytest.LogCaptureFixture) -> None:
    head = Head(caplog, make.joined("ws1"), make.submitted(make.batch()))
    head.tells(make.assigned("job1"), make.claimed("job1"), make.started("job1"))
    assert head.looks(after_s=14) == []
    assert head.looks(after_s=2) == ["out of touch for 16s: node ws1; no new jobs go there"]
    assert head.looks(after_s=45) == []
    (lost,) = head.tells(make.lost("ws1"))
    assert lost == ("node ws1 is lost: silent for 1m1s; others take its 1 job when they have room")
    head.now += 105
    (back,) = head.tells(make.joined("ws1", keeps=make.kept(["job1"])))
    assert back == "node ws1 is back after 2m46s; it goes on with 1 job"
    assert head.looks() == []


def test_a_node_that_is_heard_again_in_time_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    head = Head(caplog, make.joined("ws1"))
    head.looks(after_s=20)
    incarnation = head.scheduler.state.nodes["ws1"].incarnation
    head.scheduler.hear(Beat(node="ws1", incarnation=incarnation, load=0.0), head.now)
    assert head.looks() == ["heard again after 20s: node ws1"]
    assert head.looks() == []


def test_many_nodes_that_fall_silent_together_make_one_line(caplog: pytest.LogCaptureFixture) -> None:
    head = Head(caplog, *(make.joined(f"ws{number:02}") for number in range(30)))
    (line,) = head.looks(after_s=20)
    assert line.removesuffix("; no new jobs go there").endswith(
        "nodes ws00, ws01, ws02, ws03, ws04, ws05, ws06, ws07, ws08, ws09 and 20 more"
    )


def test_a_restart_and_an_orderly_end_of_a_node_differ_from_a_loss(caplog: pytest.LogCaptureFixture) -> None:
    head = Head(caplog, make.joined("ws1", incarnation="first"))
    assert head.tells(make.joined("ws1", incarnation="second")) == [
        "node ws1 has restarted: 4 cpus, 8G of memory"
    ]
    assert head.tells(make.left("ws1", incarnation="second")) == ["node ws1 left"]
    assert head.looks(after_s=100) == []
    assert head.tells(make.joined("ws1", incarnation="third")) == ["node ws1 joined: 4 cpus, 8G of memory"]


def test_what_happened_before_the_scheduler_began_is_not_told_again(caplog: pytest.LogCaptureFixture) -> None:
    head = Head(caplog, make.joined("ws1"), make.lost("ws1"))
    assert caplog.records == []
    head.now += 10
    assert head.tells(make.joined("ws1")) == ["node ws1 is back after 1m11s"]


def test_an_event_that_does_not_fit_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    head = Head(caplog)
    assert head.tells(make.started("nobody's"), make.lost("unknown")) == []


def test_troubles_and_their_ends_are_warnings_and_the_rest_is_information(
    caplog: pytest.LogCaptureFixture,
) -> None:
    head = Head(caplog, make.joined("ws1"))
    levels = []
    for event in (
        make.submitted(make.batch()),
        make.lost("ws1"),
        make.joined("ws1"),
        make.quarantined("ws1"),
        make.left("ws1"),
    ):
        head.tells(event)
        levels += [record.levelname for record in caplog.records]
    assert levels == ["INFO", "WARNING", "WARNING", "WARNING", "INFO"]


def test_what_a_node_keeps_that_does_not_count_is_told_with_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    head = Head(caplog, make.joined("ws1"))
    (line,) = head.tells(make.superseded("ws1"))
    assert line.startswith("node ws1 keeps what attempt 1 of lab/sweep/job1 left until ")
    assert line.endswith(": 5B in /node/superseded/1; it does not count")


def test_a_long_reason_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    head = Head(caplog, make.joined("ws1"), make.submitted(make.batch()))
    (line,) = head.tells(
        make.assigned("job1"), make.claimed("job1"), make.finished("job1", succeeded=False, reason="x" * 5000)
    )
    assert line.endswith("x…")
    assert len(line) < MAX_REASON + 100


def test_mere_steps_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    head = Head(caplog, make.joined("ws1"), make.submitted())
    steps = [make.assigned("job1"), make.claimed("job1")]
    assert head.tells(*steps) == []
    head.tells(make.finished("job1"))
    assert head.tells(make.job_archived("job1")) == []
