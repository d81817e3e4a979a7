"""The layout of a cluster, and clusters of other versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distribute.core.errors import Refused, StorageFull
from distribute.core.recorded import Guard
from distribute.nats import provision as provisioning
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.connect import connect
from distribute.nats.embedded import Broker
from distribute.nats.jetstream import call
from distribute.nats.layout import EVENTS, LAYOUT, read_layout
from distribute.nats.provision import (
    BEATS,
    LOGS,
    LOGS_MAX_BYTES,
    LOGS_MIN_BYTES,
    NEEDED_BYTES,
    check_layout,
    provision,
)
from distribute.testing import builders


async def config_of(cluster: Cluster, stream: str) -> dict[str, Any]:
    return dict((await call(cluster.connection, f"STREAM.INFO.{stream}"))["config"])


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


async def test_what_is_missing_or_was_changed_is_put_right(cluster: Cluster) -> None:
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


@pytest.mark.parametrize(
    ("version", "advice"), [("0", "upgrade the cluster's head"), ("2", "upgrade distribute on this")]
)
async def test_another_layout_is_refused_and_left_alone(
    broker: Broker, cluster: Cluster, version: str, advice: str
) -> None:
    await set_layout(cluster, version)
    with pytest.raises(Refused, match=advice):
        await check_layout(cluster.connection)
    for make in (False, True):
        with pytest.raises(Refused, match=advice):
            async with open_cluster(broker.address, "other", provisioning=make):
                pass
    assert await number_of(cluster) == int(version)


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


async def test_live_output_gets_less_room_where_there_is_little(tmp_path: Path) -> None:
    assert (await provisioned(tmp_path / "large", 1 << 40))["max_bytes"] == LOGS_MAX_BYTES
    assert (await provisioned(tmp_path / "small", 100 << 20))["max_bytes"] == 64 << 20
    # With more room later it stays as it is.
    assert (await provisioned(tmp_path / "small", 1 << 40))["max_bytes"] == 64 << 20
    assert (await provisioned(tmp_path / "least", NEEDED_BYTES * 3 // 4))["max_bytes"] == LOGS_MIN_BYTES


async def test_no_room_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        StorageFull, match=rf"no room for stream {LOGS}.*; a new cluster needs 32 MiB of free"
    ):
        await provisioned(tmp_path / "tiny", LOGS_MIN_BYTES - 1)


@pytest.mark.parametrize("bound", [-1, 2 * LOGS_MAX_BYTES])
async def test_a_larger_bound_on_live_output_is_lowered(cluster: Cluster, bound: int) -> None:
    logs = await config_of(cluster, LOGS)
    await call(cluster.connection, f"STREAM.UPDATE.{LOGS}", logs | {"max_bytes": bound})
    await provision(cluster.connection)
    assert (await config_of(cluster, LOGS))["max_bytes"] == LOGS_MAX_BYTES
