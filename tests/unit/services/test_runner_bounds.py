"""What anyone publishes makes a node hold no more than it can."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from distribute.core.errors import LogReplaced
from distribute.core.ids import BatchId, JobId, NodeId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard
from distribute.memory.log import MemoryLog
from distribute.testing import builders as make
from distribute_services.node_runner.machine import builds, machine
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.work.reports import Reports
from unit.services.runner_kit import Node

WITHIN_S = 60.0


@pytest.fixture
def node() -> Node:
    return Node()


def of_batch(number: int, job: str = "job1") -> JobId:
    return JobId("lab", f"batch{number}", job)


def test_a_node_takes_no_more_jobs_than_its_limit(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MAX_KEPT", 3)
    for number in range(3):
        node.hear(make.assigned(f"job{number}"))
    (note,) = node.hear(make.assigned("job3"))
    assert isinstance(note, do.Note)
    assert "not taken: this node has 3 jobs already" in note.text
    assert len(node.machine.attempts) == 3


@pytest.mark.parametrize(
    "share", [{"cpus": 3}, {"memory_bytes": 9 * make.GIB}, {"gpus": (1,)}, {"gpus": (0, 7)}]
)
def test_a_node_takes_no_job_that_is_given_more_than_it_lends(node: Node, share: dict[str, Any]) -> None:
    """Nobody would release what somebody else published in the scheduler's name."""
    (note,) = node.hear(make.assigned("job1", **share))
    assert isinstance(note, do.Note)
    assert "not taken: this node lends less" in note.text
    assert node.machine.attempts == {}
    node.hear(make.assigned("job2", cpus=2, gpus=(0,)))
    assert len(node.machine.attempts) == 1


def test_attempts_that_are_being_stopped_count_towards_the_limit(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time that a job is assigned again, there is another process to end."""
    monkeypatch.setattr(machine, "MAX_KEPT", 3)
    told = [node.hear(make.assigned("job1", attempt=attempt)) for attempt in range(1, 9)]
    stops = [instruction for told in told for instruction in told if isinstance(instruction, do.Stop)]
    assert len(stops) == 3
    assert node.machine.attempts == {}
    node.handle(st.Stopped(stops[0].attempt))
    node.hear(make.assigned("job1", attempt=9))
    assert len(node.machine.attempts) == 1


def test_a_node_at_its_limit_of_batches_forgets_an_idle_one(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "MAX_BATCHES", 3)
    for number in range(3):
        node.hear(make.assigned(of_batch(number)))
    (note,) = node.hear(make.assigned(of_batch(3)))
    assert isinstance(note, do.Note)
    assert "not taken" in note.text
    assert not any(isinstance(one, do.Note) for one in node.hear(make.assigned(of_batch(1, "job2"))))
    node.hear(make.released(of_batch(0)))
    told = node.hear(make.assigned(of_batch(3)))
    assert told[0] == do.Forget(BatchId("lab", "batch0"))
    assert isinstance(told[1], do.Load)
    assert set(node.machine._builds._builds) == {of_batch(number).batch_id for number in (1, 2, 3)}


class SilentLog(MemoryLog):
    """A log whose broker does not answer before `answers` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.begun_anew = 0
        self.is_another = False

    def begin_anew(self) -> None:
        self.begun_anew += 1
        self.is_another = False

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        return asyncio.ensure_future(self._append(event, guard))

    async def _append(self, event: Event, guard: Guard) -> int:
        await self.answers.wait()
        if self.is_another:
            raise LogReplaced("the log is another one")
        return await super().append(event, guard)


async def announced_by(log: SilentLog, events: list[Event]) -> list[str]:
    """Announce these events while the broker is silent. Returns those that reach the log."""
    faults: list[BaseException] = []
    announced: list[str] = []
    reports = Reports(
        log,
        "ws1",
        tell=lambda stimulus: None,
        announced=lambda event, seq: announced.append(event.id),
        on_fault=faults.append,
    )
    reports.announce(events[0])
    await asyncio.sleep(0)  # the first append begins
    for event in events[1:]:
        reports.announce(event)
    log.answers.set()
    await reports.close(WITHIN_S)
    assert faults == []
    return announced


async def test_at_most_one_event_of_each_type_about_the_node_waits() -> None:
    log = SilentLog()
    joins: list[Event] = [make.joined() for _ in range(50)]
    left = make.left()
    assert await announced_by(log, [*joins, left]) == [joins[0].id, joins[-1].id, left.id]
    last = await log.last(NodeId("ws1"))
    assert last is not None
    assert last.event == left


async def test_a_node_announces_itself_in_a_replaced_log() -> None:
    log = SilentLog()
    log.is_another = True
    joined = make.joined()
    assert await announced_by(log, [joined]) == [joined.id]
    assert log.begun_anew == 1
