"""Limits that the kernel holds a group to: its memory, its processes, and the cpus that it may use.

The controllers are those of version 2, if the group above passes them on. Otherwise they are those of
version 1, where this process may make groups: then a unit has a folder in each hierarchy.
See https://docs.kernel.org/admin-guide/cgroup-v2.html and the pages on cgroup-v1 beside it.
"""

from __future__ import annotations

import os

from distribute_services.node_runner.keeper import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Folders = dict[str, str]

CONTROLLERS = ("memory", "pids", "cpuset")


class Wanted:
    """The limits of a unit. None, or no cpus: there is no limit."""

    __slots__ = ("cpus", "memory_bytes", "processes")

    def __init__(
        self, memory_bytes: int | None = None, processes: int | None = None, cpus: Sequence[int] = ()
    ) -> None:
        self.memory_bytes = memory_bytes
        self.processes = processes
        self.cpus = cpus

    def settings(self, controller: str, folder: str) -> list[tuple[str, object]]:
        """The files of the kernel to write, each with its value. Those that do not exist are passed by."""
        if controller == "memory" and self.memory_bytes is not None:
            size = self.memory_bytes
            return [
                ("memory.max", size),
                ("memory.swap.max", 0),
                ("memory.oom.group", 1),  # all of a unit is killed, not what it needs to go on
                ("memory.limit_in_bytes", size),
                ("memory.memsw.limit_in_bytes", size),
            ]
        if controller == "pids" and self.processes is not None:
            return [("pids.max", self.processes)]
        if controller == "cpuset" and self.cpus:
            return [
                ("cpuset.mems", _memories_above(folder)),
                ("cpuset.cpus", ",".join(map(str, self.cpus))),
            ]
        return []


def controllers_of(own: str, groups: str) -> Folders:
    """The controllers that limit what is below `groups`, a group in `own`: each with the folder for it."""
    found = {}
    for controller in CONTROLLERS:
        if _pass_on(own, controller) and _pass_on(groups, controller):
            found[controller] = groups
        elif (above := _of_version_1(controller)) is not None:
            folder = f"{above}/{os.path.basename(groups)}"  # noqa: PTH119 (no pathlib here)
            try:
                os.mkdir(folder)  # noqa: PTH102
                if controller == "cpuset":
                    for name in ("cpuset.mems", "cpuset.cpus"):  # a new group has none
                        procfs.write(f"{folder}/{name}", procfs.read(f"{above}/{name}").strip())
            except OSError:
                continue
            found[controller] = folder
    return found


def all_own_groups() -> list[str]:
    """The groups of this process in the hierarchies of version 1."""
    return [path for path in map(_of_version_1, CONTROLLERS) if path is not None]


def impose(wanted: Wanted, controllers: Folders, groups: str, number: str) -> Folders:
    """Limit the group `number` below `groups`. Returns the controllers that do, each with its folder."""
    holding = {}
    for controller, above in controllers.items():
        folder = f"{above}/{number}"
        settings = wanted.settings(controller, folder)
        if not settings:
            continue
        try:
            if above != groups:
                os.mkdir(folder)  # noqa: PTH102
            for name, value in settings:
                if os.path.exists(f"{folder}/{name}"):  # noqa: PTH110
                    procfs.write(f"{folder}/{name}", str(value).encode())
        except OSError:
            continue  # the keeper watches the unit, as where there is no such controller
        holding[controller] = folder
    return holding


def kills_for_memory(holding: Folders) -> int:
    """How many processes of a group the kernel has killed because it reached its limit of memory."""
    if (folder := holding.get("memory")) is None:
        return 0
    return max(_count(f"{folder}/{name}", b"oom_kill") for name in ("memory.events", "memory.oom_control"))


def refused_processes(holding: Folders) -> int:
    """How often a group could start no process, because it had reached its limit of them."""
    return _count(f"{holding['pids']}/pids.events", b"max") if "pids" in holding else 0


def _count(path: str, name: bytes) -> int:
    for line in procfs.read(path).splitlines():
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    return 0


def _pass_on(group: str, controller: str) -> bool:
    """Let a group of version 2 pass a controller on to the groups below it, unless it does or can't.

    Only the root may do so while processes are in it, other than in groups below.
    """
    word = controller.encode()
    if word in procfs.read(f"{group}/cgroup.subtree_control").split():
        return True
    if word not in procfs.read(f"{group}/cgroup.controllers").split():
        return False
    try:
        procfs.write(f"{group}/cgroup.subtree_control", b"+" + word)
    except OSError:
        return False
    return True


def _of_version_1(controller: str) -> str | None:
    """The folder of this process's group in the hierarchy of a controller of version 1."""
    for line in procfs.read("/proc/self/mountinfo").decode(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup" and controller in options.split(","):
            _, _, _, root, mount, *_ = before.split()
            for entry in procfs.read("/proc/self/cgroup").decode(errors="surrogateescape").splitlines():
                _, names, within = entry.split(":", 2)
                if controller in names.split(","):
                    if root != "/" and (within + "/").startswith(root + "/"):
                        within = within.removeprefix(root)
                    path = os.path.normpath(f"{mount}/{within}")
                    return path if os.path.isdir(path) else None  # noqa: PTH112
    return None


def _memories_above(folder: str) -> str:
    """The memory of the group above: one of version 1 has none by itself, and all of version 2 has it."""
    return procfs.read(f"{os.path.dirname(folder)}/cpuset.mems").decode().strip()  # noqa: PTH120
