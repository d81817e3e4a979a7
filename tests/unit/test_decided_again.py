"""Decisions that the log lost: they are appended again, or made anew because it has gone on without them.

The scheduler decides on all that it has read. Behind something else, its decision may be wrong: it took back
a killed job that nobody had claimed, and the log would throw away what the job leaves by now.
"""

import asyncio
from collections.abc import Sequence
from itertools import product

import pytest

from distribute.core.errors import LogReplaced
from distribute.core.log import events as ev
from distribute.core.log.authors import AUTHORS, AuthorKind
from distribute.core.log.events import KINDS, Event, JobEvent, type_of
from distribute.core.log.outdated import DECISIONS, ENDS_OF_BATCHES, OUTDATED_BY
from distribute.core.log.recorded import Guard, Recorded, guard_scope
from distribute.sim.network import Link, Weather
from distribute.sim.remembering import RememberingLog
from distribute.testing import builders as make
from sim_kit import Stage

RECONNECTED_S = 30.0

ABOUT_A_JOB: tuple[Event, ...] = (
    make.assigned(), make.claimed(), make.started(), make.stop_ordered(), make.finished(), make.yielded(),
    make.collected(submission=make.new_id()), make.released(), make.excused(), make.job_archived(),
)  # fmt: skip
ABOUT_A_BATCH: tuple[Event, ...] = (make.completed(), make.batch_archived())
LOST = (*ABOUT_A_JOB, *ABOUT_A_BATCH)


def _types(event: Event) -> str:
    return event.type


def _again(event: Event) -> Event:
    return event.model_copy(update={"id": make.new_id()})


def follow(*events: Event) -> list[Event]:
    """The events, each caused by the one before it."""
    found = [events[0]]
    for event in events[1:]:
        found.append(event.model_copy(update={"causation": found[-1].id}))
    return found


def test_the_table_has_every_type_of_event_about_a_job_and_every_decision_of_the_scheduler() -> None:
    assert {event.type for event in ABOUT_A_JOB} == {
        type_of(kind) for kind in KINDS if issubclass(kind, JobEvent)
    }
    by_scheduler = {of for of, author in AUTHORS.items() if author is AuthorKind.SCHEDULER}
    about_nodes = {type_of(kind) for kind in KINDS if issubclass(kind, ev.NodeEvent)}
    assert by_scheduler - about_nodes == DECISIONS
    assert not any(OUTDATED_BY[decision] for decision in DECISIONS), "only the one rule judges them"


class Told:
    """The log after a loss, and what an author may do next with its own."""

    def __init__(
        self, before: Sequence[Event], own: Sequence[Event], others: int, news: Sequence[Event]
    ) -> None:
        self.stage = Stage()
        self.before, self.own, self.others, self.news = before, own, others, news
        self.must_read_anew = False
        self.stage.tell(self._story())
        self.ids = self.stage.ids()

    async def _story(self) -> None:
        """The log loses the last `others` of `before`, and all of `own`; then come `news`."""
        log = RememberingLog(Link(self.stage.broker, Weather))
        self.stage.publish(*self.before)
        for event in self.own:
            await log.append(event, Guard(self.stage.broker.stored.last_seq_of(guard_scope(event))))
        self.stage.broker.crash(lost=self.others + len(self.own))
        self.stage.publish(*self.news)
        self.stage.broker.come_up()
        await asyncio.sleep(RECONNECTED_S)
        try:
            await log.append(make.reprioritized(3, make.batch(batch="other").id), Guard(0))
        except LogReplaced:
            self.must_read_anew = True
            log.begin_anew()
            await log.append(make.reprioritized(3, make.batch(batch="other").id), Guard(0))
        assert self.stage.broker.stored.get(self.stage.broker.stored.last_seq).event.batch == "other"


def log_after(*events: Event) -> list[str]:
    return [event.id for event in events]


@pytest.mark.parametrize("lost", LOST, ids=_types)
def test_a_lost_event_is_appended_again_if_nothing_came_meanwhile(lost: Event) -> None:
    submitted = make.submitted()
    told = Told([submitted], [lost], 0, [])
    assert told.ids[:-1] == log_after(submitted, lost)
    assert not told.must_read_anew


@pytest.mark.parametrize(("lost", "news"), list(product(LOST, ABOUT_A_JOB)), ids=_types)
def test_a_lost_decision_is_made_again_once_anything_came_to_its_scope(lost: Event, news: Event) -> None:
    """A report is appended again: it says what happened, and the fold refuses it where it does not fit."""
    submitted, news = make.submitted(), _again(news)
    told = Told([submitted], [lost], 0, [news])
    is_decision = lost.type in DECISIONS
    assert told.ids[:-1] == log_after(submitted, news, *([] if is_decision else [lost]))
    assert told.must_read_anew == is_decision


@pytest.mark.parametrize(("lost", "news"), list(product(LOST, ABOUT_A_JOB)), ids=_types)
def test_a_decision_about_a_job_stands_whatever_comes_to_other_jobs(lost: Event, news: Event) -> None:
    submitted = make.submitted(make.batch(2))
    news = news.model_copy(update={"id": make.new_id(), "job": "job2"})
    told = Told([submitted], [lost], 0, [news])
    is_overtaken = lost.type in ENDS_OF_BATCHES
    assert told.ids[:-1] == log_after(submitted, news, *([] if is_overtaken else [lost]))
    assert told.must_read_anew == is_overtaken


def test_an_assignment_is_appended_again_behind_what_its_node_did_on_it() -> None:
    """Else the node would end what runs, and begin it anew."""
    submitted = make.submitted()
    lost, *news = follow(make.assigned(), make.claimed(), make.started())
    told = Told([submitted], [lost], 0, news)
    assert told.ids[:-1] == log_after(submitted, *news, lost)
    assert not told.must_read_anew


def test_a_lost_release_of_a_job_that_was_not_claimed_does_not_come_behind_its_claim() -> None:
    """Nor is the batch over, of which the job is."""
    submitted, assigned = make.submitted(), make.assigned()
    released, completed = make.released(reason="killed"), make.completed(state="killed")
    claimed = make.claimed()
    told = Told([submitted, assigned], [released, completed], 0, [claimed])
    assert told.ids[:-1] == log_after(submitted, assigned, claimed)
    assert told.must_read_anew


def test_an_end_of_a_batch_that_was_behind_a_lost_report_is_not_appended_before_the_report() -> None:
    submitted, finished = make.submitted(), make.finished()
    told = Told([submitted, finished], [make.completed()], 1, [])
    assert told.ids[:-1] == log_after(submitted)
    assert told.must_read_anew


def test_decisions_of_one_author_that_build_on_each_other_are_appended_again_in_order() -> None:
    submitted, assigned = make.submitted(), make.assigned()
    own = [make.released(reason="killed"), make.completed(state="killed"), make.batch_archived()]
    told = Told([submitted, assigned], own, 0, [])
    assert told.ids[:-1] == log_after(submitted, assigned, *own)
    assert not told.must_read_anew


def test_an_assignment_in_a_batch_with_a_limit_stands_whatever_came_to_its_job_before_the_loss() -> None:
    """Its guard covers the other assignments of the batch, and not what its own job had been through."""
    submitted, released = make.submitted(make.batch(2)), make.released()
    assigned = make.assigned(attempt=2, limited=True)
    told = Told([submitted, released], [assigned], 0, [])
    assert told.ids[:-1] == log_after(submitted, released, assigned)
    told = Told([submitted, released], [assigned], 0, [claimed := make.claimed()])
    assert told.ids[:-1] == log_after(submitted, released, claimed)
    assert told.must_read_anew


def test_an_author_is_told_of_an_overtaken_decision_although_the_check_was_interrupted() -> None:
    stage, told = Stage(), False
    submitted, released, other = make.submitted(), make.released(), make.drain_requested()

    def crash_once(recorded: Recorded) -> None:
        if recorded.event.id == other.id and stage.broker.crashes == 1:
            stage.broker.crash()  # its author gets no answer
            stage.loop.after(1.0, stage.broker.come_up)

    async def story() -> None:
        nonlocal told
        log = RememberingLog(Link(stage.broker, Weather))
        stage.publish(submitted, make.assigned())
        await log.append(released, Guard(2))
        await log.append(other, Guard(0))
        stage.broker.crash(lost=2)
        stage.publish(make.claimed())
        stage.broker.on_append.append(crash_once)
        stage.broker.come_up()
        await asyncio.sleep(RECONNECTED_S)
        told = log.memory.replaced is not None

    stage.tell(story())
    assert stage.broker.crashes == 2
    assert other.id in stage.ids()
    assert released.id not in stage.ids()
    assert told
