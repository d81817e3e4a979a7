"""Where a head listens, for any host that a person writes, and what other computers type to reach it."""

from __future__ import annotations

import socket

import pytest

from distribute.core.errors import InputError
from distribute_cli.local import addresses, listening
from distribute_cli.local.addresses import is_loopback, outside_address, own_addresses, own_name
from distribute_cli.local.listening import Reach, listening_address

OWN = ["10.0.0.7", "fd00::7", "127.0.0.1", "::1"]
HOSTS = {
    "head": ["127.0.1.1", "10.0.0.7"],
    "head.lab.example": ["10.0.0.7"],
    "debian": ["127.0.1.1"],
    "ws3": ["10.0.0.3"],
}


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer called `head.lab.example`, with two addresses. What it has in truth, no test can choose."""

    def found(host: str) -> list[str]:
        try:
            return HOSTS.get(host) or addresses.resolved(host if host[0].isdigit() or ":" in host else "")
        except IndexError:
            raise OSError from None

    monkeypatch.setattr(listening, "resolved", found)
    monkeypatch.setattr(listening, "own_addresses", lambda: OWN)
    monkeypatch.setattr(listening, "own_name", lambda: "head.lab.example")
    monkeypatch.setattr(listening, "outside_address", lambda: "10.0.0.7")


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("host", "address", "url", "by_address"),
    [
        ("0.0.0.0", "0.0.0.0", "nats://head.lab.example:4222", "nats://10.0.0.7:4222"),
        ("::", "::", "nats://head.lab.example:4222", "nats://10.0.0.7:4222"),
        ("10.0.0.7", "10.0.0.7", "nats://head.lab.example:4222", "nats://10.0.0.7:4222"),
        ("head", "10.0.0.7", "nats://head:4222", "nats://10.0.0.7:4222"),
        ("fd00::7", "fd00::7", "nats://[fd00::7]:4222", None),
        ("[fd00::7]", "fd00::7", "nats://[fd00::7]:4222", None),
        ("fd00:0::7", "fd00::7", "nats://[fd00::7]:4222", None),
    ],
)
def test_any_address_and_name_of_this_computer_is_listened_on(
    host: str, address: str, url: str, by_address: str | None
) -> None:
    assert listening_address(host) == address
    assert Reach.of(host, address, 4222) == Reach(url, by_address)


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.5", "127.0.0.5"), ("[::1]", "::1"), ("debian", "127.0.1.1")],
)
def test_nobody_else_reaches_a_loopback_address(host: str, address: str) -> None:
    assert listening_address(host) == address
    assert Reach.of(host, address, 4222) is None


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("10.0.0.3", "10.0.0.3 is not this computer"),
        ("ws3", "ws3 (10.0.0.3) is not this computer"),
        ("nowhere", "there is no host 'nowhere'"),
        ("", "there is no host ''"),
        ("fe80::7", "fe80::7 is an address of a single cable"),
    ],
)
def test_another_computers_address_is_refused_with_those_that_there_are(host: str, why: str) -> None:
    with pytest.raises(InputError) as refused:
        listening_address(host)
    own = "this computer has the addresses 10.0.0.7, fd00::7, 127.0.0.1, ::1, and 0.0.0.0 means all of them"
    assert str(refused.value) == f"--host: {why}; {own}"


def test_what_this_computer_has_in_truth_is_listened_on() -> None:
    for address in own_addresses():
        assert listening_address(address) == address
    outside = outside_address()
    assert outside is None or (outside in own_addresses() and not is_loopback(outside))
    assert own_name() in {None, socket.gethostname(), socket.getfqdn()}


def test_a_host_that_can_have_no_name_is_refused() -> None:
    for host in ("x" * 70, "a b", "a..b"):
        with pytest.raises(InputError, match="there is no host"):
            listening_address(host)
