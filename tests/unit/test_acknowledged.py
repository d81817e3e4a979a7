"""What a connection appends again after the broker lost it."""

import asyncio
from itertools import product

import pytest

from distribute.core.errors import Conflict
from distribute.core.log.events import SCHEDULER, Event
from distribute.core.log.recorded import Guard, Recorded
from distribute.sim.network import Link, Weather
from distribute.sim.remembering import RememberingLog
from distribute.testing import builders as make
from sim_kit import Stage

RECONNECTED_S = 30.0
LATE_S = 0.03
"""Longer than an answer takes."""


def after_a_loss(first: Event, lost: Event, meanwhile: list[Event]) -> list[str]:
    """The ids in a log that loses an event, and in which others then write something of the same scope."""
    stage = Stage()

    async def story() -> None:
        log = RememberingLog(Link(stage.broker, Weather))
        seq = await log.append(first, Guard(0))
        await log.append(lost, Guard(seq if lost.scope == first.scope else 0))
        stage.broker.crash(lost=1)
        stage.publish(*meanwhile)
        stage.broker.come_up()
        await asyncio.sleep(RECONNECTED_S)

    stage.tell(story())
    return stage.ids()


def test_an_assignment_that_the_log_lost_is_appended_again() -> None:
    first, lost = make.submitted(make.batch(1)), make.assigned()
    assert after_a_loss(first, lost, []) == [first.id, lost.id]


@pytest.mark.parametrize("lost", [make.claimed(), make.finished()])
def test_reports_are_appended_again_behind_what_others_said(lost: Event) -> None:
    first, meanwhile = make.assigned(), make.started()
    assert after_a_loss(first, lost, [meanwhile]) == [first.id, meanwhile.id, lost.id]


def after_a_later_one(lost: Event, later: Event) -> list[str]:
    """The ids of these two in a log that loses one before the same connection appends the other."""
    joined = make.joined()
    stage = Stage()

    async def story() -> None:
        log = RememberingLog(Link(stage.broker, Weather))
        seq = await log.append(joined, Guard(0))
        await log.append(lost, Guard(seq))
        stage.broker.crash(lost=1)
        stage.broker.come_up()
        await log.append(later, Guard(seq))
        await asyncio.sleep(RECONNECTED_S)

    stage.tell(story())
    ids = stage.ids()
    assert ids[0] == joined.id
    return ids[1:]


ABOUT_A_NODE = (
    make.joined(), make.leaving(), make.left(), make.paused(), make.resumed(), make.pause_requested(),
    make.resume_requested(), make.drain_requested(), make.undrained(), make.quarantined(),
)  # fmt: skip
OPPOSITES = {
    *product(["joined"], ["joined", "leaving", "left"]),
    *product(["leaving", "left"], ["joined"]),
    *product(["paused", "resumed"], repeat=2),
    *product(["pause_requested", "resume_requested"], repeat=2),
    *product(["drain_requested", "undrained"], repeat=2),
    *product(["quarantined"], ["quarantined", "undrained"]),
}
PAIRS = [
    (lost, later.model_copy(update={"id": f"later-{later.id}"}))
    for lost, later in product(ABOUT_A_NODE, repeat=2)
]


def _types(event: Event) -> str:
    return event.type


@pytest.mark.parametrize(("lost", "later"), PAIRS, ids=_types)
@pytest.mark.parametrize("by_its_author", [True, False])
def test_what_is_out_of_date_about_a_node_is_not_appended_again(
    lost: Event, later: Event, by_its_author: bool
) -> None:
    """The fold would take it for news: a node that works would be paused, drained or gone in the log."""
    ids = after_a_later_one(lost, later) if by_its_author else after_a_loss(make.joined(), lost, [later])[1:]
    is_outdated = (lost.type, later.type) in OPPOSITES
    assert ids == ([later.id] if is_outdated else [later.id, lost.id])


@pytest.mark.parametrize(
    ("lost", "meanwhile", "is_outdated"),
    [
        (make.reprioritized(5), make.reprioritized(7), True),
        (make.kill_requested(), make.retry_requested(), True),
        (make.kill_requested(job="job1"), make.kill_requested(job="job2"), False),
        (make.retry_requested(), make.kill_requested(), True),
        (make.completed(), make.retry_requested(), True),
        (make.batch_archived(), make.retry_requested(), True),
        (make.reprioritized(5), make.kill_requested(), False),
        (make.held(), make.hold_released(), True),
        (make.hold_released(), make.held(), True),
        (make.held(), make.reprioritized(5), False),
    ],
)
def test_an_order_about_a_batch_is_not_appended_again_once_the_opposite_was_ordered(
    lost: Event, meanwhile: Event, is_outdated: bool
) -> None:
    first = make.submitted()
    ids = after_a_loss(first, lost, [meanwhile])
    assert ids == [first.id, meanwhile.id, *([] if is_outdated else [lost.id])]


@pytest.mark.parametrize(
    "lost", [make.assigned(), make.stop_ordered(), make.released(), make.excused(), make.job_archived()]
)
def test_a_decision_about_an_attempt_is_not_appended_again_once_its_batch_was_compacted(lost: Event) -> None:
    """Its node would take the job of a batch that is closed. What others say, the fold judges."""
    first, meanwhile = make.submitted(make.batch(1)), make.assigned()
    joined, compacted = make.joined(), make.compacted(first_seq=1, last_seq=3)
    stage = Stage()

    async def story() -> None:
        log = RememberingLog(Link(stage.broker, Weather))
        await log.append(first, Guard(0))
        await log.append(lost, Guard(0))
        stage.broker.crash(lost=1)
        stage.publish(joined, meanwhile, compacted)
        stage.broker.stored.purge(first.scope, before=4)
        stage.broker.come_up()
        await asyncio.sleep(RECONNECTED_S)

    stage.tell(story())
    is_decision = lost.author == SCHEDULER
    assert stage.ids() == [joined.id, compacted.id, *([] if is_decision else [lost.id])]


@pytest.mark.parametrize("is_limited", [False, True])
def test_a_decision_that_another_one_beat_is_refused_although_both_were_compacted(is_limited: bool) -> None:
    """The stream has neither the event that its guard names, nor the one that came behind that."""
    limited = True if is_limited else None
    first, beats = make.assigned(limited=limited), make.assigned(attempt=2, limited=limited)
    late = make.assigned(attempt=2, node="ws2", limited=limited)
    stage = Stage()

    async def story() -> Conflict:
        stage.publish(first, make.released(), beats, make.compacted(first_seq=1, last_seq=3))
        stage.broker.stored.purge(late.batch_id, before=4)
        log = RememberingLog(Link(stage.broker, Weather))
        with pytest.raises(Conflict) as refusal:
            await log.append(late, Guard(1 if is_limited else 2))
        return refusal.value

    refused = stage.tell(story())
    assert (refused.beaten_by_seq, refused.last_seq) == (4, 0)


def test_lost_decisions_about_two_attempts_are_appended_again_in_their_order() -> None:
    """The second assignment fits only behind the first one and its release."""
    submitted, other = make.submitted(make.batch(1)), [make.reprioritized(n) for n in range(9)]
    own: list[Event] = [make.assigned(), make.released(), make.assigned(attempt=2, node="ws2")]
    claimed = make.claimed()
    stage = Stage()

    async def story() -> None:
        log = RememberingLog(Link(stage.broker, Weather))
        await log.append(submitted, Guard(0))
        seq = await log.append(own[0], Guard(0))
        stage.publish(claimed)
        seq = await log.append(own[1], Guard(seq + 1))
        await log.append(own[2], Guard(seq))
        stage.broker.crash(lost=4)
        stage.publish(*other)  # the log is longer again than it was
        stage.broker.come_up()
        await asyncio.sleep(RECONNECTED_S)

    stage.tell(story())
    ids = stage.ids()
    assert ids == [submitted.id, *(event.id for event in other), *(event.id for event in own)]


def test_events_that_were_appended_again_keep_their_order_through_a_second_loss() -> None:
    """The first of two lost events is in the log again when that is lost, too: it still comes first."""
    joined, started, finished = make.joined(), make.started(), make.finished()
    stage = Stage()

    def lose_the_first_again(recorded: Recorded) -> None:
        if recorded.event.id == started.id and stage.broker.crashes == 1:
            stage.loop.after(LATE_S, lambda: stage.broker.crash(lost=1))  # its answer has just come
            stage.loop.after(1.0, stage.broker.come_up)

    async def story() -> None:
        log = RememberingLog(Link(stage.broker, Weather))
        await log.append(joined, Guard(0))
        await log.append(finished, Guard(await log.append(started, Guard(0))))
        stage.broker.on_append.append(lose_the_first_again)
        stage.broker.crash(lost=2)
        stage.broker.come_up()
        await asyncio.sleep(RECONNECTED_S)

    stage.tell(story())
    assert stage.broker.crashes == 2
    ids = stage.ids()
    assert ids == [joined.id, started.id, finished.id]


def test_an_interrupted_check_begins_again_although_more_was_appended_meanwhile() -> None:
    """An event that is there proves nothing about those that were lost before it was appended."""
    first, lost = make.submitted(make.batch(3)), make.assigned("job1")
    later = [make.assigned("job2"), make.assigned("job3")]
    stage = Stage()

    async def story() -> None:
        log = RememberingLog(Link(stage.broker, Weather))
        await log.append(first, Guard(0))
        await log.append(lost, Guard(0))
        stage.broker.crash(lost=1)
        stage.broker.come_up()
        await asyncio.gather(*(log.append(event, Guard(0)) for event in later))
        assert stage.broker.stored.last_seq == 3, "the check is still under way"
        stage.broker.crash()
        stage.broker.come_up()
        await asyncio.sleep(RECONNECTED_S)

    stage.tell(story())
    ids = stage.ids()
    assert ids == [first.id, *(event.id for event in later), lost.id]
