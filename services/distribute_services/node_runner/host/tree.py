"""The process trees of attempts: all that a job's process started, and whatever that started.

The runner is a *subreaper*: a process whose parent ends becomes the runner's child, not init's. So
everything an attempt started is below the runner for as long as it lives, daemons included, and
"is anything left?" is one read of the runner's own children. Whose an orphan is, its environment
says (`procfs.MARKER`), or else its session. One that hid both (a daemon with an emptied environment)
could be any running attempt's, so it is ended with the last of them. Only a cgroup could tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from distribute.system import become_subreaper, exit_of
from distribute_services.node_runner.host import procfs
from distribute_services.node_runner.host.launch import DEFAULT_NICENESS, Process, start
from distribute_services.node_runner.host.port import CannotStart, Exit

log = logging.getLogger(__name__)

LEFTOVER_GRACE_S = 2.0
"""How long what a job left running has between SIGTERM and SIGKILL."""

_KILL_ROUND_S = 1.0
_KILL_ROUNDS = 30


class Tree:
    """An attempt's process and all below it. `marker` is unique among the attempts of this computer."""

    __slots__ = ("ending", "marker", "process")

    def __init__(self, marker: str, process: Process) -> None:
        self.marker = marker
        self.process = process
        self.ending = asyncio.Lock()


class Trees:
    """All attempts' trees of this runner. Makes this process a subreaper.

    From then on it must start nothing else in a session of its own: new children in foreign sessions
    are taken for orphans of attempts.
    """

    def __init__(self, niceness: int = DEFAULT_NICENESS) -> None:
        self._niceness = niceness
        self._by_pid: dict[int, Tree] = {}
        self._by_marker: dict[str, Tree] = {}
        self._strangers = frozenset(procfs.own_children())
        _become_subreaper()
        _keep_files_private()
        if not procfs.can_list_children():
            log.warning("this kernel (no CONFIG_PROC_CHILDREN) hides what jobs leave running: it will stay")

    def start(
        self, marker: str, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: Path
    ) -> Tree | CannotStart:
        """Start an attempt's process with `marker` in its environment. See `launch.start`."""
        if marker in self._by_marker:
            raise ValueError(f"attempt {marker!r} runs already")
        process = start(
            argv, cwd=cwd, env={**env, procfs.MARKER: marker}, stdout=stdout, niceness=self._niceness
        )
        if isinstance(process, CannotStart):
            return process
        tree = Tree(marker, process)
        self._by_pid[process.pid] = self._by_marker[marker] = tree
        return tree

    async def wait(self, tree: Tree) -> Exit:
        """How the attempt's process ended, once nothing of its tree is left.

        What outlives the process is ended first. Costs about 10 µs where there is nothing.
        """
        ended = await tree.process.wait()
        async with tree.ending:  # a kill under way keeps its own grace period
            if self._by_marker.get(tree.marker) is tree:
                if left := self._members(tree):
                    log.info("%s ended and left %d processes running: they are ended", tree.marker, len(left))
                    await _end(lambda: self._members(tree), LEFTOVER_GRACE_S, tree.marker)
                self._forget(tree)
        return ended

    async def kill(self, tree: Tree, grace_s: float) -> None:
        """End the whole tree: SIGTERM to all of it, SIGKILL after `grace_s` seconds to what is left then.

        Returns when nothing is left, or after half a minute of SIGKILLs, with what lives on in the log.
        """
        async with tree.ending:
            gone = await _end(lambda: self._members(tree), grace_s, tree.marker)
            if gone and self._by_marker.get(tree.marker) is tree:
                await tree.process.wait()
                self._forget(tree)

    async def sweep(self) -> None:
        """Reap orphans that ended, and end those that are nobody's any more.

        For now and then, as with each heartbeat: it collects what long jobs leave as zombies, and what
        could not be told to be left behind in the moment its job ended. Costs about 10 µs.
        """
        if self._members(None):
            await _end(lambda: self._members(None), LEFTOVER_GRACE_S, "jobs that are over")

    def _forget(self, tree: Tree) -> None:
        del self._by_marker[tree.marker]
        del self._by_pid[tree.process.pid]

    def _members(self, tree: Tree | None) -> list[int]:
        """The living processes of a tree (None: of none), and orphans that are nobody's."""
        alone = all(other is tree for other in self._by_marker.values())
        roots = [] if tree is None or tree.process.ended else [tree.process.pid]
        for pid, session in self._orphans():
            marker = procfs.marker(pid)
            owner = self._by_pid.get(session) if marker is None else self._by_marker.get(marker)
            # One that says nothing may be any attempt's; one of an unknown marker is a past one's.
            nobodys = owner is None and (alone or marker is not None)
            if nobodys or (owner is not None and owner is tree):
                roots.append(pid)
        return _living(roots)

    def _orphans(self) -> list[tuple[int, int]]:
        """Pid and session of the living children that are no attempt's first process. Reaps the others."""
        found = []
        own_session = os.getsid(0)
        for pid in procfs.own_children():
            if pid in self._by_pid or pid in self._strangers:
                continue
            stat = procfs.stat(pid)
            if stat is None or stat.session == own_session:
                continue
            if stat.alive:
                found.append((pid, stat.session))
            else:
                # One of the runner's own helpers (`files`), which a thread of asyncio's is just reaping,
                # has no session any more, and may be gone by now.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        return found


async def kill_leftovers(is_ours: Callable[[str], bool], grace_s: float = LEFTOVER_GRACE_S) -> int:
    """End what a runner that was killed left running; the number of processes found.

    Meant are this user's processes whose marker `is_ours` says yes to, and all below them; nothing else.
    """

    def marked() -> list[int]:
        return _living([pid for pid in procfs.processes_of(os.getuid()) if _is_marked(pid, is_ours)])

    found = await asyncio.to_thread(marked)
    if found:
        log.info("ending %d processes that an earlier run of this node-runner left", len(found))
        await _end(marked, grace_s, "an earlier run")
    return len(found)


def _is_marked(pid: int, is_ours: Callable[[str], bool]) -> bool:
    marker = procfs.marker(pid)
    return marker is not None and is_ours(marker)


async def _end(members: Callable[[], list[int]], grace_s: float, whose: str) -> bool:
    """SIGTERM to `members()`, then SIGKILL until it has none. False where some live on, which is logged."""
    forbidden: set[int] = set()
    found = members()
    # A stopped process takes its SIGTERM only once it goes on.
    _signal(found, (signal.SIGTERM, signal.SIGCONT), forbidden)
    await _until_gone(found, grace_s)
    for _ in range(_KILL_ROUNDS):
        left = [pid for pid in members() if pid not in forbidden]
        if not left:
            break
        _signal(left, (signal.SIGKILL,), forbidden)
        await _until_gone(left, _KILL_ROUND_S)
    if left := members():
        log.error("%s: processes %s could not be killed", whose, left)
    return not left


def _living(roots: list[int]) -> list[int]:
    if not roots:
        return []
    stats = ((pid, procfs.stat(pid)) for pid in dict.fromkeys(procfs.with_descendants(roots)))
    return [pid for pid, stat in stats if stat is not None and stat.alive]


def _signal(pids: Collection[int], signals: Sequence[signal.Signals], forbidden: set[int]) -> None:
    for pid in pids:
        try:
            for number in signals:
                os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:  # it runs as another user (setuid)
            forbidden.add(pid)


async def _until_gone(pids: Collection[int], timeout_s: float) -> None:
    """Until all of these have ended, or for `timeout_s` seconds."""

    async def all_gone() -> None:
        for pid in pids:
            await exit_of(pid)

    try:
        # Not `asyncio.timeout`: in a task that is being cancelled, as a build's is with its batch, it
        # raises no TimeoutError before Python 3.11.3.
        await asyncio.wait_for(all_gone(), timeout_s)
    except TimeoutError:
        log.debug("not all of %s ended within %g s", pids, timeout_s)


def _keep_files_private() -> None:
    """Jobs must not inherit what this process itself inherited open. (What Python opens is private.)"""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
            os.set_inheritable(int(name), int(name) <= 2)


def _become_subreaper() -> None:
    become_subreaper()
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # inherited: exit statuses would be thrown away
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
