"""What the keeper does: start, measure, freeze and end units, and remember how they ended."""

from __future__ import annotations

import heapq
import json
import os
import signal
import time
from functools import partial

from distribute_services.node_runner.keeper import freezing, lease, procfs
from distribute_services.node_runner.keeper.guest import Manners, make_nice
from distribute_services.node_runner.keeper.held import LEFTOVER_GRACE_S, Held
from distribute_services.node_runner.keeper.memory import Shortage
from distribute_services.node_runner.keeper.pausing import Pausing
from distribute_services.node_runner.keeper.spawning import CannotSpawn, spawn
from distribute_services.node_runner.keeper.units import Unit, Units, exit_of, signal_all
from distribute_services.node_runner.keeper.view import View

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
_LOOKS_S = (0.2, 1.0, 2.0, 5.0)
_LIMITED_LOOK_S = 0.5
"""Longest time between two looks at a unit with a limit of memory."""
_NOTED_FROM_S = 0.1
"""A unit that ended earlier gets no file with its exit, unless no runner has read it."""
_STOP_S = 0.1
"""Longest time for which the keeper stops processes before it kills them."""


class Keeper:
    """The units of one working folder, and the pause of its node."""

    def __init__(self, folder: str, cgroups: Cgroups | None, report: Callable[[Message], None]) -> None:
        """`report` sends a message to the runner."""
        self.folder = folder
        self.units = Units()
        self.exits: dict[str, Message] = {}
        """How units ended that were not forgotten yet."""
        self.notes: dict[str, Message] = {}
        """What the runner noted beside units, for a later one. Kept until they are forgotten."""
        self.has_runner = False
        self.node = ""
        self.server = ""
        """The name of the node and the address of its cluster, for people."""
        self._cgroups = cgroups
        self._report = report
        self._unsaved: dict[str, tuple[str, Message]] = {}
        self._wakes: list[tuple[float, int, Unit]] = []
        self._wake_count = 0
        self._sweep_at = 0.0
        self._shortage = Shortage()
        self._strays: set[int] = set()
        self.pausing = Pausing(folder, self.units, group=self._group, changed=self._changed, report=report)

    @property
    def freezes_by(self) -> str:
        """How units are frozen: `cgroup` or `signals`."""
        return "signals" if self._cgroups is None else "cgroup"

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
        self._settle_leftovers()
        now, started_at = time.monotonic(), time.time()
        try:
            manners = Manners.of(ask)
            view = View(*ask["view"]) if ask.get("view") else None
            pid = spawn(ask["argv"], ask["cwd"], ask["env"], ask["stdout"], manners, view)
        except CannotSpawn as error:
            self._refuse(name, error)
            return
        warning = ask.get("warning")
        held = Held(
            now,
            timeout_s=ask.get("timeout_s"),
            grace_s=ask.get("grace_s", 0.0),
            warning=tuple(warning) if warning else None,
        )
        unit = Unit(name, pid, held, started_at, ask.get("exit_file"), manners)
        unit.memory_bytes = ask.get("memory_bytes")
        self._shortage.begin(unit, now)
        unit.look_at = now + _FIRST_LOOK_S
        self.units.add(unit)
        if self.pausing.lease is not None:
            self.pausing.freeze([unit], now)
        if ask.get("note") is not None:
            self.notes[name] = ask["note"]
        if len(self.units) == 1:
            self._sweep_at = now + SWEEP_S
        self._schedule(unit)

    def _refuse(self, name: str, error: CannotSpawn) -> None:
        looks = error.looks
        self._report(
            {
                "type": "refused",
                "unit": name,
                "step": error.step,
                "code": error.code,
                "text": error.text,
                "looks": [looks.has_folder, looks.exists, looks.is_folder] if looks is not None else None,
            }
        )

    def end(self, ask: Message) -> None:
        """End a unit. A frozen one is killed at once, unless `thaw`: then it runs for its grace period."""
        unit = self.units.get(ask["unit"])
        if unit is None:
            return
        now = time.monotonic()
        if ask.get("thaw") and unit.held.is_frozen:
            self.pausing.thaw([unit], now)
        self._look(unit, now)
        self._send(unit, unit.held.end(ask.get("why", "killed"), ask["grace_s"], now))
        self._schedule(unit)

    def end_all(self, why: str, grace_s: float) -> None:
        """End all units."""
        for unit in self.units:
            self.end({"unit": unit.name, "why": why, "grace_s": grace_s})

    def forget(self, name: str) -> None:
        """The runner needs this unit's exit no more."""
        self.exits.pop(name, None)
        self.notes.pop(name, None)
        self._unsaved.pop(name, None)

    def disown(self, name: str) -> None:
        """No later runner is to take this unit up."""
        self.notes.pop(name, None)

    def reap(self) -> None:
        """Take notice of processes that have ended."""
        now = time.monotonic()
        for unit in self.units.reap(now):
            if unit.status is not None and self.units.get(unit.name) is unit:
                self._first_process_ended(unit, now)

    def _first_process_ended(self, unit: Unit, now: float) -> None:
        left = self.units.members(unit)
        if not left or unit.held.resists:
            self._finish(unit, left)
        elif not unit.held.is_ending:
            self._send(unit, unit.held.end(None, LEFTOVER_GRACE_S, now))
            self._schedule(unit)

    def _finish(self, unit: Unit, left: dict[int, procfs.Stat]) -> None:
        assert unit.status is not None, "a unit ends with its first process or after it"
        code, number = exit_of(unit.status)
        held, cpu_s = unit.held, unit.cpu_s
        if unit.cgroup is not None:
            cpu_s = max(cpu_s, unit.cgroup.cpu_s())
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
            "ended_for": held.why or ("oom" if self._shortage.has_ended(unit, code, number) else None),
        }
        if left:
            ended["left"] = sorted(left)
        self.units.remove(unit)
        self.exits[unit.name] = ended
        if unit.exit_file is not None:
            self._unsaved[unit.name] = (unit.exit_file, ended)
            if ended["wall_s"] >= _NOTED_FROM_S or not self.has_runner:
                self.save()
        self._report({"type": "ended", "unit": unit.name, "exit": ended})

    def save(self) -> None:
        """Write the exits that are in memory only."""
        for name, (path, ended) in self._unsaved.items():
            part = f"{path}.part"
            beside = {"unit": name, "note": self.notes.get(name), "boot_id": lease.boot_id()}
            try:
                with open(part, "w", encoding="ascii") as file:  # noqa: PTH123 (no pathlib here)
                    json.dump({**ended, **beside}, file)
                os.replace(part, path)  # noqa: PTH105
            except OSError as error:
                self._report({"type": "note", "text": f"the end of a job could not be noted: {error}"})
        self._unsaved.clear()

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
        while self._wakes and self._wakes[0][0] <= now:
            at, _, unit = heapq.heappop(self._wakes)
            if unit.wakes_at == at and self.units.get(unit.name) is unit:
                unit.wakes_at = 0.0
                self._wake(unit, now)
        if len(self.units) and self._sweep_at <= now:
            self._sweep_at = now + SWEEP_S
            self._sweep()

    def _wake(self, unit: Unit, now: float) -> None:
        if unit.look_at <= now:
            self._look(unit, now)
        self._send(unit, unit.held.act(now))
        if unit.held.is_ending and unit.status is not None:
            self._first_process_ended(unit, now)
        if self.units.get(unit.name) is unit:
            self._schedule(unit)

    def _changed(self, unit: Unit, now: float) -> None:
        """Do what is due for a unit now, and note what will be."""
        self._send(unit, unit.held.act(now))
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
        members = self.units.members(unit)
        used_bytes = procfs.memory(members)
        unit.peak_bytes = max(unit.peak_bytes, used_bytes)
        if unit.memory_bytes is not None and used_bytes > unit.memory_bytes and not unit.held.is_ending:
            self._send(unit, unit.held.end("memory", 0.0, now))
        others = {pid: one.session for pid, one in members.items() if one.session not in unit.nice_sessions}
        for pid, session in others.items():
            if make_nice(pid, unit.niceness):
                unit.nice_sessions.add(session)
        longest_s = _LIMITED_LOOK_S if unit.memory_bytes is not None else SWEEP_S
        unit.look_at = now + min(longest_s, _LOOKS_S[min(unit.looks, len(_LOOKS_S) - 1)])
        unit.looks += 1

    def _group(self, unit: Unit) -> None:
        if self._cgroups is None or unit.cgroup is not None:
            return
        try:
            unit.cgroup = self._cgroups.new()
            unit.cgroup.adopt(partial(self.units.members, unit))
        except OSError as error:
            self._report({"type": "note", "text": f"no cgroup can be made, so signals are used: {error}"})
            self.use_signals()

    def _send(self, unit: Unit, numbers: list[int]) -> None:
        for number in numbers:
            if number == signal.SIGKILL:
                self._kill(unit)
            else:
                # A stopped process handles a signal only when it continues.
                asked = (number, signal.SIGCONT) if number == signal.SIGTERM else (number,)
                signal_all(self.units.members(unit), asked)

    def _kill(self, unit: Unit) -> None:
        grouped: set[int] = set()
        if unit.cgroup is not None:
            unit.cgroup.kill()
            grouped = unit.cgroup.pids()
        found = self.units.members(unit)
        if len(found.keys() - grouped) > 1:  # stopped, they have no more children
            freezing.stop(unit, partial(self.units.members, unit), time.monotonic() + _STOP_S, grouped)
            found = self.units.members(unit)
        signal_all(found, [signal.SIGKILL])

    def _sweep(self) -> None:
        """End processes that belong to no unit: with SIGTERM, and with SIGKILL when they are seen again."""
        strays = set(self.units.strays())
        signal_all(strays - self._strays, [signal.SIGTERM, signal.SIGCONT])
        signal_all(strays & self._strays, [signal.SIGKILL])
        self._strays = strays

    def _settle_leftovers(self) -> None:
        """Before the first unit of an idle keeper: kill what earlier ones left in spite of all signals."""
        if not len(self.units) and self._strays:
            signal_all(self.units.strays(), [signal.SIGKILL])
            self._strays = set()

    # --- what others see ---------------------------------------------------------------------------

    def view(self) -> Message:
        """All units, and the pause."""
        return {
            "node": self.node,
            "server": self.server,
            "freezes_by": self.freezes_by,
            "paused": self.pausing.lease.view() if self.pausing.lease is not None else None,
            "units": [self._view(unit) for unit in self.units],
            "exits": self.exits,
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
        self.save()
        if self._cgroups is not None:
            self._cgroups.remove()
