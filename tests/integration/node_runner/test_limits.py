"""The kernel holds units to their limits where it can; elsewhere the keeper ends what goes over them."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.keeper.starting import COUNTED_S

from .as_user import call_as_nobody, folder_of_nobody
from .keeping_kit import Kept, keeper, until

MIB = 1 << 20
MOST = 60
"""So many processes a unit may have here."""
SAFE = 600
"""A test of a bomb that gets out of hand can start so many more."""

WAITS = """
import os, time
while not os.path.exists("go"):
    time.sleep(0.01)
"""
"""How a program begins that `lets_go` lets go."""

BOMB = f"""{WAITS}
while True:
    try:
        os.fork()
    except OSError:
        os.close(os.open("refused", os.O_CREAT))
        time.sleep(0.01)
"""


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with keeper(tmp_path) as kept:
        yield kept


async def needs(kept: Kept, controller: str) -> None:
    """Skip the test if the keeper has no such controller here."""
    if controller not in (await kept.keeping.look())["limits"]:
        pytest.skip(f"no cgroup with the controller {controller} can be made here")


async def is_grouped(pid: int) -> None:
    """Wait until a process is in a group of its keeper's, which has the limits already."""
    await until(lambda: b"distribute-" in procfs.read(f"/proc/{pid}/cgroup"))


async def lets_go(kept: Kept) -> None:
    """Let the only process of a keeper go, once it is limited. It waits for the file `go`."""
    await until(lambda: len(kept.left()) == 1)
    if kept.keeping.current.freezes_by == "cgroup":
        await is_grouped(*kept.left())
    (kept.folder / "go").touch()


async def test_the_kernel_stops_what_takes_far_too_much_memory_at_once(kept: Kept) -> None:
    await needs(kept, "memory")
    hog = f"{WAITS}held = bytearray(1 << 30); open('held', 'w').close(); input()"
    name = kept.start(sys.executable, "-c", hog, memory_bytes=100 * MIB)
    await lets_go(kept)
    ended = await kept.end_of(name)
    assert not isinstance(ended, tuple)
    assert ended["ended_for"] == "memory"
    assert ended["max_rss_bytes"] < 500 * MIB
    assert not (kept.folder / "held").exists()


async def test_a_unit_ends_as_a_whole_when_the_kernel_kills_a_part_of_it(kept: Kept) -> None:
    await needs(kept, "memory")
    hog = f"until test -e go; do :; done; {sys.executable} -c 'bytearray(1 << 30)'; sleep 600"
    name = kept.start("sh", "-c", hog, memory_bytes=100 * MIB)
    await lets_go(kept)
    ended = await kept.end_of(name)
    assert not isinstance(ended, tuple)
    assert ended["ended_for"] == "memory"


async def test_what_is_cached_of_files_is_no_memory_of_a_unit(kept: Kept) -> None:
    await needs(kept, "memory")
    writes = "head -c 200M /dev/zero > large; cat large large > /dev/null"
    ended = await kept.end_of(kept.start("sh", "-c", writes, memory_bytes=50 * MIB))
    assert not isinstance(ended, tuple)
    assert (ended["ended_for"], ended["exit_code"]) == (None, 0)


async def test_a_unit_that_resets_its_affinity_stays_on_its_cpus(kept: Kept) -> None:
    await needs(kept, "cpuset")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("this computer has one cpu")
    asks = f"{WAITS}os.sched_setaffinity(0, {cpus}); print(sorted(os.sched_getaffinity(0)))"
    name = kept.start(sys.executable, "-c", asks, cpus=[cpus[1]])
    await lets_go(kept)
    ended = await kept.end_of(name)
    assert not isinstance(ended, tuple)
    assert (ended["exit_code"], (kept.folder / "out").read_text()) == (0, f"[{cpus[1]}]\n")


async def survives_a_bomb(kept: Kept, *ends_for: str) -> None:
    """A fork bomb keeps neither the keeper nor another unit from what they do, and leaves nothing."""
    bomb = kept.start(sys.executable, "-S", "-c", BOMB, max_processes=MOST, grace_s=0.2)
    await lets_go(kept)
    await until((kept.folder / "refused").exists)
    seen = (await kept.keeping.look())["units"]
    if kept.keeping.current.freezes_by == "cgroup":
        assert any(len(unit["pids"]) > MOST / 2 for unit in seen), "it answers while the bomb lives"
    assert all(len(unit["pids"]) < 2 * MOST for unit in seen)
    await asyncio.sleep(COUNTED_S)  # its last count of processes may be older
    other = await kept.end_of(kept.start("sh", "-c", "echo $(echo works)", max_processes=MOST))
    assert not isinstance(other, tuple)
    assert other["exit_code"] == 0
    await kept.keeping.end(bomb)
    ended = await kept.end_of(bomb)
    assert not isinstance(ended, tuple)
    assert ended["ended_for"] in ends_for
    assert kept.left() == []


async def test_a_fork_bomb_ends_without_harm(kept: Kept) -> None:
    await needs(kept, "pids")
    await survives_a_bomb(kept, "killed")


async def bomb_without_cgroups(folder: Path) -> None:
    """As the user `nobody`, whose processes the kernel counts. The hard limit is for this test's safety."""
    most = procfs.threads_of(os.getuid()) + SAFE
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    async with keeper(folder, use_cgroups=False) as kept:
        await survives_a_bomb(kept, "processes", "killed")


def test_a_fork_bomb_of_a_user_without_cgroups_ends_without_harm() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    with folder_of_nobody() as folder:
        call_as_nobody(bomb_without_cgroups, folder)


async def test_without_cgroups_a_unit_with_too_many_processes_is_ended(tmp_path: Path) -> None:
    async with keeper(tmp_path, use_cgroups=False) as kept:
        starts = f"for i in $(seq {2 * MOST}); do sleep 600 & done; wait"
        ended = await kept.end_of(kept.start("sh", "-c", starts, max_processes=MOST))
        assert not isinstance(ended, tuple)
        if os.getuid() == 0:  # whom the kernel does not count
            assert ended["ended_for"] == "processes"
        else:
            assert ended["exit_code"] != 0


async def test_what_its_node_refused_a_unit_is_counted(kept: Kept) -> None:
    await needs(kept, "pids")
    os.mkfifo(kept.folder / "go")
    starts = f"read go < go; for i in $(seq {2 * MOST}); do sleep 1 & done; wait"
    name = kept.start("sh", "-c", starts, max_processes=MOST)
    await until(lambda: len(kept.left()) == 1)
    await is_grouped(*kept.left())
    await asyncio.to_thread((kept.folder / "go").write_text, "now\n")
    ended = await kept.end_of(name)
    assert not isinstance(ended, tuple)
    assert ended["exit_code"] != 0
    assert ended["refused_processes"] > 0


async def test_the_groups_of_a_killed_keeper_are_removed(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        await needs(kept, "pids")
        kept.start("sleep", "600", max_processes=MOST, memory_bytes=1 << 30)
        await until(lambda: len(kept.left()) == 1)
        await is_grouped(*kept.left())
        os.kill(next(iter(kept.keeping.pids)), signal.SIGKILL)
        await kept.keeping.lost()
        await kept.keeping.open()
        await until(lambda: kept.left() == [])
        own = f"distribute-{(tmp_path / 'work' / 'lock').read_text()[:12]}"
        # Groups of other tests come and go meanwhile, of which `Path.rglob` makes errors.
        found = await asyncio.to_thread(
            lambda: {name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names}
        )
        assert len([name for name in found if name.startswith(own)]) == 1, "those of the keeper that lives"
