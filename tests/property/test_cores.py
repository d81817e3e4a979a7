"""Which cores attempts get: for any computer, and any order of starts and ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute_services.node_runner.host.cores import Core, Pinning, choose, cpus_of, part_of


def computer(sockets: int, nodes: int, cores: int, threads: int) -> tuple[Core, ...]:
    """A computer of equal sockets. Its first threads have the lower numbers, as x86 counts them."""
    places = [(s, n, 0) for s in range(sockets) for n in range(nodes) for _ in range(cores)]
    total = len(places)
    return tuple(
        Core(place, tuple(number + thread * total for thread in range(threads)))
        for number, place in enumerate(places)
    )


computers = st.builds(computer, st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 2))


@st.composite
def wishes(draw: st.DrawFn) -> tuple[set[Core], int]:
    cores = draw(computers)
    free = draw(st.sets(st.sampled_from(cores), min_size=1))
    return free, draw(st.integers(1, len(free)))


def domains(cores: set[Core] | tuple[Core, ...], level: int) -> set[tuple[int, ...]]:
    return {core.place[:level] for core in cores}


@given(wishes())
def test_as_many_free_cores_as_wanted_are_chosen(wish: tuple[set[Core], int]) -> None:
    free, count = wish
    chosen = choose(free, count)
    assert len(set(chosen)) == count
    assert set(chosen) <= free
    assert chosen == choose(sorted(free, reverse=True), count), "the order of the free ones does not count"


@given(wishes())
def test_what_fits_into_one_socket_or_node_gets_the_fullest_of_those_that_fit(
    wish: tuple[set[Core], int],
) -> None:
    free, count = wish
    within = free
    for level in (1, 2):
        free_in = {
            domain: {core for core in within if core.place[:level] == domain}
            for domain in domains(within, level)
        }
        fitting = [len(cores) for cores in free_in.values() if len(cores) >= count]
        if not fitting:
            return
        (domain,) = domains(choose(free, count), level)
        assert len(free_in[domain]) == min(fitting)
        within = free_in[domain]


@given(wishes())
def test_what_needs_several_sockets_takes_no_more_than_it_must(wish: tuple[set[Core], int]) -> None:
    free, count = wish
    sizes = sorted(
        (sum(core.place[0] == socket for core in free) for (socket,) in domains(free, 1)), reverse=True
    )
    fewest = next(n for n in range(1, len(sizes) + 1) if sum(sizes[:n]) >= count)
    assert len(domains(choose(free, count), 1)) == fewest


@given(computers, st.lists(st.tuples(st.booleans(), st.integers(1, 8)), max_size=40))
def test_no_two_attempts_have_a_core_in_common(
    cores: tuple[Core, ...], steps: list[tuple[bool, int]]
) -> None:
    pinning = Pinning(cores, len(cores))
    held: dict[int, frozenset[int]] = {}
    core_of = {cpu: core for core in cores for cpu in core.cpus}
    for number, (starts, count) in enumerate(steps):
        used = {core_of[cpu] for cpus in held.values() for cpu in cpus}
        if not starts and held:
            who = sorted(held)[count % len(held)]
            pinning.release(who)
            del held[who]
        elif count <= len(cores) - len(used):
            mine = pinning.take(number, count)
            whole = {core_of[cpu] for cpu in mine}
            assert mine == cpus_of(whole), "all threads of its cores"
            assert len(whole) == count
            assert used.isdisjoint(whole)
            held[number] = mine
    for who in held:
        pinning.release(who)
    assert pinning.take("last", len(cores)) == cpus_of(cores), "every core came back"


@given(computers, st.integers(1, 6))
def test_parts_of_a_computer_are_equal_and_apart(cores: tuple[Core, ...], parts: int) -> None:
    found = [part_of(cores, number, parts) for number in range(1, parts + 1)]
    if parts > len(cores):
        assert found == [cores] * parts, "there is not a core for each: they share all"
        return
    assert {len(part) for part in found} == {len(cores) // parts}
    assert sum(map(len, found)) == len({core for part in found for core in part})


def test_a_whole_socket_stays_whole_for_who_needs_it() -> None:
    pinning = Pinning(computer(sockets=2, nodes=1, cores=8, threads=2), 16)
    assert pinning.take("one", 1) == {0, 16}
    assert pinning.take("another", 1) == {1, 17}, "beside the first, not on the free socket"
    assert pinning.take("eight", 8) == {*range(8, 16), *range(24, 32)}
    pinning.release("one")
    assert pinning.take("two", 2) == {0, 2, 16, 18}


def test_a_node_that_lends_more_cpus_than_it_has_cores_pins_no_job() -> None:
    pinning = Pinning(computer(sockets=1, nodes=1, cores=2, threads=2), 4)
    assert [pinning.take(job, 1) for job in range(4)] == [{0, 1, 2, 3}] * 4
    for job in range(4):
        pinning.release(job)
    assert pinning.take("again", 1) == {0, 1, 2, 3}


def test_a_job_that_an_earlier_runner_started_keeps_its_cores() -> None:
    pinning = Pinning(computer(sockets=1, nodes=1, cores=4, threads=2), 4)
    pinning.hold("old", {0, 4})
    assert pinning.take("new", 3) == {1, 2, 3, 5, 6, 7}
    pinning.release("old")
    assert pinning.take("next", 1) == {0, 4}


def test_more_cores_than_are_free_are_never_chosen() -> None:
    with pytest.raises(ValueError, match="3 cores, of 2 that are free"):
        choose(computer(1, 1, 2, 1), 3)
