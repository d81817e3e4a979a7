"""What the keeper does: start, measure, freeze and end units, and remember how they ended."""

from __future__ import annotations

import heapq
import time
from functools import partial

from distribute_services.node_runner.keeper import limits, procfs
from distribute_services.node_runner.keeper.commands import Commands
from distribute_services.node_runner.keeper.exits import Exits
from distribute_services.node_runner.keeper.guest import Manners, make_nice
from distribute_services.node_runner.keeper.held import Held
from distribute_services.node_runner.keeper.memory import Shortage
from distribute_services.node_runner.keeper.pausing import Pausing
from distribute_services.node_runner.keeper.signalling import Strays, send
from distribute_services.node_runner.keeper.spawning import CannotSpawn
from distribute_services.node_runner.keeper.starting import Starter
from distribute_services.node_runner.keeper.units import Unit, Units, exit_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from distribute_services.node_runner.keeper.cgroup import Cgroups

    Message = dict[str, Any]

SWEEP_S = 5.0
"""Seconds between two looks for processes that belong to no unit."""

_FIRST_LOOK_S = 0.05
"""Age at which a unit gets a cgroup, and is measured: most processes are shorter, and save that."""
_FIRST_LIMITED_LOOK_S = 0.02
"""The same for one with a limit of memory: what it takes before does not count in its cgroup."""
_LOOKS_S = (0.2, 1.0, 2.0, 5.0)
_LIMITED_LOOK_S = 0.5
"""Longest time between two looks at a unit with a limit of memory."""
_FAR_TOO_MUCH = 1.25
"""A unit that uses so many times its memory has no grace period."""
_NOTED_FROM_S = 0.1
"""A unit that ended earlier gets no file with its exit, unless no runner has read it."""


class Keeper:
    """The units of one working folder, and the pause of its node."""

    def __init__(self, folder: str, cgroups: Cgroups | None, report: Callable[[Message], None]) -> None:
        """`report` sends a message to the runner."""
        self.folder = folder
        self.units = Units()
        self.exits = Exits(report)
        self.has_runner = False
        self.node = ""
        self.server = ""
        """The name of the node and the address of its cluster, for people."""
        self._cgroups = cgroups
        self._report = report
        self._wakes: list[tuple[float, int, Unit]] = []
        self._wake_count = 0
        self._sweep_at = 0.0
        self._shortage = Shortage()
        self._starter = Starter()
        self._strays = Strays(self.units)
        self.commands = Commands(self.units, report)
        self.pausing = Pausing(folder, self.units, group=self._group, changed=self._changed, report=report)

    @property
    def freezes_by(self) -> str:
        """How units are frozen: `cgroup` or `signals`."""
        return "signals" if self._cgroups is None else "cgroup"

    @property
    def _limits_processes(self) -> bool:
        """Can the kernel limit how many processes a unit has?"""
        return self._cgroups is not None and "pids" in self._cgroups.controllers

    def use_signals(self) -> None:
        """Make no more cgroups."""
        if self._cgroups is not None:
            self._cgroups.remove()
            self._cgroups = None

    # --- units -------------------------------------------------------------------------------------

    def start(self, ask: Message) -> None:
        """Start a unit. Reports only if that fails."""
        name = ask["unit"]
        if self.units.get(name) is not None:
            raise ValueError(f"{name} runs already")
        self._strays.settle()
        now, started_at = time.monotonic(), time.time()
        try:
            manners = Manners.of(ask)
            pid = self._starter.start(ask, manners, now, is_held=self._limits_processes)
        except CannotSpawn as error:
            self._refuse(name, error)
            return
        number, warn_s = ask.get("warning") or (0, None)
        held = Held(now, timeout_s=ask.get("timeout_s"), grace_s=ask.get("grace_s", 0.0), warn_s=warn_s)
        unit = Unit(name, pid, held, started_at, ask.get("exit_file"), manners)
        unit.memory_bytes = ask.get("memory_bytes")
        unit.max_processes = ask.get("max_processes")
        unit.warning = number
        self._shortage.begin(unit, now)
        unit.look_at = now + (_FIRST_LOOK_S if unit.memory_bytes is None else _FIRST_LIMITED_LOOK_S)
        self.units.add(unit)
        if self.pausing.lease is not None:
            self.pausing.freeze([unit], now)
        if ask.get("note") is not None:
            self.exits.notes[name] = ask["note"]
        if len(self.units) == 1:
            self._sweep_at = now + SWEEP_S
        self._schedule(unit)

    def _refuse(self, name: str, error: CannotSpawn) -> None:
        self._report({"type": "refused", "unit": name, **error.told()})

    def end(self, ask: Message) -> None:
        """End a unit, after its own grace period unless `grace_s` says another.

        A frozen one is killed at once, unless `thaw`: then it runs for its grace period.
        """
        unit = self.units.get(ask["unit"])
        if unit is None:
            return
        now = time.monotonic()
        if ask.get("thaw") and unit.held.is_frozen:
            self.pausing.thaw([unit], now)
        self._look(unit, now)
        grace_s = ask.get("grace_s")
        grace_s = unit.held.grace_s if grace_s is None else grace_s
        send(self.units, unit, unit.held.end(ask.get("why", "killed"), grace_s, now))
        self._schedule(unit)

    def end_all(self, why: str) -> None:
        """End all units, each after its own grace period."""
        for unit in self.units:
            self.end({"unit": unit.name, "why": why})

    def reap(self) -> None:
        """Take notice of processes that have ended."""
        now = time.monotonic()
        touched = self.units.reap(now)
        self.commands.reap()
        for unit in touched:
            if unit.status is not None and self.units.get(unit.name) is unit:
                self._first_process_ended(unit, now)

    def _first_process_ended(self, unit: Unit, now: float) -> None:
        left = self.units.members(unit)
        if not left:
            self.reap()  # the last ones may have ended after we reaped, and their usage counts
            if self.units.get(unit.name) is not unit:
                return
        if not left or unit.held.resists:
            self._finish(unit, left)
        elif not unit.held.is_ending:
            send(self.units, unit, unit.held.end_leftovers(now))
            self._schedule(unit)

    def _finish(self, unit: Unit, left: dict[int, procfs.Stat]) -> None:
        assert unit.status is not None, "a unit ends with its first process or after it"
        code, number = exit_of(unit.status)
        held, cpu_s, refused, why = unit.held, unit.cpu_s, 0, unit.held.why
        if unit.cgroup is not None:
            cpu_s = max(cpu_s, unit.cgroup.cpu_s())
            refused = limits.refused_processes(unit.cgroup.limits)
            if why is None and limits.kills_for_memory(unit.cgroup.limits):
                why = "memory"  # whatever its first process says: version 1 kills a part of the unit only
            unit.cgroup.remove()
        ended: Message = {
            "exit_code": code,
            "signal": number,
            "cpu_s": cpu_s,
            "max_rss_bytes": unit.peak_bytes,
            "wall_s": held.clock.ran(unit.ended_at),
            "paused_s": held.clock.paused(unit.ended_at),
            "started_at": unit.started_at,
            "ended_at": time.time(),
            "refused_processes": refused,
            "ended_for": why or ("oom" if self._shortage.has_ended(unit, code, number) else None),
        }
        if left:
            ended["left"] = sorted(left)
        self.units.remove(unit)
        self.exits.add(unit.name, ended, unit.exit_file)
        if ended["wall_s"] >= _NOTED_FROM_S or not self.has_runner:
            self.exits.save()
        self._report({"type": "ended", "unit": unit.name, "exit": ended})

    # --- what is due -------------------------------------------------------------------------------

    def due(self) -> float | None:
        """When `act` must be called next, by the monotonic clock."""
        times = [self._wakes[0][0]] if self._wakes else []
        if len(self.units):
            times.append(self._sweep_at)
        if (paused := self.pausing.due(SWEEP_S)) is not None:
            times.append(paused)
        return min(times, default=None)

    def act(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        self.pausing.act(now)
        if self._wakes and self._wakes[0][0] <= now:
            self.reap()  # a cgroup for what has just ended would cost more than its start
        while self._wakes and self._wakes[0][0] <= now:
            at, _, unit = heapq.heappop(self._wakes)
            if unit.wakes_at == at and self.units.get(unit.name) is unit:
                unit.wakes_at = 0.0
                self._wake(unit, now)
        if len(self.units) and self._sweep_at <= now:
            self._sweep_at = now + SWEEP_S
            self._strays.sweep()

    def _wake(self, unit: Unit, now: float) -> None:
        if unit.look_at <= now:
            self._look(unit, now)
        send(self.units, unit, unit.held.act(now))
        if unit.held.is_ending and unit.status is not None:
            self._first_process_ended(unit, now)
        if self.units.get(unit.name) is unit:
            self._schedule(unit)

    def _changed(self, unit: Unit, now: float) -> None:
        """Do what is due for a unit now, and note what will be."""
        send(self.units, unit, unit.held.act(now))
        self._schedule(unit)

    def _schedule(self, unit: Unit) -> None:
        due = unit.held.due()
        at = unit.look_at if due is None else min(unit.look_at, due)
        if unit.wakes_at and unit.wakes_at <= at:
            return
        unit.wakes_at = at
        self._wake_count += 1
        heapq.heappush(self._wakes, (at, self._wake_count, unit))

    def _look(self, unit: Unit, now: float) -> None:
        """Measure a unit. At the first look, it gets a cgroup."""
        if unit.looks == 0:
            self._group(unit)
        elif unit.cgroup is not None and not unit.cgroup.is_whole:
            unit.cgroup.adopt(partial(self.units.members, unit))
        members = self.units.members(unit)
        used_bytes = procfs.memory(members)
        unit.peak_bytes = max(unit.peak_bytes, used_bytes)
        if unit.memory_bytes is not None and used_bytes > unit.memory_bytes:
            # One that goes on growing would take the memory of others before its grace period is over.
            goes_on = used_bytes > unit.memory_bytes * _FAR_TOO_MUCH
            if goes_on or not unit.held.is_ending:
                send(self.units, unit, unit.held.end("memory", 0.0 if goes_on else unit.held.grace_s, now))
        self._mind_limits(unit, len(members), now)
        others = {pid: one.session for pid, one in members.items() if one.session not in unit.nice_sessions}
        for pid, session in others.items():
            if make_nice(pid, unit.niceness):
                unit.nice_sessions.add(session)
        is_counted = unit.max_processes is not None and not self._limits_processes
        longest_s = _LIMITED_LOOK_S if unit.memory_bytes is not None or is_counted else SWEEP_S
        unit.look_at = now + min(longest_s, _LOOKS_S[min(unit.looks, len(_LOOKS_S) - 1)])
        unit.looks += 1

    def _mind_limits(self, unit: Unit, processes: int, now: float) -> None:
        """End all of a unit of which the kernel killed a part, or that has more processes than it may."""
        why = None
        if unit.cgroup is not None and limits.kills_for_memory(unit.cgroup.limits):
            why = "memory"
        elif unit.max_processes is not None and processes > unit.max_processes:
            why = "processes"
        if why is not None and not unit.held.is_ending:
            send(self.units, unit, unit.held.end(why, 0.0, now))

    def _group(self, unit: Unit) -> None:
        if self._cgroups is None or unit.cgroup is not None:
            return
        # The keeper ends a unit that has too much memory, after its grace period. Only what grows too fast
        # for that meets the kernel's limit.
        most_bytes = int(unit.memory_bytes * _FAR_TOO_MUCH) if unit.memory_bytes is not None else None
        try:
            unit.cgroup = self._cgroups.new(limits.Wanted(most_bytes, unit.max_processes, unit.cpus))
            unit.cgroup.adopt(partial(self.units.members, unit))
        except OSError as error:
            self._report({"type": "note", "text": f"no cgroup can be made, so signals are used: {error}"})
            self.use_signals()

    # --- what others see ---------------------------------------------------------------------------

    def view(self) -> Message:
        """All units, and the pause."""
        return {
            "node": self.node,
            "server": self.server,
            "freezes_by": self.freezes_by,
            "limits": sorted(self._cgroups.controllers) if self._cgroups is not None else [],
            "paused": self.pausing.lease.view() if self.pausing.lease is not None else None,
            "units": [self._view(unit) for unit in self.units],
            "exits": self.exits.of,
        }

    def _view(self, unit: Unit) -> Message:
        pids = sorted(self.units.members(unit))
        now = time.monotonic()
        return {
            "unit": unit.name,
            "pid": unit.pid,
            "pids": pids,
            "memory_bytes": procfs.memory(pids),
            "cpus": unit.cpus,
            "started_at": unit.started_at,
            "ran_s": unit.held.clock.ran(now),
            "paused_s": unit.held.clock.paused(now),
            "frozen": unit.held.is_frozen,
            "ending": unit.held.is_ending,
        }

    def close(self) -> None:
        """Write what is in memory only, before the keeper ends."""
        self.exits.save()
        if self._cgroups is not None:
            self._cgroups.remove()
