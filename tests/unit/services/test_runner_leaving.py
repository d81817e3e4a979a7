"""How a node leaves: what it announces, what it stops, and what it still reports."""

from __future__ import annotations

import pytest

from distribute.core.log import events as ev
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from unit.services.runner_kit import DONE, SWEEP, Node, event_of


@pytest.fixture
def node() -> Node:
    return Node()


def test_leaving_stops_running_jobs_and_reports_ended_ones(node: Node) -> None:
    ended, runs = node.run("job1"), node.run("job2")
    node.handle(st.Exited(ended, DONE))
    told, *rest = node.machine.leave()
    assert isinstance(event_of(told), ev.Leaving)
    assert event_of(told).keeps == (ended.id,)
    assert rest == [do.Stop(runs), do.Forget(SWEEP)]
    assert node.machine.leave() == [], "`leaving` is announced once"
    assert node.hear(make.assigned("job3", cpus=1)) == [], "it takes no more"
    (finished,) = node.handle(st.Collected(ended, DONE, None))
    node.handle(st.Stopped(runs))
    assert not node.machine.idle
    assert node.stored(finished) == [do.Tidy(ended)]
    assert node.machine.idle


def test_a_node_that_leaves_at_once_announces_no_kept_jobs(node: Node) -> None:
    ended = node.run()
    node.handle(st.Exited(ended, DONE))
    assert node.machine.abandon() == [do.Forget(SWEEP), do.Stop(ended)]


def test_a_leaving_node_gives_its_jobs_back_however_long_their_end_takes_here(node: Node) -> None:
    runs, waits = node.run("job1"), node.claim("job2").of
    told, *stops = node.machine.leave()
    leaving = event_of(told)
    assert isinstance(leaving, ev.Leaving)
    assert leaving.keeps == ()
    assert stops == [do.Stop(runs), do.Stop(waits), do.Forget(SWEEP)]
    assert not node.machine.idle, "the scheduler knows, although the jobs have not ended here"


def test_a_node_that_leaves_while_a_job_is_being_stopped_announces_that(node: Node) -> None:
    node.run()
    node.hear(make.released(reason="killed"))
    told, *_ = node.machine.leave()
    assert isinstance(event_of(told), ev.Leaving)


def test_an_idle_node_that_leaves_announces_only_that_it_has_left(node: Node) -> None:
    assert node.machine.leave() == []
    (told,) = node.machine.left()
    assert isinstance(event_of(told), ev.Left)


def test_a_node_that_has_begun_no_job_has_none_to_leave_to_the_next(node: Node) -> None:
    claim = node.claim()
    assert node.machine.leave_to_the_next() == []
    told, stop, *_ = node.machine.leave()
    assert isinstance(event_of(told), ev.Leaving)
    assert stop == do.Stop(claim.of)


def test_a_node_that_retires_with_jobs_that_have_not_begun_gives_them_back(node: Node) -> None:
    claim = node.claim()
    told, stop = node.machine.retire()
    assert event_of(told).keeps == ()
    assert stop == do.Stop(claim.of)


def test_a_node_that_leaves_and_is_lost_still_reports_what_has_ended(node: Node) -> None:
    finished = node.end(node.run())
    node.machine.leave()
    assert node.hear(make.lost()) == []
    assert node.stored(finished) == [do.Tidy(finished.of)]
    assert node.machine.idle


def test_a_leaving_node_drops_an_ended_job_that_was_released(node: Node) -> None:
    ended = node.run()
    node.handle(st.Exited(ended, DONE))
    node.machine.leave()
    assert node.hear(make.released()) == [do.Stop(ended, sets_aside=True)]
    node.handle(st.Stopped(ended))
    assert node.machine.idle


def test_a_second_request_to_leave_gives_back_ended_jobs(node: Node) -> None:
    ended = node.run()
    node.handle(st.Exited(ended, DONE))
    node.machine.leave()
    assert node.machine.abandon() == [do.Stop(ended)]


def test_a_node_that_retires_lets_its_jobs_come_to_their_end(node: Node) -> None:
    runs, claim = node.run("job1"), node.claim("job2")
    told, stop = node.machine.retire()
    assert event_of(told).keeps == (runs.id,)
    assert stop == do.Stop(claim.of)
    node.handle(st.Stopped(claim.of))
    assert node.stored(node.end(runs)) == [do.Tidy(runs)]
    assert node.machine.idle
