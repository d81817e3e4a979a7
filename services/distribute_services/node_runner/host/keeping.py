"""The runner's side of the keeper: it has units started, waits for them, and ends them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from distribute_services.node_runner.host.link import ANSWER_S, Link
from distribute_services.node_runner.host.link import KeeperFailed as KeeperFailed
from distribute_services.node_runner.host.link import Message as Message
from distribute_services.node_runner.host.link import Refusal as Refusal
from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.keeper.build import build_of_this_code
from distribute_services.node_runner.keeper.view import Looks, View

log = logging.getLogger(__name__)

PACKAGE = "distribute_services.node_runner.keeper"
ATTEMPTS = 3
"""How often the keeper is started, if it ends while we connect."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


class Keeping:
    """The keeper of a working folder, and keepers of earlier versions that still hold units."""

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        """`settings`: `max_pause_s`, `unseen_s`, `use_cgroups`, if they are not the keeper's own; and the
        `node` and its `server`, by which people know it.
        """
        self.folder = folder
        self._settings = settings or {}
        self._current: Link | None = None
        self._older: list[Link] = []
        self._links: dict[str, Link] = {}
        """The keeper that holds a unit."""

    async def open(self) -> None:
        """Connect to the keepers; start the one of this version if it does not run.

        Does nothing while the connection to that one holds.

        Raises:
            KeeperFailed: it does not start.
        """
        if self._current is not None and not self._current.lost.done():
            return
        for link in self._older:
            link.close()
        self._older = []
        self.folder.mkdir(parents=True, exist_ok=True)
        socket = f"{build_of_this_code()}.socket"
        for _ in range(ATTEMPTS):
            self._current = await self._connect(socket)
            if self._current is not None:
                break
            await self._start()
        else:
            raise KeeperFailed(f"the keeper of {self.folder} does not stay: see {self.folder / 'log'}")
        for path in sorted(self.folder.glob("*.socket")):
            older = await self._connect(path.name) if path.name != socket else None
            if older is not None and older.units:
                self._older.append(older)
            elif older is not None:
                _release(older)
        for link in (self.current, *self._older):
            self._links.update(dict.fromkeys(link.units, link))

    async def living(self) -> list[Link]:
        """Connect to the keepers that run, and start none. Each has a runner while its link is open."""
        sockets = sorted(path.name for path in self.folder.glob("*.socket"))
        return [link for socket in sockets if (link := await self._connect(socket)) is not None]

    async def _connect(self, socket: str) -> Link | None:
        """Connect to a keeper. Returns None if there is none."""
        # A path in a socket's address may have 107 bytes only.
        here = os.open(self.folder, os.O_PATH)
        try:
            _, link = await asyncio.get_running_loop().create_unix_connection(
                Link, f"/proc/self/fd/{here}/{socket}"
            )
        except FileNotFoundError:
            return None
        except ConnectionRefusedError:  # it was killed
            (self.folder / socket).unlink(missing_ok=True)
            return None
        finally:
            os.close(here)
        try:
            await link.hello(self._settings)
        except KeeperFailed:
            link.close()
            return None
        return link

    async def _start(self) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        starter = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", PACKAGE, str(self.folder),
            stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=environment,
        )  # fmt: skip
        _, complaint = await starter.communicate()
        if starter.returncode != 0:
            lines = complaint.decode(errors="replace").strip().splitlines() or [
                f"exit code {starter.returncode}"
            ]
            raise KeeperFailed(f"the keeper of {self.folder} can't be started: {lines[-1]}")

    @property
    def current(self) -> Link:
        """The keeper that starts units."""
        assert self._current is not None, "it is opened first"
        return self._current

    @property
    def pids(self) -> frozenset[int]:
        """The processes of the keepers."""
        return frozenset(link.pid for link in (self.current, *self._older))

    @property
    def units(self) -> dict[str, Message]:
        """What the keepers held when they were opened, by name. One that has ended has an `exit`."""
        return {name: view for link in (self.current, *self._older) for name, view in link.units.items()}

    @property
    def notes(self) -> dict[str, Message]:
        """What was noted beside them, by name."""
        return {name: note for link in (self.current, *self._older) for name, note in link.notes.items()}

    def recall(self, name: str, ended: Message) -> None:
        """Take up the end of a unit that no keeper holds any more."""
        self._links[name] = self.current
        self.current.expect(name).set_result(ended)

    async def lost(self) -> None:
        """Return when the current keeper has ended, which it never does by itself."""
        await asyncio.shield(self.current.lost)

    async def end_all(self, grace_s: float, *, but: Container[str] = ()) -> None:
        """End and forget what the keepers held when they were opened, `but` these."""
        names = [name for name in self.units if name not in but]
        if names:
            log.info("ending %d jobs and builds that an earlier run of this node-runner left", len(names))
        await asyncio.gather(*(self.end(name, grace_s) for name in names))
        for name in names:
            self.forget(name)

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        stdout: str,
        treatment: Mapping[str, Any],
        timeout_s: float | None = None,
        warning: tuple[int, float] | None = None,
        grace_s: float = 0.0,
        exit_file: str | None = None,
        note: Message | None = None,
        view: View | None = None,
    ) -> None:
        """Have a process started with `name` as its marker. `wait` tells how that went.

        `treatment`: the fields of `keeper.guest.Manners`, and `memory_bytes`. `warning`: a signal, and how
        many seconds before the timeout it is sent. `grace_s`: from SIGTERM to SIGKILL, wherever it is ended.
        """
        if name in self._links:
            raise ValueError(f"{name!r} runs already")
        self._links[name] = self.current
        self.current.expect(name)
        self.current.send(
            {
                "do": "start",
                "unit": name,
                "argv": list(argv),
                "cwd": cwd,
                "env": {**env, procfs.MARKER: name},
                "stdout": stdout,
                **treatment,
                "timeout_s": timeout_s,
                "warning": warning,
                "grace_s": grace_s,
                "exit_file": exit_file,
                "note": note,
                "view": (view.at, view.own, view.scratch, view.overlay) if view is not None else None,
            }
        )

    async def wait(self, name: str) -> Message | Refusal:
        """Wait until a unit's process and all that it started have ended. Returns how its process ended.

        If the keeper ends first, this returns only after `end`.
        """
        return await asyncio.shield(self._links[name].expect(name))

    async def end(
        self, name: str, grace_s: float | None = None, *, reason: str = "killed", thaw: bool = False
    ) -> None:
        """End a unit: send SIGTERM to all its processes, and SIGKILL after `grace_s` to what is left of them.

        `grace_s` None: its own. If it is being ended already, the shorter time counts.
        Returns when `wait` does. A paused unit is killed at once, unless `thaw`: then it runs for its grace.
        """
        link = self._links[name]
        end = link.expect(name)
        link.send({"do": "end", "unit": name, "grace_s": grace_s, "why": reason, "thaw": thaw})
        ends: set[asyncio.Future[Any]] = {end, link.lost}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not end.done():
            end.set_result(_lost_with_its_keeper())

    async def pause(self, duration_s: float, *, by: str, reason: str) -> Message:
        """Stop all units for so many seconds, the keeper's cap at most. Replaces an earlier pause.

        Returns what the keeper holds, when it has stopped all.

        Raises:
            KeeperFailed: it refuses, or does not answer.
        """
        return await self._of_all({"do": "pause", "for_s": duration_s, "reason": reason, "by": by})

    async def resume(self, reason: str = "") -> Message:
        """End the pause. Returns what the keeper holds."""
        return await self._of_all({"do": "resume", "reason": reason})

    async def look(self) -> Message:
        """What the keeper holds."""
        return await self._of_all({"do": "look"})

    async def _of_all(self, message: Message) -> Message:
        """Ask all keepers. Returns the answer of the current one, with the units of all."""
        answers = [await link.ask(message) for link in (self.current, *self._older)]
        return {**answers[0], "units": [unit for answer in answers for unit in answer["units"]]}

    def forget(self, name: str) -> None:
        """The end of this unit is not needed any more."""
        link = self._links.pop(name)
        link.forget(name)
        if link in self._older and not link.units:
            self._older.remove(link)
            _release(link)

    async def start_command(
        self,
        name: str,
        number: str,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        outputs: tuple[Path, Path],
        inside: bool = True,
    ) -> asyncio.Future[Message] | Refusal:
        """Start a command in a unit. Returns its end to come, or why it does not start.

        `outputs` are pipes, for its standard output and errors, from which somebody reads. It has the
        environment of the unit's first process; `env` if that process hides its own. `inside`: it sees the
        same files, too.

        Raises:
            KeeperFailed: the keeper does not answer, or is too old.
        """
        link = self._links.get(name)
        if link is None:
            return Refusal("unit", None, "it has ended", Looks(True, True, False))
        ended = link.expect_command(number)
        message = {
            "do": "start_command",
            "unit": name,
            "command": number,
            "argv": list(argv),
            "cwd": cwd,
            "env": {**env, procfs.MARKER: name},
            "stdout": str(outputs[0]),
            "stderr": str(outputs[1]),
            "inside": inside,
        }
        try:
            answer = await link.ask(message)
        except BaseException:
            link.forget_command(number)
            raise
        if (refused := answer.get("refused")) is None:
            return ended
        link.forget_command(number)
        looks = Looks(*(refused["looks"] or (True, True, False)))
        return Refusal(refused["step"], refused["code"], refused["text"], looks)

    def signal_command(self, name: str, number: str, signal: int) -> None:
        """Send a signal to a command in a unit, and to all that it started."""
        if (link := self._links.get(name)) is not None:
            link.send({"do": "signal_command", "unit": name, "command": number, "signal": signal})

    def forget_command(self, name: str, number: str) -> None:
        """The end of this command is not needed any more."""
        if (link := self._links.get(name)) is not None:
            link.forget_command(number)

    async def pid_of(self, name: str) -> int | None:
        """The first process of a unit; None: it has ended. Raises `KeeperFailed`."""
        if (link := self._links.get(name)) is None:
            return None
        answer = await link.ask({"do": "where", "unit": name})
        return None if answer["pid"] is None else int(answer["pid"])

    def disown(self, name: str) -> None:
        """Let no later runner take this unit up."""
        self._links[name].send({"do": "disown", "unit": name})

    async def close(self) -> None:
        """Leave the keepers. One that holds nothing has ended when this returns."""
        for link in (self.current, *self._older):
            try:
                answer = await link.ask({"do": "leave"})
                if not answer["units"]:
                    await asyncio.wait({link.lost}, timeout=ANSWER_S)
            except KeeperFailed as error:
                log.debug("leaving the keeper: %s", error)
            link.close()


def _release(older: Link) -> None:
    """Let an older keeper end, which holds nothing: the current one starts all that comes."""
    older.send({"do": "leave"})


def _lost_with_its_keeper() -> Message:
    return {"exit_code": None, "signal": 9, "cpu_s": 0.0, "max_rss_bytes": 0, "wall_s": 0.0, "paused_s": 0.0,
            "started_at": 0.0, "ended_at": 0.0, "ended_for": "lost"}  # fmt: skip
