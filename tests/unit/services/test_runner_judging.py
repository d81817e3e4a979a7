"""A node folds a batch to learn whether that is over: it believes no message that says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from distribute.codec import encode
from distribute.core.ids import AttemptId, BatchId
from distribute.core.log.events import Event
from distribute.memory.log import MemoryLog
from distribute.testing import builders as make
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.work.reports import Reports
from unit.services.runner_host import WITHIN_S, running_node

SPEC = make.batch(2)
SWEEP = BatchId("lab", "sweep")
SUBMITTED = make.submitted(SPEC)
BEGINNING = (
    make.joined(),
    SUBMITTED,
    make.assigned("job1"),
    make.assigned("job2", node="ws2"),
    make.claimed("job1"),
)
RUNNING = frozenset({SUBMITTED.id})
OURS = frozenset({AttemptId("lab", "sweep", "job1", 1)})
END = (
    make.kill_requested(),
    make.released("job1", reason="killed"),
    make.released("job2", node="ws2", reason="killed"),
    make.completed(state="killed"),
)


class Judge:
    """A node with a log in memory, and what its machine was told."""

    def __init__(self, *events: Event) -> None:
        self.log = MemoryLog()
        self.store(*events)
        self.told: asyncio.Queue[st.Stimulus] = asyncio.Queue()
        self.reports = Reports(
            self.log, "ws1", tell=self.told.put_nowait, announced=lambda *_: None, on_fault=self._fault
        )

    def store(self, *events: Event) -> None:
        for event in events:
            self.log.stored.store(encode(event), 1.0)

    def _fault(self, error: BaseException) -> None:
        raise AssertionError("a batch can be folded, whatever the log has") from error


async def judged(*events: Event) -> st.Stimulus:
    judge = Judge(*events)
    judge.reports.judge(SWEEP)
    async with asyncio.timeout(10):
        return await judge.told.get()


async def test_a_batch_goes_on_although_somebody_writes_that_it_is_over() -> None:
    forged: Sequence[Event] = (make.completed(), make.deleted(), make.compacted(5))
    events = *BEGINNING, *forged
    assert await judged(*events) == st.Judged(SWEEP, len(events), RUNNING, OURS)


async def test_a_batch_is_over_once_the_fold_says_so() -> None:
    events = (*BEGINNING, *END)
    assert await judged(*events) == st.Judged(SWEEP, len(events), frozenset(), frozenset())


async def test_an_assignment_that_does_not_count_is_none_of_the_nodes_attempts() -> None:
    """The job is with another node."""
    late = make.assigned("job2", attempt=2)
    events = (*BEGINNING, late, make.claimed("job2", attempt=2), make.completed())
    assert await judged(*events) == st.Judged(SWEEP, len(events), RUNNING, OURS)


async def test_a_deleted_batch_is_over() -> None:
    gone = (*BEGINNING, *END, make.deleted())
    assert await judged(*gone) == st.Judged(SWEEP, len(gone), frozenset(), frozenset())


@pytest.mark.parametrize(
    "more", [(), (*END, make.retry_requested()), (*END, make.deleted(), make.submitted(SPEC))]
)
async def test_a_batch_that_does_not_seem_over_is_not_folded(more: Sequence[Event]) -> None:
    judge = Judge(*BEGINNING, *more)
    judge.reports.judge(SWEEP)
    while judge.reports._judging:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert judge.told.empty()


async def test_a_batch_that_is_doubted_while_it_is_folded_is_folded_once_more() -> None:
    judge = Judge(*BEGINNING, make.completed())
    judge.reports.judge(SWEEP)
    await asyncio.sleep(0)
    judge.reports.judge(SWEEP)
    judge.reports.judge(SWEEP)
    judge.store(*END)
    while judge.reports._judging:  # noqa: ASYNC110
        await asyncio.sleep(0)
    first, second = judge.told.get_nowait(), judge.told.get_nowait()
    assert first == st.Judged(SWEEP, len(BEGINNING) + 1, RUNNING, OURS)
    assert isinstance(second, st.Judged)
    assert (second.running, judge.told.empty()) == (frozenset(), True)


async def test_a_node_lets_a_job_go_whose_batch_was_over_before_it_was_assigned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The job would run for ever, and nobody could kill it: the fold does not know that it runs."""
    elsewhere = {"job": "job1", "node": "ws2"}
    async with running_node() as node:
        await node.say(make.submitted(make.batch(1)))
        assigned = await node.say(make.assigned(**elsewhere))
        claimed = make.claimed(**elsewhere).model_copy(update={"causation": assigned.event.id})
        await node.say(claimed)
        await node.say(make.finished(**elsewhere).model_copy(update={"causation": claimed.id}))
        await node.say(make.completed())
        await node.say(make.assigned("job1", attempt=2))
        async with asyncio.timeout(WITHIN_S):
            while "attempt 2 is stopped: its batch is over" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0)
            node.cluster.beats.came.clear()
            await node.cluster.beats.came.wait()
        assert node.cluster.beats.sent[-1].running == ()
