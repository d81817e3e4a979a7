"""The units that the keeper holds, and which process belongs to which.

The keeper is a *subreaper*: if the parent of a process ends, the process becomes a child of the keeper, not
of init. So everything that a unit started stays below the keeper, daemons included, and one look at the
keeper's own children shows whether anything is left. The cgroup of an orphan tells its unit, if the unit has
one; else its environment (`procfs.MARKER`) or its session does. An orphan with none of these (a daemon with
an empty environment) could belong to any running unit, so it is ended with the last of them.
"""

from __future__ import annotations

import os
import resource

from distribute_services.node_runner.keeper import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from distribute_services.node_runner.keeper.cgroup import Cgroup
    from distribute_services.node_runner.keeper.guest import Manners
    from distribute_services.node_runner.keeper.held import Held


class Unit:
    """A process, and everything that it started. `name` is its marker, which no other unit has."""

    __slots__ = (
        "cgroup", "commands", "cpu_s", "cpus", "ended_at", "exit_file", "held", "known", "look_at", "looks",
        "manners", "max_processes", "memory_bytes", "name", "nice_sessions", "niceness", "oom_kills",
        "peak_bytes", "pid", "started_at", "status", "stopped", "wakes_at", "warning",
    )  # fmt: skip

    def __init__(
        self, name: str, pid: int, held: Held, started_at: float, exit_file: str | None, manners: Manners
    ) -> None:
        self.name = name
        self.pid = pid
        self.held = held
        self.started_at = started_at
        self.exit_file = exit_file
        self.manners = manners
        self.cpus = sorted(manners.cpus)
        self.niceness = manners.niceness
        self.nice_sessions: set[int] = set()
        """Those of its sessions that are as nice."""
        self.cgroup: Cgroup | None = None
        self.status: int | None = None
        """How its first process ended, as wait(2) has it; None: it lives."""
        self.ended_at = 0.0
        """When its first process ended, by the clock of `held`."""
        self.cpu_s = 0.0
        self.peak_bytes = 0
        self.memory_bytes: int | None = None
        """How much memory it may use; None: any."""
        self.max_processes: int | None = None
        """How many processes and threads it may have at a time; None: any."""
        self.warning = 0
        """The signal that warns it before its timeout."""
        self.oom_kills = 0
        """What `procfs.oom_kills` was when it was young."""
        self.known: set[int] = set()
        """Its processes, when they were listed last."""
        self.commands: dict[int, str] = {}
        """The commands that people run in it, by the pid of their first process."""
        self.stopped: set[tuple[int, int]] = set()
        """Pid and start of the processes that got a SIGSTOP from us."""
        self.look_at = 0.0
        self.looks = 0
        self.wakes_at = 0.0

    def count(self, cpu_s: float, peak_bytes: int) -> None:
        """Count what a process used, and those that it waited for."""
        self.cpu_s += cpu_s
        self.peak_bytes = max(self.peak_bytes, peak_bytes)


class Units:
    """All units that have processes."""

    def __init__(self) -> None:
        self._by_name: dict[str, Unit] = {}
        self._by_pid: dict[int, Unit] = {}
        """By first process, as long as that lives."""
        self._by_session: dict[int, Unit] = {}
        self._owners: dict[int, Unit] = {}
        """By any process."""
        self._by_command: dict[int, Unit] = {}
        """By the first process of a command, as long as that lives."""
        self._ended_commands: list[tuple[Unit, str, int]] = []

    def __iter__(self) -> Iterator[Unit]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> Unit | None:
        """The unit of this name."""
        return self._by_name.get(name)

    def add(self, unit: Unit) -> None:
        """Add a unit whose process has just been started."""
        self._by_name[unit.name] = self._by_pid[unit.pid] = self._by_session[unit.pid] = unit

    def add_command(self, unit: Unit, pid: int, number: str) -> None:
        """Add a command that has just been started in a unit, in a session of its own."""
        unit.commands[pid] = number
        unit.known.add(pid)
        self._owners[pid] = self._by_command[pid] = self._by_session[pid] = unit

    def take_ended_commands(self) -> list[tuple[Unit, str, int]]:
        """The commands that have ended since the last call, each with its unit and its status."""
        ended, self._ended_commands = self._ended_commands, []
        return ended

    def remove(self, unit: Unit) -> None:
        """Remove a unit without processes."""
        del self._by_name[unit.name]
        self._by_pid.pop(unit.pid, None)
        for session in [session for session, owner in self._by_session.items() if owner is unit]:
            del self._by_session[session]
        self._disown(unit)

    def members(self, unit: Unit) -> dict[int, procfs.Stat]:
        """The living processes of a unit, each behind its parent.

        Signals are sent in this order: a shell whose child was ended first would go on with its script.
        """
        roots = [] if unit.status is not None else [unit.pid]
        roots += [pid for pid, owner in self._orphans() if owner is unit]
        if unit.cgroup is not None:
            roots += unit.cgroup.pids()
        found = procfs.living(dict.fromkeys(roots)) if roots else {}
        self._disown(unit)
        unit.known = set(found)
        for pid in found:
            self._owners[pid] = unit
        return found

    def own_members(self, unit: Unit) -> dict[int, procfs.Stat]:
        """The living processes of a unit, without the commands that people run in it."""
        members = self.members(unit)
        return {pid: process for pid, process in members.items() if process.session not in unit.commands}

    def strays(self) -> list[int]:
        """The living processes that belong to no unit."""
        return list(procfs.living(pid for pid, owner in self._orphans() if owner is None))

    def reap(self, now: float) -> list[Unit]:
        """Take notice of all children that have ended. Returns their units."""
        touched: dict[Unit, None] = {}
        while (pid := _next_dead()) is not None:
            unit = self._by_pid.pop(pid, None)
            owner = unit or self._owners.pop(pid, None) or self._by_session.get(_session(pid))
            _, status, usage = os.wait4(pid, 0)
            if unit is not None:
                unit.status, unit.ended_at = status, now
            if (entered := self._by_command.pop(pid, None)) is not None:
                self._ended_commands.append((entered, entered.commands.pop(pid), status))
            if owner is not None:
                owner.count(usage.ru_utime + usage.ru_stime, _peak_bytes(usage.ru_maxrss))
                touched[owner] = None
        return list(touched)

    def _disown(self, unit: Unit) -> None:
        for pid in unit.known:
            if self._owners.get(pid) is unit:
                del self._owners[pid]

    def _orphans(self) -> Iterator[tuple[int, Unit | None]]:
        """The living children of the keeper that are no first processes, each with its unit.

        Leaves out those that may belong to any of several units. None: it belongs to a unit that is over.
        """
        for pid in procfs.own_children():
            if pid in self._by_pid:
                continue
            process = procfs.stat(pid)
            if process is None or not process.alive:
                continue
            owner = self._owners.get(pid) or self._by_cgroup(pid)
            mark = procfs.marker(pid) if owner is None else None
            if owner is None:
                owner = self._by_session.get(process.session) if mark is None else self._by_name.get(mark)
            if owner is None and mark is None and len(self._by_name) == 1:
                owner = next(iter(self._by_name.values()))
            if owner is not None or mark is not None or not self._by_name:
                yield pid, owner

    def _by_cgroup(self, pid: int) -> Unit | None:
        grouped = [unit for unit in self._by_name.values() if unit.cgroup is not None]
        if not grouped:
            return None
        path = procfs.read(f"/proc/{pid}/cgroup").decode(errors="surrogateescape")
        within = next((line[3:] for line in path.splitlines() if line.startswith("0::")), "") + "/"
        for unit in grouped:
            if unit.cgroup is not None and f"/{unit.cgroup.tail}/" in within:
                return unit
        return None


def signal_all(pids: Iterable[int], numbers: Iterable[int]) -> None:
    """Send signals to processes, except those of other users and those that have ended."""
    for pid in pids:
        try:
            for number in numbers:
                os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def exit_of(status: int) -> tuple[int | None, int | None]:
    """The exit code, or the signal, of a status of wait(2)."""
    code = os.waitstatus_to_exitcode(status)
    return (code, None) if code >= 0 else (None, -code)


def _peak_bytes(peak_kib: int) -> int:
    """The peak memory of a process that has ended; 0 if it is unknown.

    A process inherits the peak of the keeper, because exec keeps the high-water mark of the memory that it
    replaces. So a figure up to the keeper's own peak tells nothing.
    """
    return peak_kib * 1024 if peak_kib > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss else 0


def _next_dead() -> int | None:
    """A child that has ended and was not waited for."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found is not None else None


def _session(pid: int) -> int:
    process = procfs.stat(pid)
    return process.session if process is not None else -1
