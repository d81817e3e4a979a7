"""Groups of processes by cgroup version 2, where this process may make some.

No controller is needed: freezing, killing and listing work on every group of a hierarchy of version 2, also
where version 1 has the controllers (`hybrid`, as many containers and older distributions). Those that can be
had limit the groups (`limits.py`).
See https://docs.kernel.org/admin-guide/cgroup-v2.html.
"""

from __future__ import annotations

import os
import select
import time

from distribute_services.node_runner.keeper import limits, procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

SUBGROUP = "distribute-runner"
"""systemd starts the node-runner in this group of its unit (`DelegateSubgroup`), so that none but groups are
in the one above. Only such a group can pass its controllers on."""

_PREFIX = "distribute-"
_PARTS = 3
"""The name of a keeper's group has its folder, its pid and its start behind the prefix."""
_ENDS_WITHIN_S = 2.0
_POLL_S = 0.01
"""The kernel tells of a change; looking without that, too, costs little."""
_ADOPTING_ROUNDS = 10


class Cgroup:
    """One group, and the groups below it that its processes may have made."""

    __slots__ = ("is_whole", "limits", "path", "tail")

    def __init__(self, path: str) -> None:
        """Make the group, without limits.

        Raises:
            OSError: that is not allowed.
        """
        self.path = path
        self.tail = "/".join(path.split("/")[-2:])
        """The end of its path, which no other group of this computer has."""
        self.limits: dict[str, str] = {}
        """The controllers that limit it, each with its folder."""
        self.is_whole = False
        """Were all processes in it when it adopted some? A fork bomb is faster at first."""
        os.mkdir(path)  # noqa: PTH102 (no pathlib here)

    def adopt(self, members: Callable[[], Collection[int]]) -> None:
        """Move processes into the group, until `members()` names none that is outside.

        Gives up if some can't be moved. Children that they have later are born in the group.
        """
        for _ in range(_ADOPTING_ROUNDS):
            inside = self.pids()
            outside = [pid for pid in members() if pid not in inside]
            if not outside:
                self.is_whole = True
                return
            # A child that is born between two of these is outside of the last, so it is seen again.
            folders = dict.fromkeys([*self.limits.values(), self.path])
            for pid in outside:
                try:
                    for folder in folders:
                        procfs.write(f"{folder}/cgroup.procs", b"%d" % pid)
                except ProcessLookupError:
                    continue  # it has ended
                except OSError:
                    return

    def pids(self) -> set[int]:
        """All living processes in it."""
        return set(_pids_below(self.path))

    def freeze(self) -> None:
        """Stop all processes in it, and those born in it later. That takes a moment: see `await_frozen`."""
        procfs.write(f"{self.path}/cgroup.freeze", b"1")

    def thaw(self) -> None:
        """Let all processes in it go on."""
        procfs.write(f"{self.path}/cgroup.freeze", b"0")

    def await_frozen(self, until: float) -> bool:
        """Wait until all processes in it are stopped, but not longer than `until`, by the monotonic clock."""
        return _await_event(self.path, b"frozen 1", until)

    def kill(self) -> None:
        """Send SIGKILL to all processes in it at once, frozen or not."""
        kill(self.path)

    def cpu_s(self) -> float:
        """The processor time of all processes that are or were in it."""
        for line in procfs.read(f"{self.path}/cpu.stat").splitlines():
            if line.startswith(b"usage_usec "):
                return int(line.split()[1]) / 1e6
        return 0.0

    def remove(self) -> None:
        """Remove it, if no process is left in it."""
        for folder in {*self.limits.values(), self.path}:
            remove(folder)


class Cgroups:
    """The folder in which this keeper makes its groups, and the controllers that limit them."""

    __slots__ = ("_count", "controllers", "path")

    def __init__(self, path: str, controllers: dict[str, str]) -> None:
        self.path = path
        self.controllers = controllers
        self._count = 0

    def new(self, wanted: limits.Wanted) -> Cgroup:
        """Make a group, with those of the limits for which there is a controller.

        Raises:
            OSError: that is not allowed any more.
        """
        self._count += 1
        group = Cgroup(f"{self.path}/{self._count}")
        group.limits = limits.impose(wanted, self.controllers, self.path, str(self._count))
        return group

    def remove(self) -> None:
        """Remove the folder."""
        for folder in {*self.controllers.values(), self.path}:
            remove(folder)


def open_cgroups(folder_id: str) -> Cgroups | None:
    """Make a place for the groups of the keeper of one working folder; None if that is not possible here.

    Ends and removes what a killed keeper of the same folder left.
    """
    own = own_group()
    if own is not None and os.path.basename(own) == SUBGROUP:  # noqa: PTH119
        own = os.path.dirname(own)  # noqa: PTH120
    if own is None or not _can_move(own):
        return None
    for group in (own, *limits.all_own_groups()):
        _clear(group, folder_id)
    stat = procfs.stat(os.getpid())
    path = f"{own}/{_PREFIX}{folder_id}-{os.getpid()}-{stat.started if stat else 0}"
    try:
        os.mkdir(path)  # noqa: PTH102
    except OSError:
        return None
    # Kernels from 5.2 on can freeze. From 5.14 on, `cgroup.kill` exists; before, `kill` sends signals.
    if not os.path.exists(f"{path}/cgroup.freeze"):  # noqa: PTH110
        remove(path)
        return None
    return Cgroups(path, limits.controllers_of(own, path))


def _clear(own: str, folder_id: str) -> None:
    """Remove what dead keepers left in a group. End processes there if the keeper was of this folder."""
    for name in _names(own):
        if not name.startswith(_PREFIX) or name.count("-") != _PARTS:
            continue
        _, folder, pid, started = name.split("-")
        if _lives(pid, started):
            continue
        if folder == folder_id:
            kill(f"{own}/{name}")
            if os.path.exists(f"{own}/{name}/cgroup.events"):  # noqa: PTH110
                _await_event(f"{own}/{name}", b"populated 0", time.monotonic() + _ENDS_WITHIN_S)
        remove(f"{own}/{name}")


def _can_move(group: str) -> bool:
    """May this process move its children from `group` into groups below it?"""
    return os.access(f"{group}/cgroup.procs", os.W_OK) and os.access(group, os.W_OK)


def kill(path: str) -> None:
    """Send SIGKILL to all processes in a group."""
    try:
        procfs.write(f"{path}/cgroup.kill", b"1")
    except OSError:  # a kernel before 5.14
        for pid in _pids_below(path):
            try:
                os.kill(pid, 9)
            except OSError:
                continue


def remove(path: str) -> bool:
    """Remove a group and those below it, if no process is left in them."""
    for name in _names(path):
        remove(f"{path}/{name}")
    try:
        os.rmdir(path)  # noqa: PTH106
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def own_group() -> str | None:
    """The folder of this process's group of version 2."""
    mount = None
    for line in procfs.read("/proc/self/mountinfo").decode(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            _, _, _, root, mount, *_ = before.split()
            break
    if mount is None:
        return None
    for line in procfs.read("/proc/self/cgroup").decode(errors="surrogateescape").splitlines():
        if line.startswith("0::"):
            within = line.removeprefix("0::")
            if root != "/" and (within + "/").startswith(root + "/"):
                within = within.removeprefix(root)
            path = os.path.normpath(f"{mount}/{within}")
            return path if os.path.isdir(path) else None  # noqa: PTH112
    return None


def _lives(pid: str, started: str) -> bool:
    process = procfs.stat(int(pid)) if pid.isdecimal() else None
    return process is not None and process.alive and str(process.started) == started


def _await_event(path: str, event: bytes, until: float) -> bool:
    """Wait until `cgroup.events` of a group has this line. Gives up at `until`, by the monotonic clock."""
    name = f"{path}/cgroup.events"
    if event in procfs.read(name):
        return True
    fd = os.open(name, os.O_RDONLY)
    try:
        changes = select.poll()
        changes.register(fd, select.POLLPRI)
        while event not in os.pread(fd, 256, 0):
            left_s = until - time.monotonic()
            if left_s <= 0:
                return False
            changes.poll(min(left_s, _POLL_S) * 1000)
    finally:
        os.close(fd)
    return True


def _names(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _pids_below(path: str) -> list[int]:
    pids = [int(pid) for pid in procfs.read(f"{path}/cgroup.procs").split()]
    for name in _names(path):
        pids += _pids_below(f"{path}/{name}")
    return pids
