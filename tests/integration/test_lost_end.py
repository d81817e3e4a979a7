"""A killed broker loses acknowledged events, and their authors append them again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from distribute import acknowledged
from distribute.core.errors import Conflict, LogReplaced
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard
from distribute.nats.broker.embedded import Broker
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import call
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream import log
from distribute.nats.stream.layout import EVENTS
from distribute.ports import Only
from distribute.testing import builders

WITHIN_S = 60.0


async def lose_end(broker: Broker, events: int) -> None:
    """Kill the broker, tear the last records off the stream's last block, and start it again."""
    await broker.stop(kill=True)
    folder = broker.folder / "jetstream" / "jetstream" / "$G" / "streams" / EVENTS / "msgs"
    block = max(folder.glob("*.blk"), key=lambda path: int(path.stem))
    data = block.read_bytes()
    ends = record_ends(data)
    assert len(ends) > events
    # A few bytes of the first lost record stay, like a write that a power cut has torn.
    block.write_bytes(data[: ends[-events - 1] + 7])
    (folder / "index.db").unlink(missing_ok=True)
    await broker.start()


def record_ends(data: bytes) -> list[int]:
    """Where each record of a block ends. A record begins with its length; the highest bit means headers."""
    ends, at = [], 0
    while at < len(data):
        at += int.from_bytes(data[at : at + 4], "little") & 0x7FFFFFFF
        ends.append(at)
    return ends


async def stored(cluster: Cluster) -> list[Event]:
    last = await cluster.log.last_seq()
    return [one.event async for records in cluster.log.follow(after=0, until=last) for one in records]


@asynccontextmanager
async def other_author(broker: Broker) -> AsyncIterator[Cluster]:
    async with open_cluster(broker.address, "another author") as cluster:
        yield cluster


def let_another_come_first(
    broker: Broker, event: Event, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have another author append an event before the first author asks what the log has lost."""
    end_of = log.end_of

    async def end_after_another_appended(connection: Connection, stream: str) -> int:
        monkeypatch.setattr(log, "end_of", end_of)
        async with other_author(broker) as author:
            await author.log.append(event, guard)
        return await end_of(connection, stream)

    monkeypatch.setattr(log, "end_of", end_after_another_appended)


async def everything_is_said_again(cluster: Cluster, events: list[Event]) -> None:
    """Poll the log until all of these events are in it."""
    async with asyncio.timeout(WITHIN_S):
        while {event.id for event in await stored(cluster)} != {event.id for event in events}:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_acknowledged_events_that_a_killed_broker_lost_are_appended_again_in_order(
    broker: Broker, cluster: Cluster
) -> None:
    story = [
        builders.submitted(),
        builders.joined(),
        builders.assigned(),
        builders.claimed(),
        builders.started(),
    ]
    seqs = [0]
    for event, guard in zip(story, (0, 0, 0, 3, 4), strict=True):
        seqs.append(await cluster.log.append(event, Guard(guard)))
    await lose_end(broker, 3)
    # The guard of the scope's next event names an event that has another sequence by then.
    finished = builders.finished()
    seq = await asyncio.wait_for(cluster.log.append(finished, Guard(seqs[5])), WITHIN_S)
    assert await stored(cluster) == [*story, finished]
    assert seq == 6
    with pytest.raises(Conflict):
        await cluster.log.append(builders.finished(), Guard(seqs[5]))


async def test_each_author_appends_its_own_lost_events_again(broker: Broker, cluster: Cluster) -> None:
    async with other_author(broker) as node:
        story: list[Event] = [builders.joined(), builders.assigned(), builders.claimed()]
        story[2] = story[2].model_copy(update={"causation": story[1].id})  # else the scheduler decides again
        await node.log.append(story[0], Guard(0))
        assigned = await cluster.log.append(story[1], Guard(0))
        await node.log.append(story[2], Guard(assigned))
        await lose_end(broker, 2)
        await everything_is_said_again(cluster, story)
        # The order of the two authors is chance; each event follows the then last one of its scope.
        assert (await stored(cluster))[0] == story[0]


async def test_a_loss_is_noticed_although_another_author_took_the_sequence(
    broker: Broker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two requests about the lost event, another author appends one, which takes its sequence."""
    story = [builders.joined(), builders.claimed()]
    await cluster.log.append(story[0], Guard(0))
    await cluster.log.append(story[1], Guard(0))
    other = builders.joined("ws2")
    let_another_come_first(broker, other, Guard(0), monkeypatch)
    await lose_end(broker, 1)
    await everything_is_said_again(cluster, [*story, other])


async def test_a_guard_is_refused_if_another_event_came_before_the_one_appended_again(
    broker: Broker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The author has not read that other event, although its own event lies behind it."""
    for event, guard in ((builders.assigned(), 0), (builders.claimed(), 1)):
        await cluster.log.append(event, Guard(guard))
    released = builders.released(reason="unclaimed")
    let_another_come_first(broker, released, Guard(1), monkeypatch)
    await lose_end(broker, 1)
    with pytest.raises(Conflict):
        await asyncio.wait_for(cluster.log.append(builders.started(), Guard(2)), WITHIN_S)
    assert [event.type for event in await stored(cluster)] == ["assigned", "released", "claimed"]


@pytest.mark.parametrize("decision", [builders.released(reason="killed"), builders.completed()])
async def test_a_scheduler_decides_again_if_a_node_claims_the_job_before_the_decision_is_back(
    broker: Broker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, decision: Event
) -> None:
    """Behind the claim, the decision would be wrong. So its author reads the log, and begins anew."""
    submitted, assigned, claimed = builders.submitted(), builders.assigned(), builders.claimed()
    await cluster.log.append(submitted, Guard(0))
    await cluster.log.append(assigned, Guard(0))
    reading = asyncio.create_task(read_all(cluster))
    await cluster.log.append(decision, Guard(2))
    let_another_come_first(broker, claimed, Guard(2), monkeypatch)
    await lose_end(broker, 1)
    with pytest.raises(LogReplaced):
        await asyncio.wait_for(reading, WITHIN_S)
    assert await stored(cluster) == [submitted, assigned, claimed]


async def read_all(cluster: Cluster) -> None:
    async for _ in cluster.log.follow(after=0):
        pass


async def test_a_guard_on_another_authors_lost_event_is_no_conflict(broker: Broker, cluster: Cluster) -> None:
    async with other_author(broker) as scheduler:
        await scheduler.log.append(builders.joined("ws9"), Guard(0))
        assigned = await scheduler.log.append(builders.assigned(), Guard(0))
    await lose_end(broker, 1)  # its author is gone, so it is not appended again
    with pytest.raises(LogReplaced, match="the log has lost its end, or was restored from an older copy"):
        await asyncio.wait_for(cluster.log.append(builders.claimed(), Guard(assigned)), WITHIN_S)


async def test_a_log_that_lost_more_than_the_author_remembers_is_another_log(
    broker: Broker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledged, "MAX_REMEMBERED", 5)
    await cluster.log.append(builders.joined("ws1"), Guard(0))
    await put_back_after(broker, tmp_path / "copy", lambda: claim(cluster, 8))
    with pytest.raises(LogReplaced):
        await asyncio.wait_for(cluster.log.append(builders.started("job7"), Guard(9)), WITHIN_S)
    with pytest.raises(LogReplaced, match="since then more than it remembers"):
        await cluster.log.append(builders.joined("ws2"), Guard(0))
    assert await cluster.log.last_seq() == 1


async def test_a_reader_of_an_author_whose_log_was_replaced_is_told_although_it_misses_nothing(
    broker: Broker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had read nothing of what is lost. An author that has no more to say would never begin anew."""
    monkeypatch.setattr(acknowledged, "MAX_REMEMBERED", 2)
    first = builders.joined("ws1")
    await cluster.log.append(first, Guard(0))
    only = Only(scope=first.scope)
    async with aclosing(cluster.log.follow(after=0, only=only)) as following:
        assert [recorded.event for recorded in await anext(following)] == [first]
        await put_back_after(broker, tmp_path / "copy", lambda: claim(cluster, 5))
        with pytest.raises(LogReplaced, match="since then more than it remembers"):
            await asyncio.wait_for(anext(following), WITHIN_S)
    cluster.log.begin_anew()
    assert await asyncio.wait_for(cluster.log.append(builders.left("ws1"), Guard(1)), WITHIN_S) == 2


async def test_an_event_that_an_admin_removed_is_not_appended_again(broker: Broker, cluster: Cluster) -> None:
    await cluster.log.append(builders.joined("ws1"), Guard(0))
    seq = await cluster.log.append(builders.joined("ws2"), Guard(0))
    await call(cluster.connection, f"STREAM.MSG.DELETE.{EVENTS}", {"seq": seq})
    await broker.stop()
    await broker.start()
    await asyncio.wait_for(cluster.log.append(builders.left("ws1"), Guard(1)), WITHIN_S)
    assert [event.type for event in await stored(cluster)] == ["joined", "left"]


async def test_a_reader_that_has_read_nothing_since_it_began_notices_that_the_log_is_another_one(
    broker: Broker, cluster: Cluster
) -> None:
    """By the time of what was read before; its sequence has another event by then."""
    await cluster.log.append(builders.joined(), Guard(0))
    async with other_author(broker) as author:
        read = await author.log.get(await author.log.append(builders.claimed(), Guard(0)))
    await lose_end(broker, 1)
    for job in ("job2", "job3"):
        await asyncio.wait_for(cluster.log.append(builders.claimed(job), Guard(0)), WITHIN_S)
    with pytest.raises(LogReplaced):
        async for _ in cluster.log.follow(after=read.seq, at=read.time):
            pass


async def test_an_author_that_begins_anew_appends_to_the_present_log(
    broker: Broker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledged, "MAX_REMEMBERED", 3)
    first = builders.joined("ws1")
    await cluster.log.append(first, Guard(0))
    cluster.log.begin_anew()  # changes nothing: the log is the one it was
    await put_back_after(broker, tmp_path / "copy", lambda: claim(cluster, 6))
    with pytest.raises(LogReplaced):
        await asyncio.wait_for(cluster.log.append(builders.started("job5"), Guard(7)), WITHIN_S)
    cluster.log.begin_anew()
    second = builders.claimed("job5")
    assert await asyncio.wait_for(cluster.log.append(second, Guard(0)), WITHIN_S) == 2
    # From now on it remembers what it says to this log, and nothing else.
    await lose_end(broker, 1)
    await everything_is_said_again(cluster, [first, second])


async def claim(cluster: Cluster, count: int) -> None:
    for number in range(count):
        await asyncio.wait_for(cluster.log.append(builders.claimed(f"job{number}"), Guard(0)), WITHIN_S)


async def put_back_after(broker: Broker, copy: Path, write: Callable[[], Awaitable[None]]) -> None:
    """Copy what the broker has, let something be written, and put the copy back."""
    store = broker.folder / "jetstream"
    await broker.stop()
    shutil.copytree(store, copy)
    await broker.start()
    await write()
    await broker.stop()
    shutil.rmtree(store)
    shutil.copytree(copy, store)
    await broker.start()
