"""What a connection appends again after the broker lost it."""

import asyncio
from collections.abc import Callable

import pytest

from distribute.codec import encode
from distribute.core.events import Event
from distribute.core.recorded import Guard
from distribute.sim.loop import VirtualLoop
from distribute.sim.network import Broker, Link, Weather
from distribute.sim.remembering import RememberingLog
from distribute.testing import builders as make

RECONNECTED_S = 30.0


def after_a_loss(first: Event, lost: Event, meanwhile: list[Event]) -> list[str]:
    """The ids in a log that loses an event, and in which others then write something of the same scope."""
    loop = VirtualLoop(1)
    broker = Broker(loop)

    async def story() -> None:
        log = RememberingLog(Link(broker, Weather))
        seq = await log.append(first, Guard(0))
        await log.append(lost, Guard(seq if lost.scope == first.scope else 0))
        broker.crash(lost=1)
        for event in meanwhile:
            broker.publish(event.id, encode(event), event.scope, broker.stored.last_seq_of(event.scope))
        broker.come_up()
        await asyncio.sleep(RECONNECTED_S)

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
    return [recorded.event.id for recorded in broker.stored.between(0, broker.stored.last_seq)]


def test_an_assignment_that_the_log_lost_is_appended_again() -> None:
    first, lost = make.submitted(make.batch(1)), make.assigned()
    assert after_a_loss(first, lost, []) == [first.id, lost.id]


def test_an_assignment_is_not_appended_again_once_its_job_was_assigned_again() -> None:
    """Its node would take the job, though the scheduler has released it meanwhile."""
    first, lost = make.submitted(make.batch(1)), make.assigned()
    meanwhile: list[Event] = [make.assigned(), make.released()]
    ids = after_a_loss(first, lost, meanwhile)
    assert ids == [first.id, *(event.id for event in meanwhile)]


def test_an_assignment_is_appended_again_behind_what_its_node_said() -> None:
    first, lost, claimed = make.submitted(make.batch(1)), make.assigned(), make.claimed()
    assert after_a_loss(first, lost, [claimed]) == [first.id, claimed.id, lost.id]


@pytest.mark.parametrize("lost", [make.claimed(), make.released()])
def test_other_events_are_appended_again_behind_what_others_said(lost: Event) -> None:
    first, meanwhile = make.assigned(), make.started()
    assert after_a_loss(first, lost, [meanwhile]) == [first.id, meanwhile.id, lost.id]


@pytest.mark.parametrize("changes", [(make.paused, make.resumed), (make.resumed, make.paused)])
def test_a_pause_is_not_told_again_once_its_node_has_told_of_a_later_change(
    changes: tuple[Callable[[], Event], Callable[[], Event]],
) -> None:
    """The fold would take it for news: a node that works would be paused in the log."""
    lost, later = (change() for change in changes)
    joined = make.joined()
    loop = VirtualLoop(1)
    broker = Broker(loop)

    async def story() -> None:
        log = RememberingLog(Link(broker, Weather))
        seq = await log.append(joined, Guard(0))
        await log.append(lost, Guard(seq))
        broker.crash(lost=1)
        broker.come_up()
        await log.append(later, Guard(seq))
        await asyncio.sleep(RECONNECTED_S)

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
    ids = [recorded.event.id for recorded in broker.stored.between(0, broker.stored.last_seq)]
    assert ids == [joined.id, later.id]


def test_an_interrupted_check_begins_again_although_more_was_appended_meanwhile() -> None:
    """An event that is there proves nothing about those that were lost before it was appended."""
    first, lost = make.submitted(make.batch(3)), make.assigned("job1")
    later = [make.assigned("job2"), make.assigned("job3")]
    loop = VirtualLoop(1)
    broker = Broker(loop)

    async def story() -> None:
        log = RememberingLog(Link(broker, Weather))
        await log.append(first, Guard(0))
        await log.append(lost, Guard(0))
        broker.crash(lost=1)
        broker.come_up()
        await asyncio.gather(*(log.append(event, Guard(0)) for event in later))
        assert broker.stored.last_seq == 3, "the check is still under way"
        broker.crash()
        broker.come_up()
        await asyncio.sleep(RECONNECTED_S)

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
    ids = [recorded.event.id for recorded in broker.stored.between(0, broker.stored.last_seq)]
    assert ids == [first.id, *(event.id for event in later), lost.id]
