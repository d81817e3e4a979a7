"""The process trees of attempts: a job's process, and everything below it.

The runner is a *subreaper*: if the parent of a process ends, the process becomes a child of the runner, not
of init. So everything that an attempt started stays below the runner, daemons included, and one look at the
runner's own children shows whether anything is left. The environment of an orphan names its attempt
(`procfs.MARKER`), or its session does. An orphan with neither (a daemon with an empty environment) could
belong to any running attempt, so we end it with the last of them. Only a cgroup could tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from distribute.host import CannotStart, Exit
from distribute.system import become_subreaper, exit_of
from distribute_services.node_runner.host import procfs
from distribute_services.node_runner.host.launch import DEFAULT_NICENESS, Process, start
from distribute_services.node_runner.host.view import View

log = logging.getLogger(__name__)

LEFTOVER_GRACE_S = 2.0
"""Seconds from SIGTERM to SIGKILL for processes that a job left running."""

_KILL_ROUND_S = 1.0
_KILL_ROUNDS = 30


class Tree:
    """An attempt's process and all below it. No other attempt on this computer has its `marker`."""

    __slots__ = ("ending", "marker", "process")

    def __init__(self, marker: str, process: Process) -> None:
        self.marker = marker
        self.process = process
        self.ending = asyncio.Lock()


class Trees:
    """The trees of all attempts of this runner. Makes this process a subreaper.

    From then on, this process must not start anything else in a session of its own: `Trees` would take that
    for an orphan of an attempt.
    """

    def __init__(self, niceness: int = DEFAULT_NICENESS) -> None:
        self._niceness = niceness
        self._by_pid: dict[int, Tree] = {}
        self._by_marker: dict[str, Tree] = {}
        self._strangers = frozenset(procfs.own_children())
        _become_subreaper()
        _keep_files_private()
        if not procfs.can_list_children():
            log.warning("this kernel has no CONFIG_PROC_CHILDREN: processes that jobs leave behind will stay")

    def start(
        self,
        marker: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: Path,
        view: View | None = None,
    ) -> Tree | CannotStart:
        """Start an attempt's process with `marker` in its environment. See `launch.start`."""
        if marker in self._by_marker:
            raise ValueError(f"attempt {marker!r} runs already")
        process = start(
            argv,
            cwd=cwd,
            env={**env, procfs.MARKER: marker},
            stdout=stdout,
            niceness=self._niceness,
            view=view,
        )
        if isinstance(process, CannotStart):
            return process
        tree = Tree(marker, process)
        self._by_pid[process.pid] = self._by_marker[marker] = tree
        return tree

    async def wait(self, tree: Tree) -> Exit:
        """Wait for the end of an attempt's process, and end what it left running. Returns how it ended.

        Takes about 10 µs more than the process if it left nothing.
        """
        ended = await tree.process.wait()
        async with tree.ending:  # a kill that is under way has its own grace period
            if self._by_marker.get(tree.marker) is tree:
                if left := self._members(tree):
                    log.info("%s ended and left %d processes running: ending them", tree.marker, len(left))
                    await _end(lambda: self._members(tree), LEFTOVER_GRACE_S, tree.marker)
                self._forget(tree)
        return ended

    async def kill(self, tree: Tree, grace_s: float) -> None:
        """End the whole tree: send SIGTERM to all of it, and SIGKILL after `grace_s` seconds to what is left.

        Returns when nothing is left; or after half a minute of SIGKILLs, and then logs what still lives.
        """
        async with tree.ending:
            gone = await _end(lambda: self._members(tree), grace_s, tree.marker)
            if gone and self._by_marker.get(tree.marker) is tree:
                await tree.process.wait()
                self._forget(tree)

    async def sweep(self) -> None:
        """Reap orphans that have ended, and end those whose attempt is over.

        Call this every few seconds: it reaps zombies of long jobs, and ends processes whose job was unknown
        when it ended. Takes about 10 µs.
        """
        if self._members(None):
            await _end(lambda: self._members(None), LEFTOVER_GRACE_S, "jobs that are over")

    def _forget(self, tree: Tree) -> None:
        del self._by_marker[tree.marker]
        del self._by_pid[tree.process.pid]

    def _members(self, tree: Tree | None) -> list[int]:
        """The living processes of a tree (None: of no tree), and orphans of attempts that are over."""
        alone = all(other is tree for other in self._by_marker.values())
        roots = [] if tree is None or tree.process.ended else [tree.process.pid]
        for pid, session in self._orphans():
            marker = procfs.marker(pid)
            owner = self._by_pid.get(session) if marker is None else self._by_marker.get(marker)
            # An orphan without a marker may belong to any attempt; an unknown marker belongs to a past one.
            nobodys = owner is None and (alone or marker is not None)
            if nobodys or (owner is not None and owner is tree):
                roots.append(pid)
        return _living(roots)

    def _orphans(self) -> list[tuple[int, int]]:
        """Pid and session of the living orphans among this process's children. Reaps the dead ones."""
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
                # One of them may be a helper of the runner (`disk.files`), which asyncio reaps in a thread.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        return found


async def kill_leftovers(is_ours: Callable[[str], bool], grace_s: float = LEFTOVER_GRACE_S) -> int:
    """End the processes that a killed runner left. Returns the number of processes found.

    Those are the processes of this user for whose marker `is_ours` returns True, and all below them.
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
    """Send SIGTERM to `members()`, then SIGKILL until none is left. Returns False if some can't be killed."""
    forbidden: set[int] = set()
    found = members()
    # A stopped process handles SIGTERM only when it continues.
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
    """Wait until all of these have ended, for `timeout_s` seconds at most."""

    async def all_gone() -> None:
        for pid in pids:
            await exit_of(pid)

    try:
        # Not `asyncio.timeout`: before Python 3.11.3 it raises no TimeoutError in a task that is being
        # cancelled, as the task of a build is when its batch ends.
        await asyncio.wait_for(all_gone(), timeout_s)
    except TimeoutError:
        log.debug("not all of %s ended within %g s", pids, timeout_s)


def _keep_files_private() -> None:
    """Keep jobs from inheriting the files that this process inherited. Python opens its own as private."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):  # the descriptor of the listing is closed by now
            os.set_inheritable(int(name), int(name) <= 2)


def _become_subreaper() -> None:
    become_subreaper()
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # inherited: exit statuses would be thrown away
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
