"""What is asked for over a connection stays below a bound that fits its link."""

from __future__ import annotations

import random

import pytest

from distribute.nats.client.inflow import LEAST_BYTES, MOST_BYTES, Grant, Inflow

MIB = 1 << 20


class Link:
    """A modelled link that carries what is asked for, in order, at a rate."""

    def __init__(self, bytes_per_s: float, delay_s: float = 0.0) -> None:
        self.bytes_per_s = bytes_per_s
        self.delay_s = delay_s
        self.now = 0.0
        self.inflow = Inflow(lambda: self.now)
        self.granted: list[Grant] = []

    def carry(self) -> None:
        """The oldest request is answered in full."""
        grant = self.granted.pop(0)
        self.now += self.delay_s + grant.size_bytes / self.bytes_per_s
        grant.arrived(grant.size_bytes)
        grant.end(complete=True)


@pytest.mark.parametrize("readers", [1, 8, 300])
@pytest.mark.parametrize("rate", [30e3, 1e6, 10e6, 1e9])
def test_what_waits_is_carried_within_the_brokers_patience(rate: float, readers: int) -> None:
    """The broker closes a connection when it can't write within 10 s, or when 64 MiB wait."""
    link = Link(rate)
    for _ in range(readers):
        link.inflow.ask_for(8 * MIB, link.granted.append)
    for _ in range(100):
        assert link.inflow.asked_bytes == sum(grant.size_bytes for grant in link.granted) <= MOST_BYTES
        link.carry()
        link.inflow.ask_for(8 * MIB, link.granted.append)
    # No request can be for less than a piece, so a very slow link has one on its way.
    assert link.inflow.asked_bytes <= max(4 * rate, LEAST_BYTES)


def test_a_fast_link_is_used() -> None:
    link = Link(300e6, delay_s=0.001)
    for _ in range(50):
        link.inflow.ask_for(8 * MIB, link.granted.append)
    for _ in range(40):
        link.carry()
    assert link.inflow.limit_bytes == MOST_BYTES


def test_small_files_on_a_fast_link_do_not_make_it_a_slow_one() -> None:
    link = Link(300e6, delay_s=0.05)
    for _ in range(50):
        link.inflow.ask_for(1000, link.granted.append)
        link.carry()
    assert link.inflow.limit_bytes >= MIB


def test_requests_are_granted_in_order_and_none_is_lost() -> None:
    dice = random.Random(7)
    inflow = Inflow()
    under_way: list[Grant] = []
    served: list[int] = []
    for number in range(1000):
        inflow.ask_for(
            dice.choice([1, LEAST_BYTES, 8 * MIB]),
            lambda grant, number=number: (served.append(number), under_way.append(grant)),
        )
        while under_way and dice.random() < 0.5:
            under_way.pop(dice.randrange(len(under_way))).end()
    while under_way:
        under_way.pop().end()
    assert served == list(range(1000))
    assert inflow.asked_bytes == 0


def test_a_thousand_grants_that_are_given_back_at_once_are_no_recursion() -> None:
    inflow = Inflow()
    held: list[Grant] = []
    inflow.ask_for(8 * MIB, held.append)
    given_back: list[None] = []
    for _ in range(5000):
        inflow.ask_for(8 * MIB, lambda grant: given_back.append(grant.end()))
    held[0].end()
    assert len(given_back) == 5000
    assert inflow.asked_bytes == 0
