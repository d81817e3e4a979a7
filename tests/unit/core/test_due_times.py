"""A pause, a drain or a quarantine ends by itself, even if no event says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core_kit import Lab
from distribute.core.explaining.explain import explain
from distribute.core.ids import BatchId
from distribute.core.log.events import Event
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decide import decide
from distribute.core.scheduling.due import DueTimes
from distribute.core.scheduling.matching import Obstacle
from distribute.core.state.state import JobKey
from distribute.core.views.views import nodes_view
from distribute.snapshot import dump, load
from distribute.testing import builders as make

IN_A_MINUTE = datetime.fromtimestamp(make.EPOCH.timestamp() + 60, UTC)
ENDING = {
    "paused": make.paused(until=IN_A_MINUTE),
    "draining": make.drain_requested(until=IN_A_MINUTE),
    "quarantined": make.quarantined(until=IN_A_MINUTE),
}


@pytest.mark.parametrize(("state", "event"), ENDING.items(), ids=list(ENDING))
def test_it_ends_in_time_without_an_event(state: str, event: Event) -> None:
    lab = Lab(make.joined(), event, make.submitted())
    (view,) = nodes_view(lab.agenda, {})["nodes"]
    assert view["state"] == state
    lab.wait(58)
    assert lab.decide() == []
    lab.wait(1)
    assert lab.now == lab.log[1].time + 60
    assert lab.assign() == {"job1": "ws1"}
    (view,) = nodes_view(lab.agenda, {})["nodes"]
    assert (view["state"], view["reason"]) == ("busy", None)
    assert (view["paused_until"], view["quarantined_until"]) == (None, None)


@pytest.mark.parametrize("event", ENDING.values(), ids=list(ENDING))
def test_it_has_ended_for_a_scheduler_that_starts_afterwards(event: Event) -> None:
    lab = Lab(make.joined(), event, make.submitted())
    later = lab.log[1].time + 61
    restored = Agenda(load(dump(lab.state)), now=later)
    (assigned,) = decide(restored, later, make.new_id)
    assert assigned.event.type == "assigned"


@pytest.mark.parametrize("event", ENDING.values(), ids=list(ENDING))
def test_one_that_ends_before_it_begins_has_no_effect(event: Event) -> None:
    late = event.model_copy(update={"time": IN_A_MINUTE + timedelta(seconds=1)})
    lab = Lab(make.joined(), late, make.submitted())
    assert lab.assign() == {"job1": "ws1"}


def test_a_drain_without_an_end_lasts_until_a_person_ends_it() -> None:
    lab = Lab(make.joined(), make.drain_requested(), make.submitted())
    lab.wait(3600)
    assert lab.decide() == []
    assert explain(lab.agenda, lab.batch(), 0).nodes[0].obstacle is Obstacle.DRAINING
    lab.happen(make.undrained())
    assert lab.assign() == {"job1": "ws1"}


def test_a_pause_that_is_prolonged_ends_at_its_new_end() -> None:
    lab = Lab(make.joined(), make.paused(until=IN_A_MINUTE))
    later = datetime.fromtimestamp(IN_A_MINUTE.timestamp() + 60, UTC)
    lab.happen(make.paused(until=later), make.submitted())
    lab.wait(70)
    assert lab.decide() == []
    lab.wait(60)
    assert lab.assign() == {"job1": "ws1"}


def test_a_pause_and_a_drain_end_each_at_its_own_time() -> None:
    later = datetime.fromtimestamp(IN_A_MINUTE.timestamp() + 60, UTC)
    lab = Lab(make.joined(), make.paused(until=IN_A_MINUTE), make.drain_requested(until=later))
    lab.happen(make.submitted())
    lab.wait(65)
    assert lab.decide() == []
    lab.wait(60)
    assert lab.assign() == {"job1": "ws1"}


def test_if_the_clock_goes_back_it_has_not_ended_yet() -> None:
    lab = Lab(make.joined(), make.paused(until=IN_A_MINUTE), make.submitted())
    lab.wait(57)
    lab.now -= 30
    lab.look()
    assert lab.decide() == []
    lab.wait(32)
    assert lab.assign() == {"job1": "ws1"}


def test_due_times_come_in_order_and_only_once() -> None:
    due, job = DueTimes(), JobKey(BatchId("lab", "sweep"), 0)
    due.add("b", 20.0)
    due.add("a", 10.0)
    due.add(job, 15.0)
    assert due.next == 10.0
    assert list(due.pop(9.0)) == []
    assert list(due.pop(20.0)) == ["a", job, "b"]
    assert list(due.pop(1e9)) == []
    assert due.next is None


def test_a_key_is_looked_at_at_its_earliest_moment() -> None:
    due = DueTimes()
    for moment in (20.0, 10.0, 30.0):
        due.add("a", moment)
    assert list(due.pop(10.0)) == ["a"]
    assert list(due.pop(100.0)) == [], "whoever looked adds the next moment"


def test_a_forgotten_key_is_never_due() -> None:
    due = DueTimes()
    due.add("a", 10.0)
    due.forget("a")
    assert list(due.pop(100.0)) == []
