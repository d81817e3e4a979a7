"""A pause stops all processes of all units, and nobody else's; with cgroups and without."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distribute_services.node_runner.host.keeping import KeeperFailed, Keeping, Message, Refusal
from distribute_services.node_runner.keeper import freezing, procfs
from distribute_services.node_runner.keeper.units import signal_all

from .keeping_kit import Kept, Tree, appearance, gone, keeper, until

STILL_S = 0.3
"""Seconds in which a process that goes on would be seen again many times."""


async def pause(kept: Kept, for_s: float = 60.0) -> Message:
    return await kept.keeping.pause(for_s, reason="I work", by="jane")


async def stands_still(*trees: Tree) -> None:
    """Check that no process of a tree is seen any more."""
    before = [tree.seen() for tree in trees]
    await asyncio.sleep(STILL_S)
    assert [tree.seen() for tree in trees] == before


async def killed(kept: Kept, name: str) -> Message:
    await kept.keeping.end(name, grace_s=0)
    ended = await kept.end_of(name)
    assert not isinstance(ended, Refusal)
    return ended


async def test_a_whole_tree_stops_and_goes_on(kept: Kept) -> None:
    tree = Tree(kept.folder / "seen", 40)
    name = kept.start(*tree.argv)
    await tree.runs()
    began = time.monotonic()
    view = await pause(kept)
    stopped_at = time.monotonic()
    await stands_still(tree)
    assert [unit["frozen"] for unit in view["units"]] == [True]
    assert max(tree.seen()) <= stopped_at
    await kept.keeping.resume("done")
    await tree.runs(since=stopped_at + STILL_S)
    ended = await killed(kept, name)
    assert STILL_S <= ended["paused_s"] <= time.monotonic() - began


async def test_units_that_have_just_begun_are_stopped_too(kept: Kept) -> None:
    trees = [Tree(kept.folder / f"seen{number}", 4) for number in range(8)]
    names = [kept.start(*tree.argv) for tree in trees]
    await pause(kept)
    await stands_still(*trees)
    await kept.keeping.resume("done")
    for tree in trees:
        await tree.runs()
    for name in names:
        await killed(kept, name)


async def test_a_unit_is_stopped_although_others_have_taken_all_the_time(kept: Kept) -> None:
    name = kept.start("sleep", "600")
    await until(lambda: len(kept.left()) == 1)
    (pid,) = kept.left()
    unit: Any = SimpleNamespace(cgroup=None, stopped=set())
    freezing.settle(unit, lambda: {pid: stat} if (stat := procfs.stat(pid)) else {}, time.monotonic() - 1)
    await until(lambda: (stat := procfs.stat(pid)) is not None and stat.stopped)
    await killed(kept, name)


async def test_a_unit_that_is_started_in_a_pause_runs_after_it(kept: Kept) -> None:
    await pause(kept)
    tree = Tree(kept.folder / "seen", 4)
    name = kept.start(*tree.argv)
    await kept.keeping.look()
    await stands_still(tree)
    await kept.keeping.resume("done")
    await tree.runs()
    await killed(kept, name)


async def test_nobody_elses_processes_are_touched(kept: Kept) -> None:
    tree = Tree(kept.folder / "seen", 4)
    name = kept.start("sleep", "600")
    other = await asyncio.create_subprocess_exec(*tree.argv, start_new_session=True)
    try:
        await tree.runs()
        await pause(kept)
        await tree.runs(since=time.monotonic())
        await killed(kept, name)
    finally:
        await kill_all_of(tree)
        await other.wait()


async def kill_all_of(tree: Tree) -> None:
    """End the processes of a tree that no keeper has."""

    def living() -> list[int]:
        path = str(tree.path).encode()
        return [
            pid for pid in procfs.processes_of(os.getuid()) if path in procfs.read(f"/proc/{pid}/cmdline")
        ]

    while pids := living():
        signal_all(pids, [signal.SIGKILL])
        await asyncio.sleep(0.01)


async def test_the_time_of_a_pause_counts_against_no_limit(kept: Kept) -> None:
    began = time.monotonic()
    name = kept.start("sleep", "600", timeout_s=1.0)
    await pause(kept)
    await asyncio.sleep(1.5)
    assert kept.left()
    await kept.keeping.resume("done")
    ended = await kept.end_of(name)
    assert not isinstance(ended, Refusal)
    assert ended["ended_for"] == "timeout"
    assert ended["paused_s"] >= 1.5
    assert 1.0 <= ended["wall_s"] <= time.monotonic() - began - ended["paused_s"]


@pytest.mark.parametrize("grace_s", [0.0, 1000.0])
async def test_a_frozen_job_can_be_killed(kept: Kept, grace_s: float) -> None:
    """At once: the owner has the computer now."""
    tree = Tree(kept.folder / "seen", 8)
    name = kept.start(*tree.argv)
    await tree.runs()
    await pause(kept)
    await asyncio.wait_for(kept.keeping.end(name, grace_s), 60)
    assert kept.left() == []


async def test_a_frozen_job_that_is_given_back_has_its_grace(kept: Kept) -> None:
    name = kept.start(
        "sh", "-c", "trap 'echo saved > saved; exit 0' TERM; touch ready; while :; do sleep 0.02; done"
    )
    await until((kept.folder / "ready").exists)
    await pause(kept)
    await kept.keeping.end(name, 60, reason="yielded", thaw=True)
    assert (kept.folder / "saved").read_text() == "saved\n"
    ended = await kept.end_of(name)
    assert not isinstance(ended, Refusal)
    assert (ended["exit_code"], ended["ended_for"]) == (0, "yielded")


async def test_a_process_that_the_job_itself_has_stopped_stays_stopped(kept: Kept) -> None:
    name = kept.start("sh", "-c", "sleep 600 & echo $! > pid; kill -STOP $!; wait")
    pid = int(await appearance(kept.folder / "pid"))

    def is_stopped() -> bool:
        stat = procfs.stat(pid)
        return stat is not None and stat.stopped

    await until(is_stopped)
    await pause(kept)
    await kept.keeping.resume("done")
    assert is_stopped()
    await killed(kept, name)


async def test_a_pause_ends_by_itself(kept: Kept) -> None:
    tree = Tree(kept.folder / "seen", 4)
    name = kept.start(*tree.argv)
    await tree.runs()
    heard: list[Message | None] = []
    kept.keeping.current.on_pause = heard.append
    await pause(kept, for_s=STILL_S)
    await tree.runs(since=time.monotonic() + STILL_S)
    await until(lambda: len(heard) == 2)  # the keeper says so when all run again
    paused, resumed = heard
    assert paused is not None
    assert (paused["reason"], paused["by"], resumed) == ("I work", "jane", None)
    await killed(kept, name)


async def test_another_pause_replaces_one(kept: Kept) -> None:
    await pause(kept, for_s=1000)
    assert (await pause(kept, for_s=50))["paused"]["left_s"] <= 50
    assert 50 < (await pause(kept, for_s=2000))["paused"]["left_s"] <= 2000


async def test_no_pause_is_longer_than_the_cap(tmp_path: Path) -> None:
    async with keeper(tmp_path, max_pause_s=100.0) as kept:
        assert (await pause(kept, for_s=1e6))["paused"]["left_s"] <= 100


@pytest.mark.parametrize("for_s", [0.0, -1.0, float("nan"), float("inf")])
async def test_a_pause_of_no_length_is_refused(kept: Kept, for_s: float) -> None:
    with pytest.raises(KeeperFailed, match="seconds"):
        await pause(kept, for_s=for_s)


async def test_a_pause_outlives_its_runner_and_its_keeper_but_not_its_end(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        await pause(kept, for_s=60)
        kept.keeping.current.close()
        again = Keeping(tmp_path / "work" / "keeper")
        await again.open()
        os.kill(again.current.pid, signal.SIGKILL)
        await again.lost()
        await again.open()
        assert again.current.paused is not None
        assert 0 < again.current.paused["left_s"] < 60
        await again.resume("done")
        assert again.current.paused is None
        await again.close()
        await kept.keeping.open()
        assert kept.keeping.current.paused is None
    await gone(again.current.pid)
