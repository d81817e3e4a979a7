"""Commands that people run in a unit, beside its own processes.

A command is a process of the unit like any other: it is frozen and measured with it, has its cores, counts
against its memory, and ends with it. It begins with the environment and the files of the unit's first
process.
"""

from __future__ import annotations

import os
import signal
from functools import partial

from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.keeper.entering import Inside
from distribute_services.node_runner.keeper.spawning import CannotSpawn, spawn_command
from distribute_services.node_runner.keeper.units import exit_of, signal_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from distribute_services.node_runner.keeper.units import Unit, Units

    Message = dict[str, Any]


class Commands:
    """The commands in all units."""

    def __init__(self, units: Units, report: Callable[[Message], None]) -> None:
        self._units = units
        self._report = report

    def start(self, ask: Message) -> Message:
        """Start a command in a unit. The answer has `refused`, if it can't be started.

        It has the environment of the unit's first process, or `env` if that process hides its own. `inside`:
        it sees the same files; else those of the keeper.
        """
        unit, number = self._units.get(ask["unit"]), ask["command"]
        answer: Message = {"type": "command", "command": number}
        if unit is None or unit.status is not None or unit.held.is_ending:
            return {**answer, "refused": CannotSpawn("unit", None, "it has ended").told()}
        if unit.held.is_frozen:
            return {**answer, "refused": CannotSpawn("paused", None, "it is paused").told()}
        env = procfs.environment(unit.pid)
        if env.get(procfs.MARKER) != unit.name:  # it has overwritten it, or hides it
            env = ask["env"]
        try:
            inside = Inside(unit.pid if ask["inside"] else os.getpid(), ask["cwd"])
            pid = spawn_command(inside, ask["argv"], env, ask["stdout"], ask["stderr"], unit.manners)
        except CannotSpawn as error:
            return {**answer, "refused": error.told()}
        self._units.add_command(unit, pid, number)
        if unit.cgroup is not None:
            unit.cgroup.adopt(partial(self._units.members, unit))
        return answer

    def reap(self) -> None:
        """Report the commands that have ended."""
        for unit, number, status in self._units.take_ended_commands():
            code, by = exit_of(status)
            ended = {"type": "command_ended", "unit": unit.name, "command": number}
            self._report({**ended, "exit_code": code, "signal": by})

    def signal(self, ask: Message) -> None:
        """Send a signal to a command, and to all that it started."""
        unit = self._units.get(ask["unit"])
        if unit is None:
            return
        for pid, number in unit.commands.items():
            if number == ask["command"]:
                signal_all(self._below(unit, pid), [ask["signal"]])

    def end_all(self) -> None:
        """End all commands: whoever wanted to see what they print is gone."""
        for unit in self._units:
            for pid in unit.commands:
                signal_all(self._below(unit, pid), [signal.SIGKILL])

    def _below(self, unit: Unit, pid: int) -> list[int]:
        """The processes of a command: those below it, and those of its session."""
        members = self._units.members(unit)
        below = procfs.living([pid])
        return [other for other, process in members.items() if other in below or process.session == pid]
