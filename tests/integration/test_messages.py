"""Messages that are not events: heartbeats, live output, queries."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing
from functools import partial

import pytest

from bomb_kit import bomb
from distribute import limited_log
from distribute.core.errors import InputError, NobodyAnswers, Refused, Unreachable
from distribute.core.ids import BatchId, BuildId, JobId
from distribute.core.log.beats import Beat
from distribute.core.log.recorded import Guard, Recorded
from distribute.nats.broker.embedded import Broker
from distribute.nats.client import connection
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream import queries
from distribute.nats.stream.beats import MAX_BEAT_BYTES
from distribute.nats.stream.messages import Messages
from distribute.nats.stream.reader import Entry
from distribute.ports import Handler
from distribute.testing import builders as make
from integration.relay import Relay

JOB = JobId("lab", "a.b", "job 1")
WITHIN_S = 300.0


def beat(node: str, load: float) -> Beat:
    return Beat(node=node, incarnation="i", load=load)


async def test_a_reader_gets_the_last_beat_of_each_node_and_then_each_new_one(
    broker: Broker, cluster: Cluster
) -> None:
    for load in (1.0, 2.0):
        for node in ("ws1", "w.*"):
            await cluster.beats.send(beat(node, load))
    async with asyncio.timeout(WITHIN_S), aclosing(cluster.beats.follow()) as beats:
        assert {(b.node, b.load) for b in [await anext(beats), await anext(beats)]} == {
            ("ws1", 2.0),
            ("w.*", 2.0),
        }
        await cluster.beats.send(beat("ws1", 3.0))
        assert await anext(beats) == beat("ws1", 3.0)
        await broker.stop(kill=True)
        await cluster.beats.send(beat("ws1", 4.0))  # without a reader this is no error
        await broker.start()
        await cluster.connection.returned()
        await cluster.beats.send(beat("ws1", 5.0))
        while (await anext(beats)).load != 5.0:
            pass


async def test_the_last_message_is_read_once_to_find_out_that_it_is_an_event(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the submission of 100,000 jobs."""
    read: list[int] = []
    event = Messages.event

    async def counted(self: Messages, entry: Entry) -> Recorded | None:
        read.append(entry.seq)
        return await event(self, entry)

    monkeypatch.setattr(Messages, "event", counted)
    for expected in (1, 2):
        await cluster.log.append(make.submitted(make.batch(batch=f"b{expected}")), Guard(0))
        assert [await cluster.log.last_seq() for _ in range(3)] == [expected] * 3
    assert read == [1, 2]


async def test_a_beat_that_is_too_large_is_dropped(cluster: Cluster) -> None:
    """It could be read, for it has fields of a newer version; but ten thousand such would fill the memory."""
    large = b'{"node":"ws9","incarnation":"i","load":1,"mood":"%b"}' % (b"x" * MAX_BEAT_BYTES)
    await cluster.connection.request("beat.ws9", large)
    await cluster.beats.send(beat("ws1", 1.0))
    async with asyncio.timeout(WITHIN_S), aclosing(cluster.beats.follow()) as beats:
        assert (await anext(beats)).node == "ws1"
        cluster.connection.send("beat.ws9", large)
        await cluster.beats.send(beat("ws2", 1.0))
        assert (await anext(beats)).node == "ws2"


async def test_unreadable_beats_do_not_fill_the_log(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_log, "MOST", 2)
    for number in range(5):
        await cluster.connection.request(f"beat.ws{number}", b"{")
    await cluster.beats.send(beat("ws9", 1.0))
    async with asyncio.timeout(WITHIN_S), aclosing(cluster.beats.follow()) as beats:
        assert (await anext(beats)).node == "ws9"
    assert caplog.text.count("a heartbeat that can't be read") == 2


async def test_an_unreadable_beat_is_skipped_with_a_warning(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    await cluster.connection.request("beat.ws9", b'{"node":"ws9","mood":"fine"}')
    await cluster.beats.send(beat("ws1", 1.0))
    async with asyncio.timeout(WITHIN_S), aclosing(cluster.beats.follow()) as beats:
        assert (await anext(beats)).node == "ws1"
    assert "a heartbeat that can't be read" in caplog.text


async def read_until(live: AsyncIterator[bytes], end: bytes) -> bytes:
    text = b""
    async with asyncio.timeout(WITHIN_S):
        async for piece in live:
            text += piece
            if text.endswith(end):
                break
    return text


async def test_live_output_can_be_read_from_the_beginning(cluster: Cluster) -> None:
    await cluster.live.send(JOB, 1, b"one\n")
    await cluster.live.send(JOB, 2, b"of another attempt\n")
    await cluster.live.send(BuildId(BatchId("lab", "a.b"), "job 1"), 0, b"of a build\n")
    async with aclosing(cluster.live.follow(JOB, 1)) as live:
        assert await read_until(live, b"one\n") == b"one\n"
        await cluster.live.send(JOB, 1, b"two\n")
        assert await read_until(live, b"two\n") == b"two\n"


async def test_a_slow_reader_of_live_output_loses_nothing(cluster: Cluster) -> None:
    text = os.urandom(20 << 20) + b"END"
    sending = asyncio.create_task(cluster.live.send(JOB, 1, text))
    most = 0
    while not sending.done():
        most = max(most, cluster.connection.unsent_bytes)
        await asyncio.sleep(0)
    assert most < 4 << 20
    async with aclosing(cluster.live.follow(JOB, 1)) as live:
        assert await read_until(live, b"END") == text


async def test_sending_output_ends_when_the_broker_is_lost(broker: Broker, cluster: Cluster) -> None:
    async with Relay(broker.port) as relay, open_cluster(relay.address, "node") as node:
        relay.stall()
        sending = asyncio.create_task(node.live.send(JOB, 1, bytes(64 << 20)))
        await asyncio.sleep(0.2)  # long enough for the sender to block
        assert not sending.done()
        relay.cut()
        await asyncio.wait_for(sending, WITHIN_S)


async def test_queries_of_all_sizes_are_answered(broker: Broker, cluster: Cluster) -> None:
    async def double(payload: bytes) -> bytes:
        return payload * 2

    async with open_cluster(broker.address, "asker") as asker, cluster.queries.serving("double", double):
        assert await asker.queries.ask("double", b"ab") == b"abab"
        assert await asker.queries.ask("double") == b""
        noise = os.urandom(7 << 20)  # the answer is larger than any message may be
        assert await asker.queries.ask("double", noise, timeout_s=WITHIN_S) == noise * 2
        text = b"jane/sweep3 " * 100_000  # the answer is compressed
        assert await asker.queries.ask("double", text, timeout_s=WITHIN_S) == text * 2
    with pytest.raises(NobodyAnswers, match=r"no service answers to query\.double"):
        await cluster.queries.ask("double")


async def test_a_query_for_a_node_is_answered_by_that_node_alone(broker: Broker, cluster: Cluster) -> None:
    def named(name: str) -> Handler:
        async def handle(payload: bytes) -> bytes:
            return name.encode() + payload

        return handle

    ask = cluster.queries.ask
    async with (
        open_cluster(broker.address, "ws.1") as one,
        open_cluster(broker.address, "ws 2") as two,
        one.queries.serving("files", named("ws.1"), node="ws.1"),
        two.queries.serving("files", named("ws 2"), node="ws 2"),
    ):
        assert await ask("files", b"?", node="ws.1") == b"ws.1?"
        assert await ask("files", b"?", node="ws 2") == b"ws 2?"
        for node in ("ws", None, "*", ">"):
            with pytest.raises(NobodyAnswers):
                await ask("files", b"?", node=node)


async def test_no_subject_of_the_brokers_own_api_is_named_to_people(cluster: Cluster) -> None:
    with pytest.raises(NobodyAnswers) as caught:
        await cluster.connection.request("$JS.API.DIRECT.GET.NOWHERE")
    address = cluster.connection.address
    assert str(caught.value) == f"{address}: the broker's JetStream does not answer: is it switched on?"


@pytest.mark.parametrize("body", [bomb(b"\0", 1 << 30), b"no zlib", zlib.compress(b"short")[:-2]])
async def test_an_answer_that_is_damaged_or_expands_too_far_is_refused(cluster: Cluster, body: bytes) -> None:
    """Anybody who may subscribe can answer."""
    connection = cluster.connection

    def answer(subject: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
        connection.send(reply.decode(), b"z" + bytes(8) + body)

    end = connection.tap("query.bomb", answer)
    await connection.round_trip()
    with pytest.raises(Refused, match="the answer to 'bomb' is"):
        await cluster.queries.ask("bomb", timeout_s=WITHIN_S)
    end()


async def test_the_answer_of_one_of_two_services_is_returned_whole(broker: Broker, cluster: Cluster) -> None:
    """With two schedulers, for example. Each answer has several messages, and they arrive interleaved."""
    answers = {os.urandom(14 << 20) for _ in range(2)}
    async with AsyncExitStack() as stack:
        for answer in answers:
            service = await stack.enter_async_context(open_cluster(broker.address, "service"))
            await stack.enter_async_context(service.queries.serving("all", answering(answer)))
        for _ in range(5):
            assert await cluster.queries.ask("all", timeout_s=WITHIN_S) in answers


def answering(answer: bytes) -> Callable[[bytes], Coroutine[None, None, bytes]]:
    async def handle(payload: bytes) -> bytes:
        return answer

    return handle


async def test_a_slow_query_does_not_block_the_next(cluster: Cluster) -> None:
    release = asyncio.Event()

    async def slow(payload: bytes) -> bytes:
        if payload == b"slow":
            await release.wait()
        return payload

    async with cluster.queries.serving("slow", slow):
        waiting = asyncio.create_task(cluster.queries.ask("slow", b"slow", timeout_s=WITHIN_S))
        assert await cluster.queries.ask("slow", b"fast") == b"fast"
        assert not waiting.done()
        release.set()
        assert await waiting == b"slow"
        release.clear()
        with pytest.raises(Unreachable, match=r"no answer to query\.slow within 0\.1 s"):
            await cluster.queries.ask("slow", b"slow", timeout_s=0.1)


async def test_the_caller_gets_the_errors_of_a_service(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(payload: bytes) -> bytes:
        if payload:
            raise InputError("no such größe")
        raise ZeroDivisionError("a bug")

    async with cluster.queries.serving("fail", fail):
        with pytest.raises(Refused, match="no such größe"):
            await cluster.queries.ask("fail", b"x")
        with pytest.raises(Refused, match="the service's log says why"):
            await cluster.queries.ask("fail")
    assert "ZeroDivisionError" in caplog.text


async def test_a_query_is_sent_again_after_a_lost_connection(broker: Broker, cluster: Cluster) -> None:
    asked = asyncio.Event()

    async def echo(payload: bytes) -> bytes:
        asked.set()
        return payload

    async with (
        Relay(broker.port) as relay,
        open_cluster(relay.address, "asker") as asker,
        cluster.queries.serving("echo", echo),
    ):
        relay.mute()
        question = asyncio.create_task(asker.queries.ask("echo", b"hello", timeout_s=WITHIN_S))
        await asked.wait()
        relay.cut()
        assert await question == b"hello"


async def test_a_query_sent_while_the_connection_is_being_lost_is_answered_later(
    broker: Broker, cluster: Cluster
) -> None:
    """The client notices a loss some turns of the event loop before it reports it; we query in each turn."""
    lost = asyncio.Event()
    cluster.connection.on_loss(lost.set)
    questions: list[asyncio.Task[int]] = []
    async with asyncio.timeout(WITHIN_S):
        stopping = asyncio.create_task(broker.stop(kill=True))
        while not lost.is_set():
            questions.append(asyncio.create_task(cluster.log.last_seq()))
            await asyncio.sleep(0)
        await stopping
        await broker.start()
        assert set(await asyncio.gather(*questions)) == {0}


async def test_hooks_are_called_on_loss_and_return(broker: Broker, cluster: Cluster) -> None:
    told: list[str] = []
    returned = asyncio.Event()
    cluster.connection.on_loss(lambda: told.append("lost"))
    end = cluster.on_return(lambda: told.append("never"))
    end()
    cluster.on_return(returned.set)
    await broker.stop()
    await broker.start()
    await asyncio.wait_for(returned.wait(), WITHIN_S)
    assert told == ["lost"]
    assert cluster.connected


async def test_a_query_too_many_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MAX_AT_ONCE", 2)
    go_on = asyncio.Event()

    async def slow(payload: bytes) -> bytes:
        await go_on.wait()
        return payload

    async with cluster.queries.serving("slow", slow):
        ask = partial(cluster.queries.ask, "slow", timeout_s=WITHIN_S)
        asked = [asyncio.create_task(ask(b"%d" % n)) for n in range(3)]
        with pytest.raises(Refused, match="2 questions of 'slow' wait already"):
            await asked[2]
        go_on.set()
        assert [await task for task in asked[:2]] == [b"0", b"1"]
        assert await cluster.queries.ask("slow", b"again") == b"again"


async def test_only_some_answers_are_made_at_a_time(cluster: Cluster) -> None:
    at_work, most = 0, 0

    async def slow(payload: bytes) -> bytes:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await cluster.connection.round_trip()
        at_work -= 1
        return payload

    async with cluster.queries.serving("slow", slow, at_work=2):
        asked = [cluster.queries.ask("slow", b"%d" % number, timeout_s=WITHIN_S) for number in range(6)]
        assert await asyncio.gather(*asked) == [b"%d" % number for number in range(6)]
    assert most == 2


async def test_an_answer_that_is_too_large_is_given_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_ANSWER_BYTES", 2 << 20)

    async def endless(payload: bytes) -> bytes:
        return os.urandom(8 << 20)

    async with cluster.queries.serving("endless", endless):
        with pytest.raises(Refused, match=r"query\.endless: the answer is larger than 2 MiB"):
            await cluster.queries.ask("endless", timeout_s=WITHIN_S)


async def test_queries_that_fail_do_not_fill_the_log(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_log, "MOST", 2)

    async def broken(payload: bytes) -> bytes:
        raise ZeroDivisionError(payload)

    async with cluster.queries.serving("broken", broken):
        for _ in range(4):
            with pytest.raises(Refused, match="the service's log says why"):
                await cluster.queries.ask("broken")
    assert caplog.text.count("the query 'broken' failed") == 2
