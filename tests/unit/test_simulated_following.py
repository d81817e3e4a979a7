"""A reader of the simulated log gets nothing of another log, as a reader of a real one."""

import asyncio

import pytest

from distribute.core.errors import LogReplaced
from distribute.sim.log import SimulatedLog
from distribute.sim.network import Link, Weather
from distribute.testing import builders as make
from sim_kit import Stage


def test_a_busy_reader_hears_that_the_log_was_replaced_before_anything_that_took_its_place() -> None:
    stage = Stage()

    async def story() -> None:
        following = SimulatedLog(Link(stage.broker, Weather)).follow(after=0)
        stage.publish(make.joined())
        assert [recorded.seq for recorded in await anext(following)] == [1]
        stage.broker.crash(lost=1)
        stage.broker.come_up()
        stage.publish(make.joined("ws2"))
        await asyncio.sleep(10.0)  # the reader is busy, and its connection is back
        stage.publish(make.joined("ws3"))
        await asyncio.sleep(10.0)
        with pytest.raises(LogReplaced):
            await anext(following)

    stage.tell(story())


def test_a_read_up_to_what_the_log_has_lost_ends_with_what_it_has() -> None:
    stage = Stage()
    stage.publish(make.joined("ws1"), make.joined("ws2"), make.joined("ws3"))

    async def story() -> None:
        log = SimulatedLog(Link(stage.broker, Weather))
        end = await log.last_seq()
        stage.broker.crash(lost=1)
        stage.broker.come_up()
        for after, found in ((0, [1, 2]), (1, [2]), (2, [])):
            reading = log.follow(after=after, until=end)
            async with asyncio.timeout(600.0):
                assert [recorded.seq async for records in reading for recorded in records] == found

    stage.tell(story())
