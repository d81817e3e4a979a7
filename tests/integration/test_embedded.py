"""The embedded broker, and connecting to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distribute.config.settings.server_url import host_in_url
from distribute.core.errors import DistributeError, InputError, Refused, StorageFull, Unreachable
from distribute.core.log.recorded import Guard
from distribute.nats.broker import embedded
from distribute.nats.broker.embedded import MAX_PAYLOAD_BYTES, Broker
from distribute.nats.client.connect import Address, _Opener, connect
from distribute.nats.cluster import Cluster, open_cluster
from distribute.testing import builders
from distribute_cli.local.addresses import own_addresses
from integration.node_runner.small_disk import small_disk
from ports_kit import free_port


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def test_a_broker_keeps_its_port_and_its_data_over_a_restart(broker: Broker, cluster: Cluster) -> None:
    address = broker.address
    seq = await cluster.log.append(builders.claimed(), Guard(0))
    await broker.stop()
    assert broker.pid is None
    await broker.start()
    assert broker.address == address
    await asyncio.wait_for(cluster.connection.returned(), 60)
    assert await cluster.log.last_seq() == seq
    assert cluster.connection.max_payload == MAX_PAYLOAD_BYTES


async def test_starting_or_stopping_a_second_time_changes_nothing(broker: Broker) -> None:
    pid = broker.pid
    await broker.start()
    assert broker.pid == pid
    await broker.stop()
    await broker.stop()


@pytest.mark.parametrize(
    "name",
    [
        b"L\xc3\xa4ufe",
        b"my 'own' \"runs\"",
        b"new\nline",
        b"$HOME",
        b"a\\b \x01",
        b"\xff",
        b"{#}",
        b"x" * 250,
    ],
)
async def test_a_broker_runs_in_any_folder(name: bytes, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(name)
    async with Broker(folder, die_with_parent=True) as broker:
        async with open_cluster(broker.address, "test", provisioning=True) as cluster:
            assert await cluster.log.append(builders.claimed(), Guard(0)) == 1
        assert list(folder.glob("jetstream/jetstream/$G/streams/EV"))
        assert broker.log_path.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name]


async def test_a_taken_port_is_reported(tmp_path: Path) -> None:
    with taken_port() as port:
        broker = Broker(tmp_path, port=port)
        with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 is taken by another program: choose"):
            await broker.start()
        assert broker.pid is None


@pytest.mark.parametrize("host", [*own_addresses(), "0.0.0.0", "::"])
async def test_a_broker_listens_on_any_address_of_this_computer(tmp_path: Path, host: str) -> None:
    async with Broker(tmp_path, host=host, sync_always=False, die_with_parent=True) as broker:
        connection = await connect(broker.address, "here")
        await connection.close()
        everywhere = own_addresses() if host in {"0.0.0.0", "::"} else [host]
        for address in everywhere:
            url = f"nats://{host_in_url(address)}:{broker.port}"
            connection = await connect(Address.of(url), "there")
            await connection.close()


async def test_another_computers_address_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^192\.0\.2\.99 is not an address of this computer$"):
        await Broker(tmp_path, host="192.0.2.99", port=free_port()).start()


async def test_a_port_taken_after_the_check_is_reported(tmp_path: Path) -> None:
    with taken_port() as port:
        # The last entry of a configuration counts, so the broker listens on another port than we checked.
        broker = Broker(tmp_path, extra=f'listen: "127.0.0.1:{port}"')
        with pytest.raises(InputError, match="is taken by another program"):
            await broker.start()
        assert broker.pid is None


async def test_a_port_that_a_silent_program_took_after_the_check_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its silence is not taken for that of a broker that starts."""
    monkeypatch.setattr(embedded, "_check_free", lambda host, port: None)
    with taken_port() as port:
        broker = Broker(tmp_path, port=port)
        async with asyncio.timeout(60):
            with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 is taken by another program"):
                await broker.start()
        assert broker.pid is None


async def test_a_broker_that_ends_at_once_says_why(tmp_path: Path) -> None:
    broker = Broker(tmp_path, extra="max_payload: a_lot")
    with pytest.raises(DistributeError, match=r"as soon as it is started: .*\.conf:\d+.*; its log"):
        await broker.start()
    assert broker.pid is None


async def test_a_broker_without_room_for_its_configuration_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        with contextlib.suppress(OSError):
            (disk / "everything").write_bytes(bytes(2 << 20))
        with pytest.raises(StorageFull, match=r"the broker can't start: the disk is full"):
            await Broker(disk / "broker").start()


STUBBORN = """#!{python}
import json, os, signal, socket, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with socket.create_server(("127.0.0.1", 0)) as server:
    url = "nats://127.0.0.1:%d" % server.getsockname()[1]
    with open(os.path.join(os.path.dirname(sys.argv[2]), "nats-server_1.ports"), "w") as ports:
        json.dump({{"nats": [url]}}, ports)
    while True:
        server.accept()[0].sendall(b"INFO {{}}\\r\\n")
"""


async def test_many_brokers_at_once_get_a_port_each_and_keep_it(tmp_path: Path) -> None:
    """Each broker takes a free port itself. A port that we choose may be taken before the broker opens it."""
    brokers = [Broker(tmp_path / f"{number}", sync_always=False, die_with_parent=True) for number in range(8)]
    try:
        await asyncio.gather(*(broker.start() for broker in brokers))
        ports = [broker.port for broker in brokers]
        assert len(set(ports)) == len(brokers)
        await brokers[0].stop(kill=True)
        await brokers[0].start()
        assert brokers[0].port == ports[0]
    finally:
        await asyncio.gather(*(broker.stop() for broker in brokers))


async def test_a_broker_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = tmp_path / "nats-server"
    stubborn.write_text(STUBBORN.format(python=sys.executable))
    stubborn.chmod(0o755)
    monkeypatch.setattr(embedded, "_executable", lambda: str(stubborn))
    monkeypatch.setattr(embedded, "_PATIENCE_S", 0.2)
    broker = Broker(tmp_path / "broker", die_with_parent=True)
    await broker.start()
    async with asyncio.timeout(60):
        await broker.stop()
    assert broker.pid is None


OWNER = """
import asyncio, sys
from pathlib import Path
from distribute.nats.broker.embedded import Broker

async def main() -> None:
    broker = Broker(Path(sys.argv[1]), die_with_parent=sys.argv[2] == "True")
    await broker.start()
    print(broker.pid, broker.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("dies", [True, False])
async def test_a_broker_dies_with_its_parent_only_if_asked(tmp_path: Path, dies: bool) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(tmp_path), str(dies), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    pid, port = map(int, (await owner.stdout.readline()).split())
    descriptor = os.pidfd_open(pid)
    try:
        owner.kill()
        await owner.wait()
        if not dies:
            connection = await connect(Address.of(f"127.0.0.1:{port}"), "still there")
            await connection.close()
            os.kill(pid, signal.SIGTERM)
        async with asyncio.timeout(60):
            gone = asyncio.Event()
            asyncio.get_running_loop().add_reader(descriptor, gone.set)
            await gone.wait()
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


async def test_a_refused_connection_is_reported_at_once(tmp_path: Path) -> None:
    broker = Broker(tmp_path, port=free_port())
    await broker.start()
    await broker.stop()
    address = Address.of(f"nats://127.0.0.1:{broker.port}", source="client.yaml")
    with pytest.raises(Unreachable) as caught:
        async with asyncio.timeout(60):
            await connect(address, "nobody", timeout_s=600)
    assert str(caught.value) == (
        f"nats://127.0.0.1:{broker.port} (from client.yaml) refused the connection: "
        "is `distribute server` running there?"
    )


async def test_failures_to_connect_are_not_collected_without_end() -> None:
    """A service tries for days."""
    opener = _Opener(Address.of("nats://127.0.0.1:1,nats://127.0.0.1:2"))
    for _ in range(10):
        await opener._error(ConnectionRefusedError())
    assert len(opener._failures) == 2


async def test_a_host_that_does_not_answer_is_reported_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable) as caught:
            await connect(Address.of(server), "nobody", timeout_s=2)
    assert str(caught.value) == (
        f"{server} takes the connection, but no broker answers within 2 s; is this the cluster's address?"
    )


async def test_a_first_connect_can_wait_for_the_broker_and_logs_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(tmp_path, port=free_port())
    await broker.start()
    await broker.stop()
    connecting = asyncio.create_task(connect(broker.address, "early", timeout_s=None))
    async with asyncio.timeout(60):
        while not caplog.messages:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (told,) = caplog.messages
    outage = f"the cluster ({broker.address}) doesn't answer yet (it refuses the connection)"
    assert told == f"{outage}; trying until it does"
    await broker.start()
    connection = await asyncio.wait_for(connecting, 60)
    assert connection.connected
    assert re.fullmatch(rf"the cluster \({broker.address}\) answers after [0-9.]+s", caplog.messages[-1])
    assert len(caplog.messages) == 2
    await connection.close()
    await broker.stop()


async def test_a_wrong_password_is_refused_at_once_and_not_shown(tmp_path: Path) -> None:
    users = "authorization { user: head, password: secret }"
    async with Broker(tmp_path, extra=users, die_with_parent=True) as broker:
        wrong = Address.of(f"nats://head:mistyped@127.0.0.1:{broker.port}")
        with pytest.raises(Refused, match="does not let us in") as refusal:
            await connect(wrong, "wrong", timeout_s=600)
        assert "mistyped" not in str(refusal.value)


async def test_a_broker_without_a_cluster_is_refused(broker: Broker) -> None:
    with pytest.raises(Refused, match="a broker, but no cluster"):
        async with open_cluster(broker.address, "cli"):
            pass


@pytest.mark.parametrize(
    "servers", ["", "http://host:1", "nats://", "nats://host:99999", "nats://u:p@host:x"]
)
def test_an_invalid_address_is_refused(servers: str) -> None:
    with pytest.raises(InputError) as problem:
        Address.of(servers)
    assert "u:p" not in str(problem.value)


def test_addresses_are_parsed_and_printed_without_passwords() -> None:
    assert Address.of("nats://a:1, b:2").urls == ("nats://a:1", "nats://b:2")
    assert str(Address.of("nats://jane:secret@a:1,b")) == "nats://a:1, nats://b:4222"


async def test_missing_credentials_are_reported(broker: Broker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nobody\.creds: no such file"):
        await connect(Address(broker.address.urls, tmp_path / "nobody.creds"), "nobody")
