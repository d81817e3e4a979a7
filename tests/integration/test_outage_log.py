"""What the log of a process tells of an outage: when it began, and when it was over."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator

import pytest

from distribute.core.log.recorded import Guard
from distribute.nats.broker.embedded import Broker
from distribute.nats.client import jetstream
from distribute.nats.client.outage import Outage, Peer
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream import reader
from distribute.testing import builders
from integration.standstill import standing_still

HEAD = Peer("the head", "running jobs go on")
TOOK = r"(\d+m)?[0-9.]+s"


@pytest.fixture
async def node(broker: Broker, cluster: Cluster) -> AsyncIterator[Cluster]:
    """A node's connection, over which the node follows the log."""
    async with open_cluster(broker.address, "ws07", peer=HEAD) as connected:
        following = asyncio.create_task(follow(connected))
        await connected.log.append(builders.claimed("before"), Guard(0))
        yield connected
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def follow(cluster: Cluster) -> None:
    async for _ in cluster.log.follow(after=0):
        pass


async def logged(caplog: pytest.LogCaptureFixture, words: str, times: int = 1) -> None:
    async with asyncio.timeout(60):
        while caplog.text.count(words) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def story(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What stands in the log by default."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


async def test_a_broker_that_restarts_makes_one_line_when_it_goes_and_one_when_it_is_back(
    broker: Broker, node: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    await broker.stop(kill=True)
    await logged(caplog, f"{HEAD.name} ({broker.address}) doesn't answer")
    appended = node.log.append(builders.claimed("meanwhile"), Guard(0))
    await broker.start()
    await appended
    await logged(caplog, f"{HEAD.name} ({broker.address}) answers again")
    gone, back = [line for line in story(caplog) if "the cluster (" not in line]  # of the other connection
    head = re.escape(f"{HEAD.name} ({broker.address})")
    assert re.fullmatch(rf"{head} doesn't answer since \d\d:\d\d:\d\d; running jobs go on", gone)
    assert re.fullmatch(rf"{head} answers again after {TOOK}", back)


async def test_a_broker_that_hangs_makes_one_line_however_often_it_is_asked(
    broker: Broker, node: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, logger=reader.__name__)
    followings = [asyncio.create_task(follow(node)) for _ in range(3)]
    try:
        with standing_still(broker):
            with monkeypatch.context() as hasty:
                hasty.setitem(jetstream.call.__kwdefaults__, "timeout_s", 0.1)
                await logged(caplog, "can't read EV now", times=6)
            await asyncio.sleep(0.2)  # no hasty call is left that a slow broker could miss
        await logged(caplog, "answers again")
    finally:
        for following in followings:
            following.cancel()
        await asyncio.gather(*followings, return_exceptions=True)
    told = [line for line in story(caplog) if "the cluster (" not in line]  # of the other connection
    assert [("doesn't answer since" in line, "answers again" in line) for line in told] == [
        (True, False),
        (False, True),
    ]


async def test_a_connection_that_is_closed_is_no_outage(
    broker: Broker, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_cluster(broker.address, "ws07", peer=HEAD) as connected:
        await connected.log.last_seq()
    assert story(caplog) == []


def test_the_end_of_an_outage_tells_how_long_it_lasted(caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    broken = Outage(HEAD, "nats://head:4222", clock=lambda: now)
    broken.begins(now)
    broken.begins(now + 5)
    now += 166
    broken.ends()
    broken.ends()
    since = time.strftime("%H:%M:%S", time.localtime(1000.0))
    assert story(caplog) == [
        f"the head (nats://head:4222) doesn't answer since {since}; running jobs go on",
        "the head (nats://head:4222) answers again after 2m46s",
    ]


def test_a_process_that_has_just_begun_has_nothing_that_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    Outage(HEAD, "nats://head:4222").begins(1000.0, "there is no such host", is_first=True)
    assert story(caplog) == [
        "the head (nats://head:4222) doesn't answer yet (there is no such host); trying until it does"
    ]


def test_an_outage_that_somebody_else_logs_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    silent = Outage(None, "nats://head:4222")
    silent.begins(1000.0)
    assert silent.lasts
    silent.ends()
    assert not silent.lasts
    assert story(caplog) == []
