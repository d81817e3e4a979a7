"""Ending an attempt ends its whole process tree, and no other process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from distribute_services.node_runner.host import procfs
from distribute_services.node_runner.host.tree import Tree, Trees, kill_leftovers

ENV = {"PATH": "/usr/bin:/bin"}

DAEMON = """
import os, signal, sys, time
ready, begun = os.pipe()  # closed once the daemon runs, or runs another program
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else signal.SIG_DFL)
        if "hidden" in sys.argv:
            os.execve("/bin/sleep", ["sleep", "60"], {})
        with open("daemon.pid", "w") as file:
            file.write(str(os.getpid()))
        os.close(begun)
        time.sleep(60)
    os._exit(0)
os.wait()
os.close(begun)
os.read(ready, 1)
if "stay" in sys.argv:
    time.sleep(60)
"""


def begin(trees: Trees, folder: Path, *argv: str, marker: str | None = None) -> Tree:
    marker = marker or uuid.uuid4().hex  # tests may run beside each other
    tree = trees.start(marker, argv, cwd=folder, env=ENV, stdout=folder / f"out-{marker}")
    assert isinstance(tree, Tree), tree
    return tree


def begin_daemon(trees: Trees, folder: Path, *how: str, marker: str | None = None) -> Tree:
    return begin(trees, folder, sys.executable, "-c", DAEMON, *how, marker=marker)


def popen(*argv: str, start_new_session: bool = False) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, start_new_session=start_new_session)


async def until(condition: Callable[[], bool]) -> None:
    """Poll a condition that depends on other processes, which notify nobody."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def appearance(path: Path) -> str:
    """Wait for a file that a process writes, and return its content."""
    await until(lambda: path.exists() and path.read_text() != "")
    return path.read_text()


def alive(pid: int) -> bool:
    stat = procfs.stat(pid)
    return stat is not None and stat.alive


async def test_daemon_left_behind_is_ended_before_its_job_is_over(tmp_path: Path) -> None:
    trees = Trees()
    tree = begin_daemon(trees, tmp_path)
    ended = await asyncio.wait_for(trees.wait(tree), 10)
    assert ended.exit_code == 0
    assert not alive(int((tmp_path / "daemon.pid").read_text()))


async def test_stubborn_daemon_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distribute_services.node_runner.host.tree.LEFTOVER_GRACE_S", 0.1)
    trees = Trees()
    await asyncio.wait_for(trees.wait(begin_daemon(trees, tmp_path, "stubborn")), 10)
    assert not alive(int((tmp_path / "daemon.pid").read_text()))


async def test_daemon_without_environment_is_ended_with_the_last_attempt(tmp_path: Path) -> None:
    trees = Trees()
    before = set(procfs.own_children())
    other = begin(trees, tmp_path, "sleep", "60", marker="other")
    await trees.wait(begin_daemon(trees, tmp_path, "hidden", marker="hider"))
    hidden = set(procfs.own_children()) - before - {other.process.pid}
    assert len(hidden) == 1
    await trees.kill(other, grace_s=5)
    assert not any(alive(pid) for pid in hidden)


async def test_kill_ends_the_whole_tree_and_only_that(tmp_path: Path) -> None:
    trees = Trees()
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    killed = begin_daemon(trees, one, "stay", marker="one")
    spared = begin_daemon(trees, two, "stay", marker="two")
    pids = [int(await appearance(folder / "daemon.pid")) for folder in (one, two)]
    await trees.kill(killed, grace_s=5)
    assert [alive(pid) for pid in pids] == [False, True]
    assert (await trees.wait(killed)).signal == signal.SIGTERM
    assert not spared.process.ended
    await trees.kill(spared, grace_s=5)
    assert not alive(pids[1])


async def test_a_tree_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    trees = Trees()
    tree = begin(trees, tmp_path, "sh", "-c", "trap '' TERM; touch ready; while :; do sleep 1; done")
    await until((tmp_path / "ready").exists)
    begun = time.monotonic()
    await trees.kill(tree, grace_s=0.5)
    assert 0.5 <= time.monotonic() - begun < 3
    assert (await trees.wait(tree)).signal == signal.SIGKILL


async def test_a_tree_is_killed_after_the_grace_period_if_the_waiting_task_is_cancelled(
    tmp_path: Path,
) -> None:
    """A build is cancelled with its batch. Before Python 3.11.3 `asyncio.timeout` fails in that case."""
    trees = Trees()
    tree = begin(trees, tmp_path, "sh", "-c", "trap '' TERM; touch ready; while :; do sleep 1; done")
    await until((tmp_path / "ready").exists)

    async def wait_and_end() -> None:
        try:
            await trees.wait(tree)
        finally:
            await trees.kill(tree, grace_s=0.1)

    waiting = asyncio.create_task(wait_and_end())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert tree.process.ended
    assert (await trees.wait(tree)).signal == signal.SIGKILL


async def test_a_job_may_clean_up_within_its_grace_period(tmp_path: Path) -> None:
    trees = Trees()
    script = "trap 'sleep 0.3; echo cleaned; exit 5' TERM; touch ready; while :; do sleep 0.05; done"
    tree = begin(trees, tmp_path, "sh", "-c", script)
    await until((tmp_path / "ready").exists)
    waiting = asyncio.create_task(trees.wait(tree))
    await trees.kill(tree, grace_s=10)
    assert (await waiting).exit_code == 5
    assert "cleaned" in next(tmp_path.glob("out-*")).read_text()


async def test_stopped_processes_are_ended(tmp_path: Path) -> None:
    trees = Trees()
    tree = begin(trees, tmp_path, "sleep", "60")
    os.kill(tree.process.pid, signal.SIGSTOP)
    await asyncio.wait_for(trees.kill(tree, grace_s=10), 5)
    assert (await trees.wait(tree)).signal == signal.SIGTERM


async def test_nothing_is_left_when_children_are_born_all_the_time(tmp_path: Path) -> None:
    trees = Trees()
    tree = begin(trees, tmp_path, "sh", "-c", "trap '' TERM; while :; do sleep 0.01 & sleep 0.02; done")
    await asyncio.sleep(0.2)  # some generations
    await asyncio.wait_for(trees.kill(tree, grace_s=0.1), 10)
    ended = await trees.wait(tree)
    assert ended.signal == signal.SIGKILL
    assert not [pid for pid in procfs.processes_of(os.getuid()) if procfs.marker(pid) == tree.marker]


async def test_zombies_are_reaped(tmp_path: Path) -> None:
    trees = Trees()
    before = set(procfs.own_children())
    tree = begin(trees, tmp_path, "sh", "-c", "for i in 1 2 3; do (setsid sleep 0.1 &) ; done; exec sleep 60")
    async with asyncio.timeout(10):
        await until(lambda: len(set(procfs.own_children()) - before) == 4)
        while set(procfs.own_children()) - before != {tree.process.pid}:
            await trees.sweep()
            await asyncio.sleep(0.01)
    await trees.kill(tree, grace_s=5)


async def test_the_runners_own_children_are_left_alone(tmp_path: Path) -> None:
    older = popen("sleep", "60", start_new_session=True)
    trees = Trees()
    helper = popen("sleep", "60")
    try:
        await trees.wait(begin(trees, tmp_path, "true"))
        await trees.sweep()
        assert alive(helper.pid)
        assert alive(older.pid)
    finally:
        for process in (helper, older):
            process.kill()
            process.wait()


async def test_open_files_are_not_inherited(tmp_path: Path) -> None:
    inherited = os.dup(0)
    os.set_inheritable(inherited, True)  # like a file that was open when this process started
    try:
        trees = Trees()
        await trees.wait(begin(trees, tmp_path, "ls", "/proc/self/fd", marker="files"))
    finally:
        os.close(inherited)
    assert (tmp_path / "out-files").read_text().split() == ["0", "1", "2", "3"]  # 3: the listing itself


async def test_a_marker_in_use_is_refused(tmp_path: Path) -> None:
    trees = Trees()
    tree = begin(trees, tmp_path, "sleep", "60", marker="same")
    with pytest.raises(ValueError, match="runs already"):
        begin(trees, tmp_path, "true", marker="same")
    await trees.kill(tree, grace_s=5)
    await trees.wait(begin(trees, tmp_path, "true", marker="same"))


RUNNER = """
import asyncio, pathlib, sys
from distribute_services.node_runner.host.tree import Trees

async def main(folder, daemon, *owners):
    trees = Trees()
    for owner in owners:
        own = pathlib.Path(folder) / owner
        own.mkdir()
        argv = [sys.executable, "-c", daemon, "stay"]
        trees.start(f"{owner}/1", argv, cwd=own, env={}, stdout=own / "out")
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_of_a_killed_runner_are_ended(tmp_path: Path) -> None:
    ours, foreign = uuid.uuid4().hex, uuid.uuid4().hex
    runner = popen(sys.executable, "-c", RUNNER, str(tmp_path), DAEMON, ours, foreign)
    pids = [int(await appearance(tmp_path / owner / "daemon.pid")) for owner in (ours, foreign)]
    runner.kill()
    runner.wait()
    try:
        assert all(map(alive, pids))
        assert await kill_leftovers(lambda marker: marker.startswith(ours), grace_s=5) == 2
        assert [alive(pid) for pid in pids] == [False, True]
        assert await kill_leftovers(lambda marker: marker.startswith(ours)) == 0
    finally:
        await kill_leftovers(lambda marker: marker.startswith(foreign), grace_s=5)
    assert not alive(pids[1])


async def test_starting_and_ending_a_process_is_cheap(tmp_path: Path) -> None:
    """The bounds are twenty times what we measured. They catch a scan of all processes, or a sleep."""
    trees = Trees()
    argv, count = ("/bin/true",), 100
    cpu = time.process_time()
    for number in range(count):
        await trees.wait(begin(trees, tmp_path, *argv, marker=str(number)))
    a_job_us = (time.process_time() - cpu) / count * 1e6
    assert a_job_us < 4000


async def test_helpers_that_asyncio_reaps_are_left_alone() -> None:
    """Up to Python 3.11 a thread reaps them while we look for orphans."""
    trees = Trees()
    for _ in range(1000):
        helper = await asyncio.create_subprocess_exec("/bin/true")
        ended = asyncio.ensure_future(helper.wait())
        while not ended.done():
            for _ in range(20):
                await trees.sweep()
            await asyncio.sleep(0)
        assert ended.result() == 0
