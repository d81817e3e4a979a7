"""Messages in the event stream that are not events. They stop no reader; only a newer layout does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import orjson
import pytest

from bomb_kit import bomb
from distribute.codec import encode
from distribute.core.errors import Conflict, UnreadableEvent
from distribute.core.ids import JobId, NodeId, Under
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, Recorded
from distribute.nats.client.jetstream import call
from distribute.nats.cluster import Cluster
from distribute.nats.stream import layout, log, messages
from distribute.nats.stream.layout import EVENTS, Layout, read_layout
from distribute.nats.stream.reader import Entry
from distribute.nats.stream.subjects import event_subject
from distribute.ports import BEGINNING, Only
from distribute.testing import builders
from log_kit import put

WITHIN_S = 60.0
SCOPE = JobId("lab", "sweep", "job9")
SUBJECT = "ev.job.lab.sweep.job9.claimed.ws1"

BODIES = {
    "no event": b'{"hello":"world"}',
    "an unknown type": b'{"type":"teleported","v":1}',
    "a version of the future": b'{"type":"claimed","v":99}',
    "damaged": b"\x78\x9cnot zlib",
    "larger than any event": bomb(b"\0", 1 << 30),
    "nothing": b"",
    "a lone NUL": b"\0",
    "a part of none": b"\0" * 9,
    "the last of four parts, behind what are none": b"\0\0\0\0\3\0\0\0\4",
    "the last of more parts than there are messages": b"\0\0\0\0\7\0\0\0\x08",
    "the last of very many parts": b"\0\xff\xff\xff\xfe\xff\xff\xff\xff",
    "another job's event": encode(builders.claimed("job1")),
    "another node's event": encode(builders.claimed("job9", node="ws2")),
    "another type of event": encode(builders.started("job9")),
    "an event of the year 9999": orjson.dumps(
        orjson.loads(encode(builders.claimed("job9"))) | {"time": "9999-01-01T00:00:00Z"}
    ),
}
FORGED: dict[str, tuple[str, Event]] = {
    "a person's completed": ("ev.batch.lab.sweep.completed.jane", builders.completed()),
    "a release by a node": ("ev.job.lab.sweep.job1.released.ws1", builders.released(node="ws1")),
    "a finished by another node": ("ev.job.lab.sweep.job1.finished.ws2", builders.finished(node="ws1")),
    "a scheduler's kill": ("ev.batch.lab.sweep.kill_requested.scheduler", builders.kill_requested()),
}


async def claim(cluster: Cluster, first: int, count: int) -> None:
    for number in range(first, first + count):
        await cluster.log.append(builders.claimed(f"job{number}"), Guard(0))


async def seqs(log: AsyncIterator[Sequence[Recorded]]) -> list[int]:
    async with asyncio.timeout(WITHIN_S):
        return [record.seq async for records in log for record in records]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_every_reader_skips_garbage_and_counts_it_once(
    cluster: Cluster, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await claim(cluster, 0, 3)
    seq = await put(cluster, SUBJECT, body)
    await claim(cluster, 3, 3)
    assert await seqs(cluster.log.follow(after=0, until=7)) == [1, 2, 3, 5, 6, 7]
    assert await seqs(cluster.log.follow(after=3, until=7)) == [5, 6, 7]
    async with asyncio.timeout(WITHIN_S), aclosing(cluster.stream.durable("archiver")) as deliveries:
        assert [(await anext(deliveries)).recorded.seq for _ in range(6)] == [1, 2, 3, 5, 6, 7]
    with pytest.raises(KeyError):
        await cluster.log.get(seq)
    assert await cluster.log.last(SCOPE) is None
    if body != b"\0" * 9:  # a first part alone is an upload that was cut off, which is not counted
        assert cluster.log.garbage.count == 1
        assert f"sequence {seq} of the log: " in cluster.log.garbage.last
        assert caplog.text.count("passing by garbage") == 1


@pytest.mark.parametrize(("subject", "event"), FORGED.values(), ids=FORGED)
async def test_an_event_of_an_author_who_may_not_write_it_is_garbage(
    cluster: Cluster, subject: str, event: Event
) -> None:
    author = subject.rpartition(".")[2]
    forged = event.model_copy(update={"author": author})
    await put(cluster, subject, forged.__pydantic_serializer__.to_json(forged, exclude_none=True))
    await claim(cluster, 0, 1)
    assert await seqs(cluster.log.follow(after=0, until=2)) == [2]
    assert "may" in cluster.log.garbage.last


async def test_garbage_behind_the_last_event_of_a_scope_stops_no_author(cluster: Cluster) -> None:
    submitted = await cluster.log.append(builders.submitted(), Guard(0))
    seq = await cluster.log.append(builders.assigned(), Guard(0))
    for number in range(3):
        await put(cluster, "ev.job.lab.sweep.job1.claimed.ws1", b"garbage %d" % number)
    await put(cluster, "ev.what.lab.sweep.is.this", b"{}")
    found = await cluster.log.last(JobId("lab", "sweep", "job1"))
    assert found is not None
    assert found.seq == seq
    assert await cluster.log.last_seq() == seq
    claimed = await cluster.log.append(builders.claimed(), Guard(seq))
    await put(cluster, "ev.job.lab.sweep.job1.claimed.ws1", b"garbage")
    # Behind garbage we still find conflicts, and the event that was appended before.
    with pytest.raises(Conflict) as conflict:
        await cluster.log.append(builders.claimed(), Guard(seq))
    # Nobody reads garbage, so nobody may wait for it.
    assert conflict.value.beaten_by_seq == claimed < conflict.value.last_seq
    event = builders.finished()
    finished = await cluster.log.append(event, Guard(claimed))
    assert await cluster.log.append(event, Guard(claimed)) == finished
    with pytest.raises(Conflict):
        await cluster.log.append(builders.completed(), Guard(submitted))
    await cluster.log.append(builders.completed(), Guard(finished))


async def test_an_event_stored_behind_garbage_is_found_again(cluster: Cluster) -> None:
    """The answer to its first append was lost, and it was stored behind garbage."""
    await put(cluster, event_subject(builders.joined("ws1")), b"garbage")
    event = builders.joined("ws1")
    seq = await cluster.log.append(event, Guard(0))
    assert await cluster.log.append(event, Guard(0)) == seq
    last = await cluster.log.last(NodeId("ws1"))
    assert last is not None
    assert last.seq == seq


async def test_the_last_event_is_found_behind_much_garbage(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log, "_LOOKED_BACK", 20)
    await claim(cluster, 0, 2)
    for number in range(150):
        await put(cluster, "ev.batch.lab.sweep.submitted.jane", b"%d" % number)
    assert await cluster.log.last_seq() == 2
    assert await cluster.log.end() == (2, (await cluster.log.get(2)).time)
    assert await cluster.log.last(Under(builders.batch().id)) == await cluster.log.get(2)
    assert cluster.log.garbage.count == 150
    assert caplog.text.count("passing by garbage") == 100  # so that garbage can't fill a disk with log lines


async def test_the_last_event_is_found_after_those_behind_it_were_removed(cluster: Cluster) -> None:
    await claim(cluster, 0, 3)
    for seq in (3, 2):
        await call(cluster.connection, f"STREAM.MSG.DELETE.{EVENTS}", {"seq": seq})
        assert await cluster.log.last_seq() == seq - 1
    await call(cluster.connection, f"STREAM.MSG.DELETE.{EVENTS}", {"seq": 1})
    assert await cluster.log.end() == BEGINNING
    await claim(cluster, 3, 1)
    assert await cluster.log.last_seq() == 4


async def test_behind_garbage_the_last_event_is_looked_for_from_the_last_known_one_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise anyone could make every query read thousands of messages."""
    await claim(cluster, 0, 5)
    assert await cluster.log.last_seq() == 5
    await put(cluster, SUBJECT, b"garbage")
    read_after: list[int] = []
    sound = log.read

    def watched(*of: Any, after: int, **more: Any) -> AsyncGenerator[list[Entry], None]:
        read_after.append(after)
        return sound(*of, after=after, **more)

    monkeypatch.setattr(log, "read", watched)
    assert await cluster.log.last_seq() == 5
    assert read_after == [4]


# --- newer layouts ---------------------------------------------------------------------------------


async def raise_layout(cluster: Cluster, number: int) -> None:
    """Raise the layout, as the head of a newer distribute does."""
    found = await read_layout(cluster.connection)
    assert found is not None
    raised = Layout(number, found.raised_at | {number: found.as_of_seq})
    config = (await call(cluster.connection, f"STREAM.INFO.{EVENTS}"))["config"]
    config["metadata"] |= raised.metadata()
    await call(cluster.connection, f"STREAM.UPDATE.{EVENTS}", config)


async def test_an_unreadable_message_stops_readers_only_behind_a_newer_layout(cluster: Cluster) -> None:
    await claim(cluster, 0, 1)
    await put(cluster, SUBJECT, b'{"type":"teleported","v":1}')
    assert await seqs(cluster.log.follow(after=0, until=2)) == [1]
    await raise_layout(cluster, layout.LAYOUT + 1)
    await claim(cluster, 1, 1)
    newer = await put(cluster, SUBJECT, b'{"type":"teleported","v":1}')
    read: list[int] = []

    async def follow() -> None:
        async for records in cluster.log.follow(after=0, until=newer):
            read.extend(record.seq for record in records)

    remedy = rf"sequence {newer} of the log: .*'teleported'.* layout is {layout.LAYOUT + 1}.*upgrade"
    with pytest.raises(UnreadableEvent, match=remedy):
        await asyncio.wait_for(follow(), WITHIN_S)
    assert read == [1, 3]  # messages before the raise stay garbage
    for question in (cluster.log.get(newer), cluster.log.last(SCOPE), cluster.log.last_seq()):
        with pytest.raises(UnreadableEvent, match=remedy):
            await question
    # An event on that scope waits for a distribute that can read what lies there.
    with pytest.raises(Conflict):
        await cluster.log.append(builders.claimed("job9"), Guard(0))


async def test_a_durable_reader_does_not_acknowledge_events_of_a_newer_layout(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await raise_layout(cluster, layout.LAYOUT + 1)
    await put(cluster, SUBJECT, b'{"type":"teleported","v":1}')
    with pytest.raises(UnreadableEvent, match="upgrade distribute"):
        async with asyncio.timeout(WITHIN_S), aclosing(cluster.stream.durable("archiver")) as deliveries:
            await anext(deliveries)
    # The upgraded reader can't read it either, so it is garbage.
    monkeypatch.setattr(messages, "LAYOUT", layout.LAYOUT + 1)
    seq = await cluster.log.append(builders.joined(), Guard(0))
    async with asyncio.timeout(WITHIN_S), aclosing(cluster.stream.durable("archiver", Only())) as deliveries:
        assert (await anext(deliveries)).recorded.seq == seq
