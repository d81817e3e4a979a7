"""This computer's addresses, and whether two URLs name one broker."""

from __future__ import annotations

import socket

import pytest

from distribute_cli.local.addresses import is_loopback, names_this_broker, own_addresses, resolved


def test_own_addresses_are_those_that_a_program_can_listen_on() -> None:
    found = own_addresses()
    assert "127.0.0.1" in found
    loopback = [is_loopback(address) for address in found]
    assert loopback == sorted(loopback), "those that others reach come first"
    for address in found:
        if not address.startswith("fe80:"):  # needs the interface, too
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
                probe.bind((address, 0))


def test_an_address_is_its_own_and_a_name_has_some() -> None:
    assert resolved("192.0.2.7") == ["192.0.2.7"]
    assert resolved("::1") == ["::1"]
    assert "127.0.0.1" in resolved("localhost")
    with pytest.raises(OSError):
        resolved("no-such-host.invalid")


@pytest.mark.parametrize(
    ("servers", "is_same"),
    [
        ("nats://127.0.0.1:4222", True),
        ("nats://localhost:4222", True),
        ("nats://jane:secret@localhost:4222", True),
        ("nats://[::1]:4222", True),
        ("nats://192.0.2.7:4222", False),
        ("nats://localhost:4223", False),
        ("nats://no-such-host.invalid:4222", False),
        ("nats://no-such-host.invalid:4222,nats://localhost:4222", True),
        ("wss://localhost", False),
    ],
)
def test_a_broker_of_this_computer_is_known_by_any_of_its_names(servers: str, is_same: bool) -> None:
    assert names_this_broker(servers, "nats://127.0.0.1:4222") == is_same
