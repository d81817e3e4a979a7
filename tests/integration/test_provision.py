"""The layout of a cluster, and clusters of other versions."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest

from distribute.core.errors import Refused, StorageFull, Unreachable
from distribute.core.log.beats import Beat
from distribute.core.log.recorded import Guard
from distribute.nats.broker.embedded import Broker
from distribute.nats.client.connect import Address, connect
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import call
from distribute.nats.client.patience import patiently
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.stream import migrations
from distribute.nats.stream import provision as provisioning
from distribute.nats.stream.layout import EVENTS, LAYOUT, read_layout
from distribute.nats.stream.provision import (
    BEATS,
    LOGS,
    LOGS_MAX_BYTES,
    LOGS_MIN_BYTES,
    NEEDED_BYTES,
    check_layout,
    provision,
)
from distribute.testing import builders
from ports_kit import free_ports

WITHIN_S = 60.0


async def config_of(cluster: Cluster, stream: str) -> dict[str, Any]:
    asked = cluster.connection
    return dict((await patiently(asked, lambda: call(asked, f"STREAM.INFO.{stream}")))["config"])


async def set_layout(cluster: Cluster, version: str) -> None:
    config = await config_of(cluster, EVENTS)
    config["metadata"]["distribute_layout"] = version
    await call(cluster.connection, f"STREAM.UPDATE.{EVENTS}", config)


async def number_of(cluster: Cluster) -> int | None:
    layout = await read_layout(cluster.connection)
    return layout.number if layout is not None else None


async def test_provisioning_again_changes_nothing(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    seq = await cluster.log.append(builders.claimed(), Guard(0))
    before = await call(cluster.connection, "STREAM.LIST")
    with caplog.at_level("INFO", logger=provisioning.__name__):
        await provision(cluster.connection)
    assert not caplog.records
    after = await call(cluster.connection, "STREAM.LIST")
    assert [stream["config"] for stream in after["streams"]] == [
        stream["config"] for stream in before["streams"]
    ]
    assert await cluster.log.last_seq() == seq
    assert await number_of(cluster) == LAYOUT


async def test_missing_or_changed_streams_are_restored(cluster: Cluster) -> None:
    await call(cluster.connection, f"STREAM.DELETE.{BEATS}")
    logs = await config_of(cluster, LOGS)
    await call(cluster.connection, f"STREAM.UPDATE.{LOGS}", logs | {"max_age": 200_000_000_000})
    await provision(cluster.connection)
    assert (await config_of(cluster, LOGS))["max_age"] == logs["max_age"]
    assert (await config_of(cluster, BEATS))["max_msgs_per_subject"] == 1


async def test_every_stream_outlives_a_restart(broker: Broker, cluster: Cluster) -> None:
    before = (await call(cluster.connection, "STREAM.NAMES"))["streams"]
    await broker.stop()
    await broker.start()
    assert (await call(cluster.connection, "STREAM.NAMES"))["streams"] == before
    assert {EVENTS, BEATS, LOGS, "OBJ_inputs", "OBJ_results", "OBJ_snapshots"} == set(before)


async def test_a_newer_cluster_is_refused_and_left_alone(broker: Broker, cluster: Cluster) -> None:
    await set_layout(cluster, str(LAYOUT + 1))
    with pytest.raises(Refused, match="upgrade distribute on this computer"):
        await check_layout(cluster.connection)
    for make in (False, True):
        with pytest.raises(Refused, match="upgrade distribute on this computer"):
            async with open_cluster(broker.address, "other", provisioning=make):
                pass
    assert await number_of(cluster) == LAYOUT + 1


async def test_an_older_cluster_is_refused_by_nodes_and_migrated_by_the_head(
    broker: Broker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upgraded head goes on with its old log: a head that is upgraded first must not lock itself out."""
    seq = await cluster.log.append(builders.claimed(), Guard(0))
    run: list[int] = []

    def migration(number: int) -> migrations.Migration:
        async def migrate(connection: Connection) -> None:
            run.append(number)
            assert await number_of(cluster) == LAYOUT  # raised only after all migrations

        return migrate

    monkeypatch.setattr(provisioning, "LAYOUT", LAYOUT + 3)
    steps = {number: migration(number) for number in (LAYOUT, LAYOUT + 3, LAYOUT + 1, LAYOUT + 4)}
    monkeypatch.setattr(provisioning, "MIGRATIONS", steps)
    with pytest.raises(Refused, match="upgrade the cluster's head first"):
        async with open_cluster(broker.address, "a node, upgraded first"):
            pass
    async with open_cluster(broker.address, "the head, upgraded", provisioning=True) as head:
        assert run == [LAYOUT + 1, LAYOUT + 3]
        assert await head.log.append(builders.claimed("job2"), Guard(0)) == seq + 1
        found = await read_layout(head.connection)
        assert found is not None
        assert (found.number, found.newer_after(LAYOUT)) == (LAYOUT + 3, seq)
    async with open_cluster(broker.address, "the node"):
        pass
    assert run == [LAYOUT + 1, LAYOUT + 3]


async def test_somebody_elses_stream_is_refused(broker: Broker) -> None:
    connection = await connect(broker.address, "test")
    await call(connection, f"STREAM.CREATE.{EVENTS}", {"name": EVENTS, "subjects": ["theirs.>"]})
    with pytest.raises(Refused, match="is not distribute's"):
        await provision(connection)
    await connection.close()


async def provisioned(folder: Path, room_bytes: int) -> dict[str, Any]:
    """The bound on live output of a cluster whose broker has this much room."""
    async with (
        Broker(folder, sync_always=False, die_with_parent=True, max_file_store_bytes=room_bytes) as small,
        open_cluster(small.address, "test", provisioning=True) as cluster,
    ):
        await provision(cluster.connection)
        return await config_of(cluster, LOGS)


async def test_live_output_gets_a_smaller_stream_on_a_small_disk(tmp_path: Path) -> None:
    assert (await provisioned(tmp_path / "large", 1 << 40))["max_bytes"] == LOGS_MAX_BYTES
    assert (await provisioned(tmp_path / "small", 100 << 20))["max_bytes"] == 64 << 20
    # With more room later the bound stays as it is.
    assert (await provisioned(tmp_path / "small", 1 << 40))["max_bytes"] == 64 << 20
    assert (await provisioned(tmp_path / "least", NEEDED_BYTES * 3 // 4))["max_bytes"] == LOGS_MIN_BYTES


async def test_a_disk_too_small_for_a_cluster_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        StorageFull, match=rf"no room for stream {LOGS}.*; a new cluster needs 32 MiB of free"
    ):
        await provisioned(tmp_path / "tiny", LOGS_MIN_BYTES - 1)


async def test_what_an_admin_raised_stays_and_live_output_is_always_bounded(cluster: Cluster) -> None:
    logs = await config_of(cluster, LOGS)
    raised = {"max_bytes": 2 * LOGS_MAX_BYTES, "max_age": 2 * logs["max_age"], "max_msgs_per_subject": 20_000}
    await call(cluster.connection, f"STREAM.UPDATE.{LOGS}", logs | raised)
    await provision(cluster.connection)
    assert raised.items() <= (await config_of(cluster, LOGS)).items()
    await call(cluster.connection, f"STREAM.UPDATE.{LOGS}", logs | {"max_bytes": -1})
    await provision(cluster.connection)
    assert (await config_of(cluster, LOGS))["max_bytes"] == LOGS_MAX_BYTES


async def test_a_request_that_the_broker_drops_is_repeated(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that has just started may drop requests. Here it drops the first try of each."""
    heard: set[str] = set()

    async def drops_the_first(connection: Connection, verb: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if verb not in heard:
            heard.add(verb)
            raise Unreachable(f"no answer to {verb}")
        return await call(connection, verb, *args, **kwargs)

    monkeypatch.setattr(provisioning, "call", drops_the_first)
    async with open_cluster(broker.address, "test", provisioning=True) as fresh:
        assert await number_of(fresh) == LAYOUT
    assert f"STREAM.CREATE.{EVENTS}" in heard


async def test_the_head_creates_a_missing_beats_stream_and_nodes_wait_for_it(
    broker: Broker, cluster: Cluster
) -> None:
    await call(cluster.connection, f"STREAM.DELETE.{BEATS}")
    async with asyncio.timeout(WITHIN_S), open_cluster(broker.address, "a node") as node:
        waiting = asyncio.create_task(node.beats.last("ws1"))
        async with aclosing(cluster.beats.follow()) as beats:
            hearing = asyncio.ensure_future(anext(beats))
            while not hearing.done():  # nothing notifies us that the node listens
                await node.beats.send(Beat(node="ws1", incarnation="i", load=1.0))
                await asyncio.wait({hearing}, timeout=0.05)
            assert hearing.result().node == "ws1"
        assert not waiting.done()
        await broker.stop()
        await broker.start()
        assert await waiting is None
    assert (await config_of(cluster, BEATS))["max_msgs_per_subject"] == 1


async def asked(connection: Connection, verb: str, body: dict[str, Any] | None = None) -> None:
    """Ask until there is a leader that answers."""
    await patiently(connection, lambda: call(connection, verb, body, timeout_s=WITHIN_S))


@pytest.mark.slow
async def test_the_number_of_replicas_that_an_admin_set_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster of three servers, which elect a leader first: that may take long on a busy computer."""
    monkeypatch.setattr(provisioning, "_GIVE_UP_AFTER_S", WITHIN_S)
    ports = free_ports(3)
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    async with AsyncExitStack() as stack:
        servers = []
        for number, port in enumerate(ports):
            extra = (
                f'server_name: "s{number}"\n'
                f'cluster {{ name: lab, listen: "127.0.0.1:{port}", routes: [{routes}] }}'
            )
            server = Broker(tmp_path / f"s{number}", sync_always=False, die_with_parent=True, extra=extra)
            servers.append(await stack.enter_async_context(server))
        address = Address(tuple(url for server in servers for url in server.address.urls))
        async with asyncio.timeout(5 * WITHIN_S), open_cluster(address, "head", provisioning=True) as head:
            for stream in (EVENTS, BEATS, LOGS, "OBJ_results"):
                config = await config_of(head, stream) | {"num_replicas": 3}
                if config.pop("persist_mode", None):
                    await asked(head.connection, f"STREAM.DELETE.{stream}")
                    await asked(head.connection, f"STREAM.CREATE.{stream}", config)
                else:
                    await asked(head.connection, f"STREAM.UPDATE.{stream}", config)
            await provision(head.connection)
            for stream in (EVENTS, BEATS, LOGS, "OBJ_results"):
                assert (await config_of(head, stream))["num_replicas"] == 3
            await head.log.append(builders.claimed(), Guard(0))
