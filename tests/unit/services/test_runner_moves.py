"""A node gives back a job that a person moves, with what it left. An edit says how long a job may run."""

from __future__ import annotations

import pytest

from distribute.core.files.manifest import Outputs
from distribute.core.log import events as ev
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt, Ending
from unit.services.runner_kit import DONE, SWEEP, Node, event_of

BY_JANE = "moved by jane"
ENDED = Ending(succeeded=False, signal=15, reason=BY_JANE)
OUTPUTS = Outputs(files=1)
ORDER = make.stop_ordered(moved=True)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.mark.parametrize("outputs", [OUTPUTS, None])
def test_a_running_job_is_ended_and_given_back_with_what_it_left(node: Node, outputs: Outputs | None) -> None:
    attempt = node.run()
    assert node.hear(ORDER) == [do.End(attempt, BY_JANE, thaw=True)], "also if a pause holds it"
    assert node.hear(ORDER) == [], "it is being ended"
    assert node.handle(st.Exited(attempt, ENDED)) == [do.Collect(attempt, ENDED)]
    (report,) = node.handle(st.Collected(attempt, ENDED, outputs))
    yielded = event_of(report)
    assert isinstance(yielded, ev.Yielded)
    assert (yielded.reason, yielded.outputs) == (BY_JANE, outputs)
    assert node.stored(report) == [do.Tidy(attempt)]


def test_a_job_that_succeeds_meanwhile_has_finished(node: Node) -> None:
    attempt = node.run()
    node.hear(ORDER)
    node.handle(st.Exited(attempt, DONE))
    (report,) = node.handle(st.Collected(attempt, DONE, OUTPUTS))
    assert event_of(report).succeeded


def test_a_job_that_had_failed_before_the_order_came_has_failed(node: Node) -> None:
    attempt, failed = node.run(), Ending(succeeded=False, exit_code=3)
    node.handle(st.Exited(attempt, failed))
    assert node.hear(ORDER) == []
    (report,) = node.handle(st.Collected(attempt, failed, None))
    finished = event_of(report)
    assert isinstance(finished, ev.Finished)
    assert finished.exit_code == 3


def test_a_job_that_waits_for_its_build_is_given_back_and_the_build_goes_on(node: Node) -> None:
    _, claim = node.hear(make.assigned(cpus=1))
    read, _ = node.handle(st.Loaded(SWEEP, True))
    node.stored(claim)
    (started,) = node.read(read)
    node.stored(started)
    (collect,) = node.hear(ORDER)
    assert isinstance(collect, do.Collect)
    (report,) = node.handle(st.Collected(collect.attempt, collect.ending, None))
    assert isinstance(event_of(report), ev.Yielded)


def test_an_order_that_beats_the_answer_to_the_claim_lets_nothing_begin(node: Node) -> None:
    claim = node.claim()
    assert node.hear(ORDER) == []
    (collect,) = node.stored(claim)
    assert isinstance(collect, do.Collect)
    (report,) = node.handle(st.Collected(collect.attempt, collect.ending, None))
    assert isinstance(event_of(report), ev.Yielded)


def test_the_next_runner_carries_out_the_order_that_the_jobs_scope_tells_of(node: Node) -> None:
    attempt = node.run()
    read, _ = node.machine.log_replaced(node.seq)
    scope = [node.record(event) for event in (make.assigned(cpus=1), make.claimed(), make.started())]
    scope[0] = scope[0]._replace(event=scope[0].event.model_copy(update={"id": attempt.assigned_id}))
    last = node.read(read, *scope, node.record(ORDER))[-1]
    assert last == do.End(attempt, BY_JANE, thaw=True)
    assert attempt.given_back_for == BY_JANE


def test_a_release_for_a_move_drops_what_was_not_claimed(node: Node) -> None:
    claim = node.claim()
    assert node.hear(make.released(reason="moved")) == [do.Stop(claim.of)]


def test_an_attempt_knows_the_timeout_of_an_edit_also_if_the_next_runner_takes_it_up(node: Node) -> None:
    recorded = node.record(make.assigned(cpus=1, timeout_s=60.0))
    assert isinstance(recorded.event, ev.Assigned)
    attempt = Attempt.of(recorded, recorded.event)
    assert attempt.timeout_s == 60.0
    again = Attempt.of_record(attempt.record)
    assert again.timeout_s is None, "the log tells of it"
    again.attach(recorded)
    assert again.timeout_s == 60.0
