"""Every event is appended once, whatever happens to the broker, the network and the answers."""

from __future__ import annotations

import asyncio
import base64
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing
from itertools import count
from pathlib import Path

import pytest

from distribute.core.errors import Conflict, Refused, StorageFull, Unreachable
from distribute.core.ids import BatchId, JobId, Under
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard
from distribute.core.spec.specs import BatchSpec
from distribute.nats.broker.embedded import Broker
from distribute.nats.client.connect import Address, connect
from distribute.nats.client.jetstream import call
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream import outgoing
from distribute.nats.stream import publisher as publishing
from distribute.nats.stream.layout import EVENTS
from distribute.nats.stream.log import JetStreamLog
from distribute.nats.stream.provision import bucket_stream, provision
from distribute.nats.stream.publisher import Publisher
from distribute.testing import builders
from integration.relay import Relay
from integration.standstill import standing_still

ANSWERED_WITHIN_S = 60.0


def claims(jobs: int) -> list[Event]:
    return [builders.claimed(f"job{number}") for number in range(jobs)]


async def stored(cluster: Cluster) -> list[Event]:
    last = await cluster.log.last_seq()
    return [record.event async for records in cluster.log.follow(after=0, until=last) for record in records]


async def answers(futures: Iterable[asyncio.Future[int]]) -> list[int]:
    return await asyncio.wait_for(asyncio.gather(*futures), ANSWERED_WITHIN_S)


async def test_pipelined_appends_get_their_own_sequences(cluster: Cluster) -> None:
    events = claims(2000)
    seqs = await answers([cluster.log.append(event, Guard(0)) for event in events])
    assert seqs == list(range(1, 2001))
    assert await stored(cluster) == events
    assert cluster.stream.unanswered == 0


async def test_a_second_writer_of_a_scope_gets_a_conflict(cluster: Cluster) -> None:
    first = await cluster.log.append(builders.assigned(), Guard(0))
    with pytest.raises(Conflict) as conflict:
        await cluster.log.append(builders.assigned(), Guard(0))
    assert conflict.value.last_seq == first
    assert await cluster.log.append(builders.claimed(), Guard(first)) == first + 1


async def test_the_end_of_a_batch_is_refused_if_any_event_under_the_batch_came_between(
    broker: Broker, cluster: Cluster
) -> None:
    """For example, an assignment that the author has not read."""
    sweep = Under(builders.batch().id)
    submitted = await cluster.log.append(builders.submitted(), Guard(0))
    await cluster.log.append(builders.submitted(builders.batch(batch="other")), Guard(0))
    completed = builders.completed(state="killed")
    async with open_cluster(broker.address, "another scheduler") as other:
        assigned = await other.log.append(builders.assigned(), Guard(0))
    with pytest.raises(Conflict) as conflict:
        await cluster.log.append(completed, Guard(submitted))
    assert (conflict.value.scope, conflict.value.last_seq) == (sweep, assigned)
    await cluster.log.append(builders.joined(), Guard(0))
    seq = await cluster.log.append(completed, Guard(assigned))
    assert await cluster.log.last(sweep) == await cluster.log.get(seq)
    # Appended again behind events of its own and of other scopes, it keeps its sequence.
    await cluster.log.append(builders.retry_requested(), Guard(seq))
    await cluster.log.append(builders.assigned("job2"), Guard(0))
    assert await cluster.log.append(completed, Guard(assigned)) == seq


async def test_a_node_with_the_name_of_the_namespace_is_not_under_the_batch(cluster: Cluster) -> None:
    spec = builders.batch(namespace="ws1", batch="joined")
    seq = await cluster.log.append(builders.submitted(spec), Guard(0))
    await cluster.log.append(builders.joined("ws1"), Guard(0))
    await cluster.log.append(builders.completed(spec), Guard(seq))


async def test_one_of_twenty_racing_writers_wins(broker: Broker, cluster: Cluster) -> None:
    async with AsyncExitStack() as stack:
        writers = [
            await stack.enter_async_context(open_cluster(broker.address, f"writer {number}"))
            for number in range(20)
        ]
        results = await asyncio.gather(
            *(
                writer.log.append(builders.assigned(node=f"ws{n}"), Guard(0))
                for n, writer in enumerate(writers)
            ),
            return_exceptions=True,
        )
    kinds = Counter(type(result) for result in results)
    assert kinds == {int: 1, Conflict: 19}
    assert len(await stored(cluster)) == 1


async def test_events_of_a_deleted_batch_of_the_same_name_do_not_count(cluster: Cluster) -> None:
    old = await cluster.log.append(builders.assigned(), Guard(0))
    since = await cluster.log.append(builders.deleted(), Guard(old))
    event = builders.assigned()
    new = await cluster.log.append(event, Guard(0, since=since))
    assert new > since > old
    with pytest.raises(Conflict):
        await cluster.log.append(builders.assigned(), Guard(0, since=since))
    assert await cluster.log.append(event, Guard(0, since=since)) == new


async def test_appending_an_event_again_returns_its_sequence(cluster: Cluster) -> None:
    event = builders.assigned()
    seq = await cluster.log.append(event, Guard(0))
    later = await cluster.log.append(builders.claimed(), Guard(seq))
    await cluster.log.append(builders.started(), Guard(later))
    # Other events were stored since, and the answer is still the same.
    assert await cluster.log.append(event, Guard(0)) == seq


async def test_events_whose_answers_are_lost_are_stored_once(broker: Broker, cluster: Cluster) -> None:
    async with Relay(broker.port) as relay, open_cluster(relay.address, "behind the relay") as writer:
        events = claims(200)  # the maximum number in flight
        relay.mute()
        futures = [writer.log.append(event, Guard(0)) for event in events]
        seen = 0
        async with aclosing(cluster.log.follow(after=0)) as following:
            while seen < 200:
                seen += len(await anext(following))
        # One of them is not the last event of its scope any more.
        await cluster.log.append(builders.released("job7"), Guard(8))
        assert not any(future.done() for future in futures)
        relay.cut()
        assert await answers(futures) == list(range(1, 201))
    assert await cluster.log.last_seq() == 201


async def test_an_event_whose_answer_is_lost_on_a_live_connection_is_sent_again(
    broker: Broker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time, a warning says that the answer is late."""
    monkeypatch.setattr(outgoing, "ANSWER_TIMEOUT_S", 0.2)
    async with Relay(broker.port) as relay, open_cluster(relay.address, "behind the relay") as writer:
        for seq in (1, 2):
            relay.mute()
            future = writer.log.append(builders.claimed(f"job{seq}"), Guard(0))
            await said(caplog, "doesn't answer since", times=seq)
            relay.unmute()
            assert await answers([future]) == [seq]
            await said(caplog, "answers again", times=seq)


async def said(caplog: pytest.LogCaptureFixture, words: str, *, times: int) -> None:
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        while sum(words in record.getMessage() for record in caplog.records) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_appends_outlive_brokers_that_are_killed(broker: Broker, cluster: Cluster) -> None:
    events = claims(6000)
    futures = [cluster.log.append(event, Guard(0)) for event in events]
    for part in (0.1, 0.4, 0.7):
        await asyncio.wait_for(futures[int(part * len(futures))], ANSWERED_WITHIN_S)
        await broker.stop(kill=True)
        await broker.start()
    seqs = await answers(futures)
    assert len(set(seqs)) == len(events)
    assert [event.id for event in await stored(cluster)] == [
        event.id for _, event in sorted(zip(seqs, events, strict=True), key=lambda pair: pair[0])
    ]


async def test_appends_outlive_a_broker_that_hangs(broker: Broker, cluster: Cluster) -> None:
    events = claims(3000)
    futures = [cluster.log.append(event, Guard(0)) for event in events]
    await futures[10]
    with standing_still(broker):
        late = cluster.log.append(builders.claimed("late"), Guard(0))
        await asyncio.sleep(0.5)  # the test is about this standstill
        assert not late.done()
    await answers([*futures, late])
    assert [event.id for event in await stored(cluster)][:-1] == [event.id for event in events]


async def test_appends_wait_for_a_broker_that_is_away(broker: Broker, cluster: Cluster) -> None:
    await broker.stop()
    futures = [cluster.log.append(event, Guard(0)) for event in claims(50)]
    await broker.start()
    assert await answers(futures) == list(range(1, 51))
    assert cluster.stream.unanswered == 0


@pytest.mark.parametrize("is_outage", [False, True])
async def test_appends_wait_for_the_stream(broker: Broker, is_outage: bool) -> None:
    """Afterwards, the pause before a second try is short again."""
    connection = await connect(broker.address, "early")
    publisher = Publisher(connection)
    if is_outage:
        connection.outage.begins(0.0)
    future = JetStreamLog(connection, publisher).append(builders.claimed(), Guard(0))
    await connection.request("$JS.API.INFO")  # the append was answered before this was
    assert not future.done()
    assert publisher._retry_delay_s > publishing._FIRST_RETRY_S
    await provision(connection)
    assert await answers([future]) == [1]
    assert publisher._retry_delay_s == publishing._FIRST_RETRY_S
    await publisher.close()
    await connection.close()


async def test_closing_fails_unanswered_appends(broker: Broker) -> None:
    async with open_cluster(broker.address, "closing", provisioning=True) as cluster:
        await broker.stop()
        future = cluster.log.append(builders.claimed(), Guard(0))
    with pytest.raises(Unreachable, match="closed before"):
        await future
    with pytest.raises(Unreachable, match="closed before"):
        await cluster.log.append(builders.claimed(), Guard(0))


def incompressible(megabytes: int) -> BatchSpec:
    """A batch whose specification can't be compressed below this size."""
    return builders.batch(1, env={"NOISE": base64.b64encode(os.urandom(megabytes << 20)).decode()})


@pytest.fixture
async def modest_cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster whose broker accepts messages of up to 1 MiB."""
    modest = Broker(tmp_path / "modest", sync_always=False, die_with_parent=True, extra="max_payload: 1MB")
    async with modest, open_cluster(modest.address, "test", provisioning=True) as fresh:
        yield fresh


async def test_an_event_too_large_for_one_message_is_stored_whole(modest_cluster: Cluster) -> None:
    cluster = modest_cluster
    before = await cluster.log.append(builders.claimed("other"), Guard(0))
    big = builders.submitted(incompressible(3))
    seq = await cluster.log.append(big, Guard(0))
    assert seq - before == 4  # messages
    after = await cluster.log.append(builders.kill_requested(), Guard(seq))
    assert await stored(cluster) == [
        (await cluster.log.get(before)).event,
        big,
        (await cluster.log.get(after)).event,
    ]
    assert (await cluster.log.get(seq)).event == big
    last_submission = await cluster.log.last(big.scope, "submitted")
    assert last_submission is not None
    assert last_submission.seq == seq
    # It is guarded like any other event, and a repeated append finds it.
    assert await cluster.log.append(big, Guard(0)) == seq
    with pytest.raises(Conflict):
        await cluster.log.append(builders.submitted(incompressible(2)), Guard(0))


async def test_a_large_event_outlives_a_broker_that_is_killed(broker: Broker, cluster: Cluster) -> None:
    big = builders.submitted(incompressible(9))
    small = claims(100)
    futures = [cluster.log.append(event, Guard(0)) for event in (*small, big)]
    await futures[50]
    await broker.stop(kill=True)
    await broker.start()
    await answers(futures)
    assert await stored(cluster) == [*small, big]


async def test_a_forbidden_append_is_refused_at_once(tmp_path: Path) -> None:
    permissions = """
        authorization { users: [
            { user: head, password: secret }
            { user: jane, password: secret, permissions: { publish: { deny: ["ev.node.>"] } } }
        ] }"""
    async with Broker(
        tmp_path / "broker", sync_always=False, die_with_parent=True, extra=permissions
    ) as broker:

        def address(user: str) -> Address:
            return Address.of(f"nats://{user}:secret@127.0.0.1:{broker.port}")

        async with (
            open_cluster(address("head"), "head", provisioning=True) as head,
            open_cluster(address("jane"), "jane") as jane,
        ):
            fine = jane.log.append(builders.claimed(), Guard(0))
            with pytest.raises(Refused, match=r"ev\.node\.ws1\.joined\.ws1"):
                await asyncio.wait_for(jane.log.append(builders.joined(), Guard(0)), ANSWERED_WITHIN_S)
            assert await fine == 1
            assert await head.log.last_seq() == 1
            assert jane.connected


@pytest.fixture
async def small_broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker with room for 8 MiB."""
    small = Broker(tmp_path / "small", sync_always=False, max_file_store_bytes=8 << 20, die_with_parent=True)
    async with small as running:
        yield running


async def fill(publisher: Publisher) -> None:
    """Store chunks until cancelled."""
    for number in count():
        await publisher.publish(
            "$O.results.C.ws1.x", bytes(256 << 10), message_id=f"chunk {number}", patient=False
        )


async def test_an_append_waits_for_a_full_broker(
    small_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await connect(small_broker.address, "filling")
    await provision(connection, logs_max_bytes=1 << 20)
    publisher = Publisher(connection)
    log = JetStreamLog(connection, publisher)
    accepted = await log.append(builders.claimed("first"), Guard(0))
    with pytest.raises(StorageFull, match="no room"):
        await fill(publisher)
    futures = [
        log.append(builders.submitted(incompressible(2)), Guard(0)),
        *(log.append(e, Guard(0)) for e in claims(5)),
    ]
    await asyncio.sleep(0.3)  # long enough to be refused more than once
    assert not futures[0].done()
    await call(connection, f"STREAM.PURGE.{bucket_stream('results')}")
    await answers(futures)
    assert (await log.get(accepted)).event.scope == JobId("lab", "sweep", "first")
    assert len([r for r in caplog.records if "does not take" in r.getMessage()]) == 1
    await publisher.close()
    await connection.close()


async def test_a_message_that_no_stream_takes_is_refused(cluster: Cluster) -> None:
    await call(cluster.connection, f"STREAM.UPDATE.{EVENTS}", await _config(cluster) | {"max_msg_size": 100})
    with pytest.raises(Refused, match="size"):
        await cluster.log.append(builders.claimed(), Guard(0))


async def _config(cluster: Cluster) -> dict[str, object]:
    return dict((await call(cluster.connection, f"STREAM.INFO.{EVENTS}"))["config"])


async def test_names_of_all_kinds_are_scopes_of_their_own(cluster: Cluster) -> None:
    names = ["a.b", "a", "*", ">", "a b", "a\nb", "größe", "%2A", "a" * 255, "\N{GRINNING FACE}" * 63]
    scopes = [JobId("lab", "s.*", name) for name in names]
    for scope in scopes:
        assert await cluster.log.last(scope) is None
        await cluster.log.append(builders.claimed(scope), Guard(0))
    for scope in scopes:
        last = await cluster.log.last(scope)
        assert last is not None
        assert last.event.scope == scope
    assert await cluster.log.last(BatchId("lab", "s.*")) is None


async def test_a_message_too_many_fails_at_once(
    broker: Broker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_WAITING", 2)
    monkeypatch.setattr(publishing, "MAX_IN_FLIGHT", 1)
    events = [builders.submitted(builders.batch(batch=f"b{number}")) for number in range(4)]
    futures = [cluster.log.append(event, Guard(0)) for event in events]
    with pytest.raises(Unreachable, match=r"too many messages wait for the broker already \(2\)"):
        await futures[3]
    assert [await future for future in futures[:3]] == [1, 2, 3]


async def test_too_many_bytes_fail_at_once_but_one_large_message_may_wait(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_WAITING_BYTES", 1000)
    monkeypatch.setattr(publishing, "MAX_IN_FLIGHT", 1)
    large = builders.submitted(builders.batch(30, batch="large"))
    small = [builders.submitted(builders.batch(batch=f"b{number}")) for number in range(2)]
    futures = [cluster.log.append(event, Guard(0)) for event in (small[0], large, small[1])]
    with pytest.raises(Unreachable, match=r"too many messages wait for the broker already \(1\)"):
        await futures[2]
    assert [await future for future in futures[:2]] == [1, 2]
    assert await cluster.log.append(small[1], Guard(0)) == 3
