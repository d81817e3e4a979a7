"""A node gives back jobs that a long pause holds: it ends them first, and keeps what they left."""

from __future__ import annotations

import pytest

from distribute.core.files.manifest import Outputs
from distribute.core.log import events as ev
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Ending
from unit.services.runner_kit import DONE, SWEEP, Node, event_of

WHY = "its node was paused for 1h"
OUTPUTS = Outputs(files=1)
TERMINATED = Ending(succeeded=False, signal=15, reason=WHY)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.mark.parametrize("outputs", [OUTPUTS, None])
def test_a_running_job_is_ended_and_given_back_with_what_it_left(node: Node, outputs: Outputs | None) -> None:
    attempt = node.run()
    assert node.machine.vacate(WHY) == [do.End(attempt, WHY, thaw=True)]
    assert node.machine.vacate(WHY) == [], "it is being ended"
    assert node.handle(st.Exited(attempt, TERMINATED)) == [do.Collect(attempt, TERMINATED)]
    (report,) = node.handle(st.Collected(attempt, TERMINATED, outputs))
    yielded = event_of(report)
    assert isinstance(yielded, ev.Yielded)
    assert (yielded.reason, yielded.outputs) == (WHY, outputs)
    assert node.stored(report) == [do.Tidy(attempt)]


def test_a_job_that_says_goodbye_with_an_exit_code_of_its_own_is_given_back_as_well(node: Node) -> None:
    attempt = node.run()
    node.machine.vacate(WHY)
    left = Ending(succeeded=False, exit_code=0, reason=WHY)
    node.handle(st.Exited(attempt, left))
    (report,) = node.handle(st.Collected(attempt, left, OUTPUTS))
    assert isinstance(event_of(report), ev.Yielded)


def test_a_job_that_succeeds_meanwhile_has_finished(node: Node) -> None:
    attempt = node.run()
    node.machine.vacate(WHY)
    node.handle(st.Exited(attempt, DONE))
    (report,) = node.handle(st.Collected(attempt, DONE, OUTPUTS))
    finished = event_of(report)
    assert isinstance(finished, ev.Finished)
    assert finished.succeeded


def test_a_killed_job_is_reported_as_killed_and_not_given_back(node: Node) -> None:
    attempt = node.run()
    node.hear(make.stop_ordered())
    assert node.machine.vacate(WHY) == []
    killed = Ending(succeeded=False, signal=15, reason="killed by jane")
    node.handle(st.Exited(attempt, killed))
    (report,) = node.handle(st.Collected(attempt, killed, OUTPUTS))
    assert isinstance(event_of(report), ev.Finished)


def test_a_job_that_has_ended_is_not_given_back(node: Node) -> None:
    attempt = node.run()
    node.handle(st.Exited(attempt, DONE))
    assert node.machine.vacate(WHY) == []


def test_a_fault_while_its_results_are_collected_gives_it_back_without_them(node: Node) -> None:
    attempt = node.run()
    node.machine.vacate(WHY)
    node.handle(st.Exited(attempt, TERMINATED))
    (report,) = node.handle(st.Broke(attempt, "a fault", make.EPOCH.timestamp()))
    yielded = event_of(report)
    assert isinstance(yielded, ev.Yielded)
    assert yielded.outputs is None


def test_a_reason_of_any_length_fits_into_the_event(node: Node) -> None:
    attempt = node.run()
    node.machine.vacate("x" * 20_000)
    node.handle(st.Exited(attempt, TERMINATED))
    (report,) = node.handle(st.Collected(attempt, TERMINATED, None))
    event = event_of(report)
    assert isinstance(event, ev.Yielded)
    assert len(event.reason) == 2000


def building(node: Node) -> do.Report:
    """Let the node build the batch of its job. Returns the claim of the job."""
    _, claim = node.hear(make.assigned(cpus=1))
    assert isinstance(claim, do.Report)
    read, _ = node.handle(st.Loaded(SWEEP, True))
    (started,) = node.read(read)
    node.stored(started)
    return claim


def test_a_build_that_a_pause_holds_is_ended_and_begins_anew_for_the_next_job(node: Node) -> None:
    claim = building(node)
    assert node.hear(make.released()) == [do.Stop(claim.of)], "the pause does not keep it"
    node.handle(st.Stopped(claim.of))
    assert node.machine.vacate(WHY) == [do.EndBuild(SWEEP, WHY)]
    assert node.machine.vacate(WHY) == [], "it is being ended"
    (report,) = node.handle(st.Built(SWEEP, TERMINATED, OUTPUTS))
    finished = event_of(report)
    assert isinstance(finished, ev.BuildFinished)
    assert (finished.succeeded, finished.killed, finished.reason) == (False, True, WHY)
    node.stored(report)
    load, _ = node.hear(make.assigned("job2", cpus=1))
    assert isinstance(load, do.Load)


def test_a_build_for_which_a_job_waits_begins_anew(node: Node) -> None:
    building(node)
    assert node.machine.vacate(WHY) == [do.EndBuild(SWEEP, WHY)]
    report, load = node.handle(st.Built(SWEEP, TERMINATED, None))
    assert (event_of(report).killed, type(load)) == (True, do.Load)
