"""What attempts left that were given to other nodes while this one was out of touch.

It does not count, but it may be days of work, so it is kept for a while: `<work_dir>/superseded/<n>/` has
`distribute_save` and `stdout.txt` of one attempt, and a record of which attempt that was.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from distribute.core.files.manifest import STDOUT_NAME
from distribute.core.ids import AttemptId
from distribute.core.os_words import cause
from distribute.core.spec.recipe import SAVE
from distribute.core.words import counted
from distribute.host import SetAside
from distribute_services.node_runner.disk.files import folder_bytes, remove_folder
from distribute_services.node_runner.disk.limit import Limit
from distribute_services.node_runner.disk.workspace import Workspace, results_of

log = logging.getLogger(__name__)

_RECORD = "about.json"
_VERSION = 1
_LONGEST_WAIT_S = 24 * 3600.0


@dataclass(slots=True, eq=False)
class _Kept:
    folder: Path
    since: float
    size_bytes: int


class Superseded:
    """All of it, in a working folder, which only one process uses."""

    def __init__(
        self, work_dir: Path, keep_s: float, max_bytes: int, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Each is kept for `keep_s` seconds, if all together take `max_bytes` at most."""
        self._root = work_dir / "superseded"
        self._keep_s = keep_s
        self._limit = Limit(max_bytes)
        self._clock = clock
        self._kept: list[_Kept] = []
        """The oldest is the first."""
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._limit.covers(self)

    async def load(self) -> None:
        """Take over what an earlier runner has kept. Remove what is damaged, or was kept for long enough."""
        await self.settle()
        self._kept.clear()
        for folder in list(self._root.iterdir()) if self._root.is_dir() else []:
            kept = _recorded(folder)
            if kept is None:
                await remove_folder(folder)
            else:
                self._kept.append(kept)
        self._kept.sort(key=lambda kept: kept.since)
        self._limit.make_room()
        self._remove_old()
        if self._kept:
            # An earlier runner may have been killed before it could tell the cluster.
            what = counted(len(self._kept), "attempt")
            log.info("%s has what %s left; it does not count", self._root, what)

    async def add(self, of: AttemptId, workspace: Workspace) -> SetAside | None:
        """Keep what an attempt left in its workspace. Returns None if it left and printed nothing.

        Raises:
            OSError, DistributeError: it can't be kept.
        """
        save = await results_of(workspace)
        has_results = _is_folder_of(save, workspace) and any(save.iterdir())
        has_output = workspace.stdout.is_file() and workspace.stdout.stat().st_size > 0
        if not has_results and not has_output:
            return None
        folder = self._new_folder()
        try:
            if has_results:
                save.resolve().rename(folder / SAVE)
            if has_output:
                workspace.stdout.rename(folder / STDOUT_NAME)
            kept = _Kept(folder, self._clock(), await folder_bytes(folder))
            content = {"v": _VERSION, "of": list(of), "since": kept.since, "size_bytes": kept.size_bytes}
            (folder / _RECORD).write_bytes(orjson.dumps(content))
        except BaseException:
            await remove_folder(folder)
            raise
        self._kept.append(kept)
        self._limit.make_room()
        self._remove_old()
        shown = os.fsencode(folder).decode(errors="replace")
        return SetAside(shown, kept.size_bytes, kept.since + self._keep_s)

    async def empty(self) -> bool:
        """Remove all, because the disk is full. Returns False if there was nothing."""
        was_any = self._limit.empty()
        await self.settle()
        return was_any

    async def settle(self) -> None:
        """Wait until what is being removed is gone."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Remove nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        await self.settle()

    # --- as a shelf ----------------------------------------------------------------------------------

    @property
    def size_bytes(self) -> int:
        """As `Shelf.size_bytes`."""
        return sum(kept.size_bytes for kept in self._kept)

    def oldest_use(self) -> float | None:
        """As `Shelf.oldest_use`."""
        return self._kept[0].since if self._kept else None

    def remove_oldest(self) -> None:
        """As `Shelf.remove_oldest`. Its files are gone a little later: see `settle`."""
        self._begin(remove_folder(self._kept.pop(0).folder))

    # --- in time -------------------------------------------------------------------------------------

    def _remove_old(self) -> None:
        """Remove what was kept for long enough, and look again when the next one was."""
        now = self._clock()
        while self._kept and self._kept[0].since + self._keep_s <= now:
            self.remove_oldest()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._kept:
            # Not for longer: the clock may be set.
            wait_s = min(self._kept[0].since + self._keep_s - now, _LONGEST_WAIT_S)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._remove_old)

    # --- on the disk ---------------------------------------------------------------------------------

    def _new_folder(self) -> Path:
        self._root.mkdir(mode=0o700, exist_ok=True)
        for number in self._numbers:
            folder = self._root / str(number)
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
        raise AssertionError("numbers do not end")

    def _begin(self, step: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(step, name="remove superseded results")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_folder_of(save: Path, workspace: Workspace) -> bool:
    """Is this a folder of the workspace? The job may have made it a link to anywhere."""
    found = Path(os.path.realpath(save))
    return found.is_dir() and found.is_relative_to(os.path.realpath(workspace.slot))


def _recorded(folder: Path) -> _Kept | None:
    try:
        record = orjson.loads((folder / _RECORD).read_bytes())
        return _Kept(folder, float(record["since"]), int(record["size_bytes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s tells of no results, so it is removed: %s", folder, cause(error))
        return None
