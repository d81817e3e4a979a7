"""A runner contradicts what the log got late of its dead predecessor's pause."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from distribute.core.folding.fold import apply
from distribute.core.log import events as ev
from distribute.core.log.recorded import Guard, Recorded
from distribute.core.state.state import State
from distribute.host import Pause
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from unit.services.runner_host import Log, MemoryCluster, running_node
from unit.services.runner_kit import said, starting

NOW = make.EPOCH.timestamp()
"""By the node's clock, which stands still."""
HOUR = Pause(NOW + 3600, "jane", "a talk")


def late(seq: int, event: ev.Paused | ev.Resumed) -> Recorded:
    """A word of the runner before, that was on its way when that was killed."""
    return Recorded(seq, NOW, event.model_copy(update={"incarnation": "folder/1"}))


@pytest.mark.parametrize("host_tells", ["before", "behind"])
def test_a_pause_that_comes_late_is_said_to_be_over(host_tells: str) -> None:
    machine, joined = starting()
    said_before = machine.handle(st.PauseChanged(None)) if host_tells == "before" else []
    assert said_before == []
    answer = machine.deliver(late(1, make.paused()))
    if host_tells == "behind":
        assert answer == [], "this computer may be paused"
        answer = machine.handle(st.PauseChanged(None))
    assert isinstance(said(answer), ev.Resumed)
    assert machine.deliver(Recorded(2, NOW, joined)) == []
    assert machine.handle(st.PauseChanged(None)) == [], "it is said once"


def test_a_pause_that_comes_late_is_said_to_be_over_also_if_the_broker_tells_first_of_the_join() -> None:
    machine, joined = starting()
    machine.handle(st.PauseChanged(None))
    machine.announced(joined, 2)
    assert isinstance(said(machine.deliver(late(1, make.paused()))), ev.Resumed)


def test_a_late_word_changes_nothing_of_what_this_runner_says() -> None:
    machine, joined = starting()
    assert isinstance(said(machine.handle(st.PauseChanged(HOUR))), ev.Paused)
    assert machine.deliver(late(1, make.resumed())) == [], "what this runner says comes behind it"
    machine.deliver(Recorded(2, NOW, joined))
    assert machine.handle(st.PauseChanged(HOUR)) == []
    assert isinstance(said(machine.handle(st.PauseChanged(None))), ev.Resumed)


def test_a_word_behind_the_join_of_another_runner_is_passed_by_as_the_fold_does() -> None:
    machine, joined = starting()
    machine.handle(st.PauseChanged(None))
    machine.deliver(Recorded(1, NOW, joined))
    assert machine.deliver(late(2, make.paused())) == []


def test_a_word_that_the_runner_found_before_it_joined_is_heard_once() -> None:
    machine, _ = starting(make.paused(), make.resumed())
    machine.handle(st.PauseChanged(None))
    assert machine.deliver(late(1, make.paused())) == []


def test_a_request_that_a_dead_runner_answered_late_is_not_carried_out_again() -> None:
    request = make.pause_requested(until=make.EPOCH + timedelta(hours=1))
    machine, joined = starting(request)
    machine.handle(st.PauseChanged(HOUR))
    machine.deliver(late(2, make.paused(causation=request.id)))
    assert machine.deliver(Recorded(3, NOW, joined)) == []


@pytest.mark.parametrize("word", [make.resumed(), make.paused(), make.resumed(causation="another")])
def test_a_word_behind_a_request_that_does_not_answer_it_does_not_count_as_its_answer(
    word: ev.Paused | ev.Resumed,
) -> None:
    """The dead runner wrote of a pause before that, and never read the request."""
    request = make.pause_requested(until=make.EPOCH + timedelta(hours=1))
    asked = do.Pause(3600.0, "jane", "", request.id)
    machine, joined = starting(request, word)
    assert machine.deliver(Recorded(3, NOW, joined)) == [asked]

    machine, joined = starting(request)
    machine.deliver(late(2, word))
    assert machine.deliver(Recorded(3, NOW, joined)) == [asked]


async def log_of(*events: ev.Event) -> MemoryCluster:
    """A cluster whose log has a `joined` of a runner that is dead by now, and these events."""
    cluster = MemoryCluster()
    for event in (make.joined(incarnation="folder/dead"), *events):
        await cluster.log.append(event, Guard(await cluster.log.last_seq()))
    return cluster


REQUEST = make.pause_requested(until=make.EPOCH + timedelta(hours=1))


async def test_a_node_carries_out_what_its_dead_runner_never_read() -> None:
    cluster = await log_of(REQUEST, make.resumed())
    async with running_node(cluster=cluster) as node:
        await node.event("paused", lambda event: event.causation == REQUEST.id)


async def test_a_request_whose_answer_is_not_the_last_word_is_not_carried_out_again() -> None:
    """The node was paused as asked, then resumed, paused and resumed by itself."""
    answer = make.paused(causation=REQUEST.id)
    cluster = await log_of(REQUEST, answer, make.resumed(), make.paused(), make.resumed())
    async with running_node(cluster=cluster) as node:
        await node.say(resume := make.resume_requested())
        await node.event("resumed", lambda event: event.causation == resume.id)
        answers = []
        async for records in cluster.log.follow(after=0, until=await cluster.log.last_seq()):
            answers += [one.event.id for one in records if one.event.causation == REQUEST.id]
        assert answers == [answer.id]


class SlowLog(Log):
    """Gets a word of a dead runner just before the next one's `joined`."""

    def __init__(self, late: ev.Event) -> None:
        super().__init__()
        self._late: ev.Event | None = late

    def append(self, event: ev.Event, guard: Guard) -> asyncio.Future[int]:
        if isinstance(event, ev.Joined) and event.incarnation != "folder/dead" and self._late is not None:
            super().append(self._late, guard)
            self._late = None
        return super().append(event, guard)


async def test_a_node_whose_dead_runner_paused_it_late_lends_again() -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    cluster = MemoryCluster()
    cluster.log = SlowLog(make.paused(time=datetime.now(UTC), until=until, incarnation="folder/dead"))
    await cluster.log.append(make.joined(incarnation="folder/dead"), Guard(0))
    is_paused: list[bool] = []
    async with running_node(cluster=cluster) as node:
        await node.event("resumed")
        state = State()
        async for records in cluster.log.follow(after=0, until=await cluster.log.last_seq()):
            for recorded in records:
                assert apply(state, recorded) is None
                is_paused.append(state.nodes["ws1"].paused_until is not None)
    assert is_paused == [False, True, True, False], "the dead one joined, its word came late, the next joined"
