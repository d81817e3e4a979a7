"""A missing cluster, or one of another version, is reported in one line and left alone."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest

from acceptance.lab import command_batch, distribute
from acceptance.processes import Processes
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import open_cluster
from distribute.nats.stream.layout import LAYOUT
from ports_kit import free_port

QUICK_S = 60.0
"""Far longer than the five seconds for which a connection is tried, and shorter than any other patience."""


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with Broker(tmp_path / "broker", die_with_parent=True) as broker:
        yield broker


@dataclass(frozen=True, slots=True)
class Listener:
    """A server that is not a broker. `called` is set when a client has connected."""

    port: int
    called: asyncio.Event


@asynccontextmanager
async def listener(greeting: bytes) -> AsyncIterator[Listener]:
    """Listen on a free port, and send each client the greeting and nothing more."""
    called = asyncio.Event()
    connections: set[asyncio.Task[None]] = set()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        writer.write(greeting)
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(
        lambda reader, writer: connections.add(asyncio.create_task(hold(reader, writer))), "127.0.0.1", 0
    ) as server:
        yield Listener(server.sockets[0].getsockname()[1], called)
        await asyncio.gather(*connections)


async def test_a_missing_cluster_is_reported_with_its_cause(tmp_path: Path) -> None:
    """Nothing listens at the address, its host is unknown, or another program listens there."""
    batch = tmp_path / "batch.yaml"
    batch.write_text(json.dumps(command_batch("lab/x", {"job": "true"})))
    nothing, nowhere = f"nats://127.0.0.1:{free_port()}", "nats://no-such-host.invalid:4222"
    async with listener(b"220 mail.lab.example ESMTP\r\n") as mail:
        other = f"nats://127.0.0.1:{mail.port}"
        tries = {nothing: ["status"], nowhere: ["add", str(batch)], other: ["nodes"]}
        answers = await asyncio.gather(
            *(distribute(server, tmp_path, *verb) for server, verb in tries.items())
        )
    told = {
        nothing: "refused the connection: is `distribute server` running there?",
        nowhere: "there is no such host; is this the cluster's address?",
        other: "another program answers there, not a broker; is this the cluster's address?",
    }
    for server, said in zip(tries, answers, strict=True):
        assert (said.code, said.out) == (3, "")
        assert len(said.err.splitlines()) == 1
        assert f"{server} (from DISTRIBUTE_SERVER)" in said.err
        assert told[server] in said.err
        assert said.took_s < QUICK_S


async def test_a_broker_without_a_cluster_is_reported(broker: Broker, tmp_path: Path) -> None:
    said = await distribute(broker.address.urls[0], tmp_path, "status")
    assert said.code == 4
    assert "a broker, but no cluster: start one there with" in said.err


@pytest.mark.parametrize(
    ("layout", "is_newer", "advice"),
    [
        (LAYOUT - 1, "older", "upgrade the cluster's head first"),
        (LAYOUT + 1, "newer", "upgrade distribute on this computer"),
    ],
)
async def test_a_cluster_of_another_layout_is_refused(
    broker: Broker, tmp_path: Path, layout: int, is_newer: str, advice: str
) -> None:
    """The command line and every service report it, and leave the cluster as it is."""
    told = f"the cluster is {is_newer} (layout {layout}) than this distribute (layout {LAYOUT}): {advice}"
    async with open_cluster(broker.address, "test", provisioning=True):
        pass
    server = broker.address.urls[0]
    await set_layout(server, layout)
    said = await distribute(server, tmp_path, "status")
    assert (said.code, said.out) == (4, "")
    assert told in said.err
    # The head migrates an older cluster, so only a newer one stops it.
    services = ("scheduler", "archiver", "node-runner") if is_newer == "newer" else ("node-runner",)
    for service in services:
        work_dir = ["--work-dir", str(tmp_path / "work")] if service == "node-runner" else []
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "distribute_services", service, "--server", server, *work_dir],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert ended.returncode == 4, ended.stderr
        assert told in ended.stderr
    assert await set_layout(server, layout) == str(layout)


async def set_layout(server: str, layout: int) -> str:
    """Set the cluster's layout. Returns what it was before."""
    client = await nats.connect(server)
    try:
        stream = client.jetstream()
        config = (await stream.stream_info("EV")).config
        assert config.metadata is not None
        before = config.metadata["distribute_layout"]
        config.metadata = {"distribute_layout": str(layout)}
        await stream.update_stream(config)
    finally:
        await client.close()
    return before


@pytest.mark.parametrize("name", ["scheduler", "archiver", "node"])
async def test_a_service_that_waits_for_a_broker_ends_on_request(tmp_path: Path, name: str) -> None:
    processes = Processes(tmp_path, {"node": []})
    async with listener(b"") as silent:
        processes.broker.port = silent.port
        processes.start(name)
        async with asyncio.timeout(QUICK_S):
            await silent.called.wait()
        assert processes.end(name, signal.SIGTERM) == 0, processes.log_of(name)
