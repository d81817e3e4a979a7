"""The cores of this computer, and of others whose files in /sys are written here."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from distribute_services.node_runner.host.cores import Core, cpus_of
from distribute_services.node_runner.host.topology import read_cores


def write_cpu(sys: Path, number: int, siblings: str, socket: int, cache: str = "") -> None:
    folder = sys / "cpu" / f"cpu{number}"
    (folder / "topology").mkdir(parents=True)
    (folder / "topology/thread_siblings_list").write_text(f"{siblings}\n")
    (folder / "topology/physical_package_id").write_text(f"{socket}\n")
    if cache:
        (folder / "cache/index3").mkdir(parents=True)
        (folder / "cache/index3/shared_cpu_list").write_text(f"{cache}\n")


def two_sockets(sys: Path) -> None:
    """Two sockets, each a NUMA node of two cores with two threads."""
    for cpu in range(8):
        socket = cpu % 4 // 2
        write_cpu(sys, cpu, f"{cpu % 4},{cpu % 4 + 4}", socket, cache="0-1,4-5" if socket == 0 else "2-3,6-7")
    for node, cpus in enumerate(("0-1,4-5", "2-3,6-7")):
        (sys / f"node/node{node}").mkdir(parents=True)
        (sys / f"node/node{node}/cpulist").write_text(f"{cpus}\n")


def test_this_computers_cores_are_those_that_psutil_counts() -> None:
    allowed = os.sched_getaffinity(0)
    found = read_cores(allowed)
    assert cpus_of(found) == allowed
    if len(allowed) == psutil.cpu_count():
        assert len(found) == psutil.cpu_count(logical=False)


def test_the_threads_of_a_core_are_one_cpu(tmp_path: Path) -> None:
    two_sockets(tmp_path)
    assert read_cores(range(8), sys=tmp_path) == (
        Core((0, 0, 0), (0, 4)),
        Core((0, 0, 0), (1, 5)),
        Core((1, 1, 2), (2, 6)),
        Core((1, 1, 2), (3, 7)),
    )


def test_threads_are_counted_for_who_wants_that(tmp_path: Path) -> None:
    two_sockets(tmp_path)
    found = read_cores(range(8), "threads", tmp_path)
    assert [core.cpus for core in found] == [(0,), (4,), (1,), (5,), (2,), (6,), (3,), (7,)]
    assert found[0].place == found[1].place, "both threads of a core lie together"


def test_only_threads_that_the_affinity_allows_are_used(tmp_path: Path) -> None:
    two_sockets(tmp_path)
    assert [core.cpus for core in read_cores({0, 5, 3, 7}, sys=tmp_path)] == [(0,), (5,), (3, 7)]


def test_a_kernel_that_tells_nothing_has_a_core_for_each_cpu(tmp_path: Path) -> None:
    assert [core.cpus for core in read_cores({0, 1, 5}, sys=tmp_path)] == [(0,), (1,), (5,)]
