"""What a node lends: within what there is, and what a person wrote."""

from __future__ import annotations

import dataclasses
import re

import pytest

from distribute.core.errors import InputError
from distribute_services.node_runner.host.cores import Core, cpus_of
from distribute_services.node_runner.host.gpus import Gpu
from distribute_services.node_runner.host.lending import ALL, Hardware, Part, Programs, Wishes, lend

GIB = 1 << 30
CORES = tuple(Core((number // 4, number // 4, 0), (number, number + 8)) for number in range(8))
GPUS = (Gpu("RTX 3090", 24 * GIB, "0"), Gpu("GT 710", 2 * GIB, "1"), Gpu("RTX 3090", 24 * GIB, "2"))
HAS = Hardware(CORES, threads=16, memory_bytes=64 * GIB, gpus=GPUS, hides_gpus=True)
WRITTEN = {"cpus": "node.yaml: cpus", "memory": "node.yaml: memory", "gpus": "node.yaml: gpus"}


def test_a_node_lends_all_there_is() -> None:
    found = lend(HAS, ALL)
    assert (found.capacity.cpus, found.cores, found.capacity.memory_bytes, found.gpus) == (
        8,
        CORES,
        64 * GIB,
        GPUS,
    )


@pytest.mark.parametrize(("quota", "cpus"), [(16.0, 8), (4.0, 4), (2.5, 2), (0.5, 1)])
def test_a_quota_bounds_the_cores(quota: float, cpus: int) -> None:
    found = lend(dataclasses.replace(HAS, cpu_quota=quota), ALL)
    assert (found.capacity.cpus, len(found.cores)) == (cpus, cpus)


def test_a_node_that_lends_less_leaves_whole_cores_alone() -> None:
    found = lend(HAS, Wishes(cpus=4, memory_bytes=0, gpus=1))
    assert (found.capacity.cpus, found.capacity.memory_bytes, found.gpus) == (4, 0, GPUS[:1])
    assert cpus_of(found.cores) in ({0, 1, 2, 3, 8, 9, 10, 11}, {4, 5, 6, 7, 12, 13, 14, 15}), "of one socket"


@pytest.mark.parametrize("nodes", range(1, 12))
def test_nodes_of_one_computer_lend_nothing_twice(nodes: int) -> None:
    found = [lend(HAS, Wishes(part=Part(number, nodes))) for number in range(1, nodes + 1)]
    assert sum(node.capacity.memory_bytes for node in found) <= HAS.memory_bytes
    assert sorted(gpu.word for node in found for gpu in node.gpus) == ["0", "1", "2"]
    assert all(node.hides_gpus for node in found), "a node without a GPU hides those of the others"
    if nodes <= len(CORES):
        assert {node.capacity.cpus for node in found} == {len(CORES) // nodes}
        assert sum(len(node.cores) for node in found) == len({core for node in found for core in node.cores})
    else:
        assert {node.capacity.cpus for node in found} == {1}


def test_each_of_several_nodes_may_lend_more_cpus_than_there_are() -> None:
    found = lend(HAS, Wishes(cpus=20, part=Part(2, 2)))
    assert (found.capacity.cpus, len(found.cores)) == (20, 4), "its jobs share the cores of its half"


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        (
            Wishes(cpus=600),
            (
                "node.yaml: cpus: 600 are too many: this computer has 8 cores; write 8 or less, "
                "or `count: threads` to lend its 16 threads"
            ),
        ),
        (
            Wishes(memory_bytes=128 * GIB),
            "node.yaml: memory: 128G is too much: this computer has 64G",
        ),
        (
            Wishes(gpus=4),
            "node.yaml: gpus: 4 are too many: this computer has 3 GPUs (0: RTX 3090, 1: GT 710, 2: RTX 3090)",
        ),
    ],
)
def test_more_than_there_is_is_an_error_that_says_what_there_is(wishes: Wishes, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        lend(HAS, dataclasses.replace(wishes, written=WRITTEN))


def test_all_that_is_too_much_is_said_at_once() -> None:
    wishes = Wishes(cpus=9, memory_bytes=65 * GIB, gpus=1, written=WRITTEN)
    with pytest.raises(InputError) as caught:
        lend(dataclasses.replace(HAS, gpus=()), wishes)
    assert [line.split(":")[1].strip() for line in str(caught.value).splitlines()] == [
        "cpus",
        "memory",
        "gpus",
    ]
    assert "this computer has no GPU that its driver shows" in str(caught.value)


def test_as_much_as_there_is_may_be_written() -> None:
    wishes = Wishes(cpus=8, memory_bytes=64 * GIB, gpus=3, written=WRITTEN)
    assert lend(HAS, wishes).capacity.cpus == 8


def test_a_quota_counts_where_a_person_writes_too_many_cpus() -> None:
    wishes = Wishes(cpus=8, written=WRITTEN)
    with pytest.raises(InputError, match="this computer has 2 cores"):
        lend(dataclasses.replace(HAS, cpu_quota=2.0), wishes)


def test_a_node_can_do_what_its_programs_can_and_what_a_person_wrote() -> None:
    programs = Programs(frozenset({"python3"}), {"apptainer": "it is not installed"})
    found = lend(HAS, ALL, programs, frozenset({"matlab"})).capacity
    assert (found.capabilities, found.lacks) == ({"python3", "matlab", "gpu"}, programs.lacks)


def test_what_a_person_wrote_and_a_node_can_not_do_is_an_error() -> None:
    programs = Programs(lacks={"apptainer": "/dev/fuse is closed"})
    with pytest.raises(InputError, match=r"lacks it: /dev/fuse is closed. Mend that, or leave apptainer out"):
        lend(HAS, ALL, programs, frozenset({"apptainer"}))
