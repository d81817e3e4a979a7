"""A paused node keeps what it has begun, takes nothing new, and says how it is paused, once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.host import Pause
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt, Phase
from distribute_services.node_runner.machine.machine import RunnerMachine
from distribute_services.node_runner.machine.pausing import ENDS_SOON_S
from unit.services.runner_host import ModelHost, running_node
from unit.services.runner_kit import Node, event_of, said, starting

NOW = make.EPOCH.timestamp()
"""By the node's clock, which stands still."""
HOUR = Pause(NOW + 3600, "jane", "a talk")


@pytest.fixture
def node() -> Node:
    return Node()


def pause(node: Node, until: Pause | None = HOUR, answers: str | None = None) -> list[do.Instruction]:
    return node.handle(st.PauseChanged(until, answers))


def stored(node: Node, instructions: Sequence[do.Instruction]) -> list[do.Instruction]:
    """Put into the log what these announce."""
    event = said(instructions)
    return node.machine.announced(event, node.record(event).seq)


def waiting(node: Node, job: str = "job1") -> Attempt:
    """A job that is assigned and claimed, and not started yet: its batch is read still."""
    *_, claim = node.hear(make.assigned(job, cpus=1))
    assert isinstance(claim, do.Report)
    assert isinstance(claim.of, Attempt)
    return claim.of


# --- what is said -----------------------------------------------------------------------------------


def test_a_pause_is_said_with_its_end_its_owner_and_the_jobs_it_keeps(node: Node) -> None:
    attempt = node.run()
    paused = said(pause(node))
    assert isinstance(paused, ev.Paused)
    assert (paused.until.timestamp(), paused.by, paused.reason) == (HOUR.until, "jane", "a talk")
    assert (paused.keeps, paused.incarnation) == ((attempt.id,), "folder/1")


def test_a_pause_is_said_once_and_so_is_its_end(node: Node) -> None:
    assert pause(node, None) == [], "it is not paused, and never was"
    assert isinstance(said(pause(node)), ev.Paused)
    assert pause(node) == []
    assert isinstance(said(pause(node, Pause(NOW + 60, "jane"))), ev.Paused), "a shorter one replaces it"
    assert isinstance(said(pause(node, None)), ev.Resumed)
    assert pause(node, None) == []


def test_the_answer_names_the_request_whoever_tells_first(node: Node) -> None:
    request = make.pause_requested(until=make.EPOCH + timedelta(hours=1))
    (ask,) = node.hear(request)
    assert ask == do.Pause(3600.0, "jane", "", request.id)
    assert said(pause(node)).causation == request.id, "the host may tell before it has carried it out"
    assert pause(node, HOUR, request.id) == []

    (ask,) = node.hear(make.resume_requested())
    assert isinstance(ask, do.Resume)
    assert said(pause(node, None, ask.request)).causation == ask.request
    assert pause(node, None) == []
    assert said(pause(node)).causation is None, "somebody at the computer paused it"


def test_a_request_for_what_is_so_already_is_answered_too(node: Node) -> None:
    (ask,) = node.hear(make.resume_requested())
    assert isinstance(ask, do.Resume)
    resumed = said(pause(node, None, ask.request))
    assert isinstance(resumed, ev.Resumed)
    assert resumed.causation == ask.request


@pytest.mark.parametrize("ahead_s", [0.0, -86_400.0, 86_400.0], ids=["right", "behind", "ahead"])
@pytest.mark.parametrize("late_s", [0, 600, 3599])
def test_a_pause_lasts_from_when_it_was_asked_for_whatever_clocks_say(late_s: int, ahead_s: float) -> None:
    """The request waits in the log until the node reads it. The node's clock is `ahead_s` of the log's."""
    log_now = NOW
    node = RunnerMachine(
        "ws1",
        incarnation="folder/1",
        boot_id="boot",
        capacity=Node().machine.capacity,
        version="1",
        new_id=make.new_id,
        clock=lambda: log_now + ahead_s,
    )
    joined = event_of(node.join()[0])
    node.deliver(Recorded(1, log_now, joined))
    request = make.pause_requested(until=make.EPOCH + timedelta(hours=1))
    asked_at, log_now = log_now, log_now + late_s
    (ask,) = node.deliver(Recorded(2, asked_at, request))
    assert isinstance(ask, do.Pause)
    assert ask.duration_s == pytest.approx(3600 - late_s, abs=1.5)


def test_a_request_whose_time_is_over_is_passed_by(node: Node) -> None:
    late = make.pause_requested(until=make.EPOCH - timedelta(hours=1))
    (note,) = node.hear(late)
    assert isinstance(note, do.Note)


# --- what was asked for, and said, before this runner -----------------------------------------------


def rejoined(*found: ev.Event) -> tuple[RunnerMachine, list[do.Instruction]]:
    """A runner that starts with these events in the log, and what it does once it has joined."""
    machine, joined = starting(*found)
    return machine, machine.deliver(Recorded(len(found) + 1, NOW, joined))


def test_a_request_that_no_runner_heard_is_carried_out_by_the_next() -> None:
    request = make.pause_requested(until=make.EPOCH + timedelta(hours=1))
    _, asked = rejoined(make.resumed(), request)
    assert asked == [do.Pause(3600.0, "jane", "", request.id)]
    _, asked = rejoined(make.paused(), make.resume_requested())
    assert [type(one) for one in asked] == [do.Resume]


def test_a_request_that_was_answered_is_not_carried_out_again() -> None:
    request = make.pause_requested(until=make.EPOCH + timedelta(hours=1))
    assert rejoined(request, make.paused(causation=request.id))[1] == []
    resume = make.resume_requested()
    assert rejoined(request, resume, make.resumed(causation=resume.id))[1] == []


def test_a_runner_says_that_the_pause_is_over_that_the_log_still_has() -> None:
    machine, _ = rejoined(make.paused())
    assert isinstance(said(machine.handle(st.PauseChanged(None))), ev.Resumed)
    machine, _ = rejoined(make.paused(), make.resumed())
    assert machine.handle(st.PauseChanged(None)) == []


def test_after_a_log_was_replaced_the_pause_is_said_again(node: Node) -> None:
    assert not any(isinstance(one, do.Announce) and isinstance(one.event, ev.Resumed)
                   for one in node.machine.log_replaced(node.seq))  # fmt: skip
    stored(node, pause(node))
    *_, again = node.machine.log_replaced(0)
    assert isinstance(event_of(again), ev.Paused)
    pause(node, None)
    *_, again = node.machine.log_replaced(0)
    assert isinstance(event_of(again), ev.Resumed), "the log may have lost only that"


def test_after_a_log_was_replaced_an_earlier_runners_pause_is_said_to_be_over() -> None:
    machine, _ = rejoined(make.paused(), make.resumed())
    assert machine.handle(st.PauseChanged(None)) == []
    *_, again = machine.log_replaced(1)
    assert isinstance(event_of(again), ev.Resumed), "the log may have lost the word of the earlier runner"


# --- what becomes of jobs ---------------------------------------------------------------------------


def test_what_has_not_begun_begins_elsewhere(node: Node) -> None:
    runs, waits = node.run("job1"), waiting(node, "job2")
    stop, announce = pause(node)
    assert stop == do.Stop(waits)
    paused = event_of(announce)
    assert isinstance(paused, ev.Paused)
    assert paused.keeps == (runs.id,)
    assert runs.phase is Phase.RUNNING


def test_a_job_that_ends_as_the_node_is_paused_is_reported(node: Node) -> None:
    attempt = node.run()
    pause(node)
    assert isinstance(event_of(node.end(attempt)), ev.Finished)


def test_a_paused_node_starts_nothing_and_gives_back_what_comes_all_the_same(node: Node) -> None:
    announced = pause(node)
    (load,) = node.hear(make.assigned("job1", cpus=1))
    assert isinstance(load, do.Load), "it may have been assigned before the log had the pause"
    (stop,) = stored(node, announced)
    assert isinstance(stop, do.Stop), "so the scheduler releases it by itself"
    (gives_back,) = node.hear(make.assigned("job2", cpus=1))
    yielded = event_of(gives_back)
    assert isinstance(yielded, ev.Yielded)
    assert (yielded.job, yielded.reason) == ("job2", "this node is paused")
    (tidy,) = node.stored(gives_back)
    assert isinstance(tidy, do.Tidy)
    assert stored(node, pause(node, None)) == []


def test_a_job_that_comes_before_the_log_has_the_pause_is_given_back_if_it_lies_behind_it(node: Node) -> None:
    announced = said(pause(node))
    seq = node.record(announced).seq
    node.hear(make.assigned("job1", cpus=1))
    (gives_back,) = node.machine.announced(announced, seq)
    assert isinstance(event_of(gives_back), ev.Yielded)


def test_a_job_that_comes_just_before_the_end_of_a_pause_waits_for_that(node: Node) -> None:
    stored(node, pause(node, Pause(NOW + ENDS_SOON_S - 1)))
    (load,) = node.hear(make.assigned("job1", cpus=1))
    assert isinstance(load, do.Load)
    (claim,) = stored(node, pause(node, None))
    assert isinstance(event_of(claim), ev.Claimed)


def test_nothing_is_claimed_before_the_log_has_the_pause_and_its_end(node: Node) -> None:
    """A `paused` that comes late names what the node kept then. It would take away what was claimed since."""
    paused = said(pause(node))
    resumed = said(pause(node, None))
    (load,) = node.hear(make.assigned("job1", cpus=1))
    assert isinstance(load, do.Load)
    before = node.record(make.assigned("job2", cpus=1))
    (stop,) = node.machine.announced(paused, node.record(paused).seq)
    assert isinstance(stop, do.Stop), "the scheduler releases it"
    assert node.machine.deliver(before) == [], "and this one, which comes late from the log"
    assert node.hear(make.assigned("job3", cpus=1)) == []
    (claim,) = node.machine.announced(resumed, node.record(resumed).seq)
    claimed = event_of(claim)
    assert isinstance(claimed, ev.Claimed)
    assert claimed.job == "job3"


# --- the service ------------------------------------------------------------------------------------


async def test_a_node_is_paused_and_resumed_from_anywhere() -> None:
    async with running_node() as node:
        await node.gets(make.batch(1), "job1")
        await node.runs("job1")
        request = make.pause_requested(until=make.EPOCH + timedelta(hours=1))
        await node.say(request)
        paused = await node.event("paused")
        assert (paused.by, paused.causation) == ("jane", request.id)
        assert [kept.job for kept in paused.keeps] == ["job1"]
        assert node.host.paused is not None
        await node.say(resume := make.resume_requested())
        assert (await node.event("resumed")).causation == resume.id
        assert node.host.paused is None
        node.host.end("job1")
        await node.of_job("finished", "job1")


async def test_a_pause_made_at_the_computer_is_said_as_soon_as_it_begins_and_ends() -> None:
    host = ModelHost()
    host.change_pause(Pause(NOW + 3600, "owner"))
    async with running_node(host) as node:
        assert (await node.event("paused")).by == "owner", "it began before this runner did"
        host.change_pause(None)
        await node.event("resumed")


async def test_a_request_is_answered_when_the_computer_cannot_be_paused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = ModelHost()
    host.breaks["pause"] = OSError(28, "No space left on device")
    async with running_node(host) as node:
        await node.say(request := make.pause_requested(until=make.EPOCH + timedelta(hours=1)))
        assert (await node.event("resumed")).causation == request.id
    assert "this node could not be paused: the disk is full" in caplog.text


async def test_a_request_that_came_while_no_runner_ran_is_carried_out() -> None:
    host = ModelHost()
    async with running_node(host) as node:
        cluster = node.cluster
    await node.say(request := make.pause_requested(until=make.EPOCH + timedelta(hours=1)))
    async with running_node(host, cluster=cluster) as node:
        assert (await node.event("paused")).causation == request.id
        assert host.paused is not None
