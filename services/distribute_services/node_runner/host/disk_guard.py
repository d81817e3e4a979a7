"""End a job before it fills its node's disk: the one whose folder has grown most.

A full disk harms whoever sits at the computer, and all jobs beside the one that fills it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from distribute.core.errors import DistributeError
from distribute.core.words import counted, format_size
from distribute.host import Unit
from distribute_services.node_runner.disk.room import Room, Space
from distribute_services.node_runner.host.keeping import Keeping
from distribute_services.node_runner.host.places import Running
from distribute_services.node_runner.keeper.held import LEFTOVER_GRACE_S

log = logging.getLogger(__name__)

LOOKS_EVERY_S = 1.0
"""A look takes some microseconds while there is room."""

_WORTH_SHARE = 0.1
"""To end a unit frees room that is worth it: this share of what is wanted free, at least."""


@dataclass(slots=True, eq=False)
class _Watched:
    """A unit that runs. `unit` None: an earlier runner started it."""

    running: Running
    unit: Unit | None

    def given(self) -> Space:
        """What its folder had when it began."""
        workspace = self.running.place.workspace
        files = self.unit.recipe.files if self.unit is not None else ()
        trees = self.unit.recipe.trees if self.unit is not None else ()
        size_bytes = sum(placed.file.size_bytes for placed in files)
        size_bytes += sum(placed.folder.size_bytes for placed in trees)
        build = self.running.place.build
        if build is not None and not self.running.place.is_build and workspace.below is None:
            size_bytes += build.size_bytes
        count = len(files) + sum(placed.folder.entries for placed in trees)
        results = self.running.place.results
        return Space(size_bytes + results.size_bytes, count + results.files)

    async def wrote(self) -> Space:
        """What it has added to its folder."""
        given, has = self.given(), await Space.taken_by(self.running.place.workspace.slot)
        return Space(max(0, has.size_bytes - given.size_bytes), max(0, has.files - given.files))


class DiskGuard:
    """Watches the disk while units run. Has no task while there are none."""

    def __init__(self, room: Room, keeping: Keeping, every_s: float = LOOKS_EVERY_S) -> None:
        self._room = room
        self._keeping = keeping
        self._every_s = every_s
        self._watched: dict[str, _Watched] = {}
        self._reasons: dict[str, str] = {}
        """Why it has ended units, by name."""
        self._last: tuple[_Watched, Space] | None = None
        """The unit that it ended last, and what was free then."""
        self._is_told = False
        """Whether the log has it that no job is to blame."""
        self._task: asyncio.Task[None] | None = None

    def watch(self, running: Running, unit: Unit | None = None) -> None:
        """A unit runs. `unit` None: an earlier runner started it."""
        self._watched[running.name] = _Watched(running, unit)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="disk guard")

    def ended(self, running: Running) -> str | None:
        """A unit has ended. Returns why, if this guard wanted it to."""
        self._watched.pop(running.name, None)
        return self._reasons.pop(running.name, None)

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _watch(self) -> None:
        while self._watched:
            await asyncio.sleep(self._every_s)
            try:
                await self._look()
            except (DistributeError, OSError) as error:  # a folder that is just being removed
                log.debug("the room on the disk was not measured: %s", error)

    async def _look(self) -> None:
        if not await self._room.is_nearly_full():
            self._is_told = False
            return
        free = self._room.free
        if self._last is not None:
            ended, was_free = self._last
            # It takes room until its results are stored. Meanwhile others may write on.
            if ended.running.place.workspace.slot.exists() and free.has(was_free.half):
                return
        found = [(await watched.wrote(), watched) for watched in list(self._watched.values())]
        if (chosen := _most(found, self._room.needed, free)) is not None:
            await self._end(*chosen, free)
        elif not self._is_told:
            self._is_told = True
            log.warning("%s, and no job of this node has written much", self._room.shortage)

    async def _end(self, watched: _Watched, wrote: str, free: Space) -> None:
        name = watched.running.name
        if name not in self._watched or name in self._reasons:
            return  # it has ended meanwhile, or can't be killed
        reason = f"ended because {self._room.shortage}; it had written most, {wrote}"
        log.warning("%s: %s", watched.unit or name, reason)
        self._reasons[name], self._last = reason, (watched, free)
        await self._keeping.end(name, LEFTOVER_GRACE_S, reason="disk")


def _most(found: Sequence[tuple[Space, _Watched]], needed: Space, free: Space) -> tuple[_Watched, str] | None:
    """Who has written most of what is short, and how much. None: that is not worth an end."""
    if not found:
        return None
    if free.size_bytes < needed.half.size_bytes:
        wrote, watched = max(found, key=lambda one: one[0].size_bytes)
        is_worth, words = wrote.size_bytes >= _WORTH_SHARE * needed.size_bytes, format_size(wrote.size_bytes)
    else:
        wrote, watched = max(found, key=lambda one: one[0].files)
        is_worth, words = wrote.files >= _WORTH_SHARE * needed.files, counted(wrote.files, "file")
    return (watched, words) if is_worth else None
