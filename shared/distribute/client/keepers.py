"""The nodes that run on this computer, and their pauses, without a network or a broker.

Each node has a keeper, which holds the processes of its jobs and takes connections on a Unix socket. It does
what is asked here for everybody whom the mode of the socket lets in.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from distribute.client.words import printable
from distribute.core.errors import DistributeError, Refused
from distribute.core.os_words import why

PROGRAM = "distribute_services.node_runner.keeper"
"""The module that a keeper's process runs."""

ANSWER_S = 10.0
"""Max. seconds to wait for a keeper's answer."""

_MAX_ANSWER = 16 << 20
_PROC = Path("/proc")


class Held(NamedTuple):
    """How a node of this computer is paused, and what it holds. `server` is its cluster.

    `since` and `until` are in seconds since 1970; None: it is not paused. `by` None: it paused itself.
    """

    node: str
    server: str
    freezes_by: str
    since: float | None
    until: float | None
    by: str | None
    reason: str
    jobs: int
    pids: tuple[int, ...]
    memory_bytes: int

    @property
    def is_paused(self) -> bool:
        """Is the node paused?"""
        return self.until is not None


class NoAnswer(DistributeError):
    """A keeper does not answer, or has ended."""


class Keeper(NamedTuple):
    """The keeper of a node: its folder, the name of its socket there, and the user that it belongs to."""

    folder: str
    socket: str
    uid: int

    async def look(self) -> Held:
        """Ask how the node is paused, and what it holds.

        Raises:
            NoAnswer: it does not answer.
            Refused: it is another user's, and takes no requests of this one.
        """
        return await self._ask({"do": "look"})

    async def pause(self, duration_s: float, *, by: str, reason: str) -> Held:
        """Freeze everything that the node runs. Replaces an earlier pause. Raises as `look`."""
        return await self._ask({"do": "pause", "for_s": duration_s, "by": by, "reason": reason})

    async def resume(self) -> Held:
        """End the pause. Raises as `look`."""
        return await self._ask({"do": "resume"})

    async def _ask(self, message: dict[str, Any]) -> Held:
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._answer(message)
        except PermissionError as error:
            raise Refused(self._why_not()) from error
        except (TimeoutError, OSError) as error:
            told = f"no answer within {ANSWER_S:g} s" if isinstance(error, TimeoutError) else why(error)
            raise NoAnswer(f"the keeper in {printable(self.folder)} can't be asked: {told}") from error
        if answer.get("type") != "look":
            raise NoAnswer(f"the keeper in {printable(self.folder)} can't do this: {answer.get('text')}")
        try:
            return _held(answer)
        except (KeyError, TypeError) as error:
            raise NoAnswer(f"the keeper in {printable(self.folder)} is of another version") from error

    async def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        # A path in a socket's address may have 107 bytes only.
        folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
        try:
            reader, writer = await asyncio.open_unix_connection(
                f"/proc/self/fd/{folder}/{self.socket}", limit=_MAX_ANSWER
            )
        finally:
            os.close(folder)
        try:
            writer.write(json.dumps(message).encode() + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise ConnectionResetError(104, "it ended") from error
        return answer if isinstance(answer, dict) else {}

    def _why_not(self) -> str:
        try:
            owner = pwd.getpwuid(self.uid).pw_name
        except KeyError:
            owner = f"the user {self.uid}"
        return (
            f"the node in {printable(self.folder)} belongs to {owner}, and takes requests of you only if"
            " 'pause_group:' in its node.yaml names a group of yours"
        )


def _held(answer: dict[str, Any]) -> Held:
    pause = answer["paused"] or {}
    units = answer["units"]
    return Held(
        node=answer["node"],
        server=answer["server"],
        freezes_by=answer["freezes_by"],
        since=pause.get("since"),
        until=pause.get("until"),
        by=pause.get("by") or None,
        reason=pause.get("reason", ""),
        jobs=len(units),
        pids=tuple(pid for unit in units for pid in unit["pids"]),
        memory_bytes=sum(unit["memory_bytes"] for unit in units),
    )


def keepers(proc: Path = _PROC) -> list[Keeper]:
    """The keepers that run on this computer, whoever they belong to, in order of their folders.

    After an upgrade of a node, an older one may hold jobs still, beside the new one.
    """
    # Each once: a process that a keeper starts has its command line until it begins its own program.
    return sorted(set(_keepers(proc)))


def _keepers(proc: Path) -> Iterator[Keeper]:
    for process in proc.iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it has ended
            words = (process / "cmdline").read_bytes().split(b"\0")
            # The one that serves: `python -P -m PROGRAM FOLDER --serve BUILD …`.
            if PROGRAM.encode() not in words[:5]:
                continue
            match words[words.index(PROGRAM.encode()) + 1 :]:
                case [folder, b"--serve", build, *_]:
                    yield Keeper(os.fsdecode(folder), f"{os.fsdecode(build)}.socket", process.stat().st_uid)
                case _:
                    continue
