"""What an attempt left that was given to another node meanwhile does not count, and is kept for a while."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from distribute.core.ids import AttemptId
from distribute.core.log import events as ev
from distribute.host import SetAside
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt, SubmissionRef, is_superseded
from unit.services.runner_host import WITHIN_S, ModelHost, running_node
from unit.services.runner_kit import Node

LEFT = SetAside("/node/superseded/1", 5, make.EPOCH.timestamp() + 60)
BATCH = make.batch([make.job(name) for name in ("job1", "job2")])


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.mark.parametrize("phase", ["runs", "has ended"])
@pytest.mark.parametrize("reason", ["node_lost", "node_left", "not_there"])
def test_what_a_job_left_that_was_taken_is_set_aside(
    node: Node, phase: str, reason: ev.ReleaseReason
) -> None:
    attempt = node.run()
    if phase == "has ended":
        node.end(attempt)
    assert node.hear(make.released(reason=reason)) == [do.Stop(attempt, sets_aside=True)]
    (announce,) = node.handle(st.Stopped(attempt, LEFT))
    assert isinstance(announce, do.Announce)
    told = announce.event
    assert isinstance(told, ev.Superseded)
    assert (told.attempt, told.folder, told.size_bytes) == (attempt.id, LEFT.folder, LEFT.size_bytes)
    assert told.until == make.EPOCH + timedelta(seconds=60)
    assert node.machine.idle


def test_a_job_that_left_nothing_is_not_told_of(node: Node) -> None:
    attempt = node.run()
    node.hear(make.released())
    assert node.handle(st.Stopped(attempt)) == []


def test_a_job_that_has_not_begun_left_nothing(node: Node) -> None:
    claim = node.claim()
    assert node.hear(make.released()) == [do.Stop(claim.of)]


def test_nobody_wants_what_a_killed_job_leaves(node: Node) -> None:
    attempt = node.run()
    assert node.hear(make.released(reason="killed")) == [do.Stop(attempt)]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (make.assigned(node="ws2", attempt=2, submission="mine"), True),
        (make.assigned(node="ws2", attempt=1, submission="another"), False),
        (make.finished(), False),
        (None, False),
    ],
    ids=["given to another node", "another batch has the name", "it has finished", "released before"],
)
def test_only_a_job_that_runs_elsewhere_is_superseded(by: ev.Event | None, expected: bool) -> None:
    assigned = make.assigned(submission="mine", submitted_seq=1)
    attempt = Attempt.of(Node().record(assigned), assigned)
    assert attempt.submission == SubmissionRef("mine", 1)
    assert is_superseded(attempt, by) is expected


async def test_all_that_is_set_aside_is_told_of_before_it_is_removed() -> None:
    host = ModelHost()
    async with running_node(host) as node:
        await node.gets(BATCH, "job1", "job2")
        for job in ("job1", "job2"):
            await node.runs(job)
            await node.say(make.released(job))
        attempts = {AttemptId(*BATCH.id, job, 1) for job in ("job1", "job2")}
        told = [await node.event("superseded", lambda event, of=of: event.attempt == of) for of in attempts]
        assert {event.folder for event in told} == {f"aside/{of}" for of in attempts}
        assert set(host.aside) == attempts
        assert host.places == set()


async def test_a_job_whose_results_can_not_be_set_aside_is_stopped_all_the_same() -> None:
    host = ModelHost()
    host.breaks["set_aside"] = OSError("no room")
    async with running_node(host) as node:
        await node.gets(BATCH, "job1")
        await node.runs("job1")
        await node.say(make.released("job1"))
        async with asyncio.timeout(WITHIN_S):
            while host.places:  # each turn of the loop is one look  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert host.aside == []
