"""Readers that wait while the log loses the event behind which they wait, and other events take its place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from distribute.client.build_logs import Ended, Printed, follow_builds
from distribute.client.follow import follow_to_end
from distribute.client.logs import job_output
from distribute.client.pausing import Request, answer_of, next_change
from distribute.client.pull.following import archive_changes
from distribute.core.ids import BuildId, JobId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard
from distribute.ports import Cluster
from distribute.sim.cluster import Hub
from distribute.sim.network import Weather
from distribute.sim.process import SimulatedProcess
from distribute.sim.remembering import RememberingLog
from distribute.testing import builders as make
from sim_kit import Stage

JOB = JobId("lab", "sweep", "job1")
WAITS_S = 300.0
"""By then a reader waits, also if it asked a scheduler first that is not there."""
ENDS_WITHIN_S = 600.0

BEFORE: list[Event] = [
    make.joined(), make.submitted(), make.assigned(), make.claimed(), make.started(),
]  # fmt: skip
AFTER: list[Event] = [make.finished(outputs=None), make.completed(), make.batch_archived()]


def read_through_a_loss(reader: Callable[[Cluster], Awaitable[object]]) -> object:
    """What a reader returns that waits while the log loses its end, and the batch's end comes there."""
    stage = Stage()

    async def story() -> object:
        person = SimulatedProcess(Hub(stage.broker), "jane", Weather, log=RememberingLog)
        stage.publish(*BEFORE)
        for number in range(len(AFTER)):
            stage.publish(make.submitted(make.batch(batch=f"other{number}")))
        reading = asyncio.ensure_future(reader(person.cluster))
        await asyncio.sleep(WAITS_S)
        assert not reading.done(), "it waits"
        stage.broker.crash(lost=len(AFTER))
        stage.publish(*AFTER)
        stage.broker.come_up()
        return await asyncio.wait_for(reading, ENDS_WITHIN_S)

    return stage.tell(story())


async def _follow_output(cluster: Cluster) -> object:
    output = await job_output(cluster, JOB, follow=True)
    async with aclosing(output.pieces) as pieces:
        async for _ in pieces:
            pass
    return output.finished()


async def _follow_archive(cluster: Cluster) -> object:
    async with aclosing(archive_changes(cluster, JOB.batch_id)) as changes:
        await anext(changes)
        return await anext(changes)


async def _follow_batch(cluster: Cluster) -> object:
    return (await follow_to_end(cluster, JOB.batch_id))["state"]


@pytest.mark.parametrize(
    ("reader", "expected"),
    [(_follow_output, AFTER[0]), (_follow_archive, None), (_follow_batch, "completed")],
    ids=["logs", "pull", "wait"],
)
def test_a_reader_that_waits_notices_what_took_the_place_of_a_lost_event(
    reader: Callable[[Cluster], Awaitable[object]], expected: object
) -> None:
    assert read_through_a_loss(reader) == expected


def test_builds_are_followed_across_a_loss_and_nothing_is_shown_twice() -> None:
    spec = make.batch(1, build="make")
    build = BuildId(spec.id, "ws1")
    finished = make.build_finished("ws1", spec)
    shown: list[Printed | Ended] = []
    stage = Stage()

    async def story() -> None:
        hub = Hub(stage.broker)
        person = SimulatedProcess(hub, "jane", Weather, log=RememberingLog).cluster
        node = SimulatedProcess(hub, "ws1", Weather, log=RememberingLog).cluster
        stage.publish(make.joined(), make.submitted(spec), make.build_started("ws1", spec))
        stage.publish(*(make.submitted(make.batch(batch=f"other{number}")) for number in range(2)))
        await node.live.send(build, 0, b"one ")
        reading = asyncio.ensure_future(follow_builds(person, spec.id, shown.append))
        await asyncio.sleep(WAITS_S)
        assert [news.piece for news in shown if isinstance(news, Printed)] == [b"one "]
        stage.broker.crash(lost=2)
        stage.publish(make.joined("ws2"), make.joined("ws3"))
        stage.broker.come_up()
        await asyncio.sleep(WAITS_S)
        await node.live.send(build, 0, b"two")
        await asyncio.sleep(WAITS_S)
        stage.publish(finished, make.kill_requested(spec), make.completed(spec, state="killed"))
        await asyncio.wait_for(reading, ENDS_WITHIN_S)

    stage.tell(story())
    assert shown == [Printed("ws1", b"one "), Printed("ws1", b"two"), Ended("ws1", finished)]


def test_the_next_change_of_a_pause_is_found_where_the_log_lost_the_pause_and_got_it_again() -> None:
    """An earlier pause is no change of this one."""
    pause, earlier, resumed = make.paused(by="jane"), make.paused(by="bob"), make.resumed()
    stage = Stage()

    async def story() -> object:
        person = SimulatedProcess(Hub(stage.broker), "jane", Weather, log=RememberingLog)
        stage.publish(make.joined(), earlier, pause)
        changing = asyncio.ensure_future(next_change(person.cluster, pause, stage.broker.stored.last_seq))
        await asyncio.sleep(WAITS_S)
        stage.broker.crash(lost=1)
        stage.broker.come_up()
        await asyncio.sleep(WAITS_S)
        assert not changing.done(), "it waits"
        stage.publish(pause, resumed)
        return await asyncio.wait_for(changing, ENDS_WITHIN_S)

    assert stage.tell(story()) == (resumed, 4)


def test_the_answer_of_a_node_is_found_where_the_log_lost_the_request_and_got_it_again() -> None:
    """The request and its answer may come to lie before the place where the request was."""
    request = make.pause_requested()
    answer = make.paused().model_copy(update={"causation": request.id})
    stage = Stage()

    async def story() -> object:
        person = SimulatedProcess(Hub(stage.broker), "jane", Weather, log=RememberingLog)
        stage.publish(make.joined())
        for number in range(5):
            stage.publish(make.submitted(make.batch(batch=f"other{number}")))
        seq = await person.cluster.log.append(request, Guard(1))
        answering = asyncio.ensure_future(answer_of(person.cluster, Request("ws1", request.id, seq)))
        await asyncio.sleep(WAITS_S)
        stage.broker.crash(lost=6)
        stage.broker.come_up()
        await asyncio.sleep(WAITS_S)
        stage.publish(answer)
        assert stage.broker.stored.last_seq < seq
        return await asyncio.wait_for(answering, ENDS_WITHIN_S)

    assert stage.tell(story()) == (answer, 3)
