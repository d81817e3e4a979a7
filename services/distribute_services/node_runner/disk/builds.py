"""The builds on this computer. One that succeeded is kept, and the next batch with the same build uses it.

A build lies where it ran, in `<root>/<n>/job`, because it knows its own path. The record beside it says what
it is the outcome of. A build without a record was not finished, or may not be whole.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Collection, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from distribute.core.errors import DistributeError
from distribute.core.ids import BatchId
from distribute.core.os_words import cause, message_of
from distribute_services.node_runner.disk.files import folder_bytes, remove_folder, write_through
from distribute_services.node_runner.disk.limit import Limit
from distribute_services.node_runner.disk.workspace import Workspace

log = logging.getLogger(__name__)

RECORD_FILE = "kept.json"
"""In the slot of a build: what it is the outcome of."""

_VERSION = 1


class Change(NamedTuple):
    """Something in the folder of a build was not as it was built. `at`: seconds since 1970."""

    path: bytes
    at: float


@dataclass(slots=True, eq=False)
class Build:
    """A build in its workspace. `users`: its batch, while that is at this node, and attempts that see it."""

    workspace: Workspace
    users: int = 1
    key: str | None = None
    """What it is the outcome of. None: it is not kept."""
    of: BatchId | None = None
    """The batch for which it ran."""
    size_bytes: int = 0
    used_at: float = 0.0
    changes: list[Change] = field(default_factory=list)
    """What jobs wrote to its folder (`pristine.py`), and was mended."""
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Builds:
    """All builds below `root`, which only one process uses."""

    def __init__(self, root: Path, limit: Limit) -> None:
        self._root = root
        self._limit = limit
        self._kept: dict[str, Build] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        limit.covers(self)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def load(self, used: Collection[Build] = ()) -> None:
        """Take over what an earlier runner has kept, and leave what is `used`. Remove the rest.

        Call this before anything starts.
        """
        await self.settle()
        self._kept.clear()
        in_use = {build.workspace.slot: build for build in used}
        for slot in list(self._root.iterdir()):
            build = _recorded(slot)
            if (found := in_use.get(slot)) is not None:
                if build is not None and build.key is not None and build.key not in self._kept:
                    found.key, found.of, found.size_bytes = build.key, build.of, build.size_bytes
                    self._kept[build.key] = found
            elif build is None or build.key is None or build.key in self._kept:
                await remove_folder(slot)
            else:
                self._kept[build.key] = build
        self._limit.make_room()

    def find(self, key: str) -> Build | None:
        """The build that is kept under this key. It is in use then. Returns None if there is none."""
        build = self._kept.get(key)
        if build is not None and not build.workspace.folder.is_dir():
            log.warning("the kept build %s is gone", build.workspace.folder)
            del self._kept[key]
            return None
        if build is not None:
            self.use(build)
        return build

    async def keep(self, build: Build, key: str, of: BatchId) -> None:
        """Keep a build that has just succeeded. An older one of this key is not kept any longer."""
        build.size_bytes = await folder_bytes(build.workspace.slot)
        older = self._kept.pop(key, None)
        if older is not None:
            older.key = None
            _record_of(older.workspace.slot).unlink(missing_ok=True)
            if not older.users:
                self._remove(older)
        build.key, build.of, build.used_at = key, of, time.time()
        self._kept[key] = build
        self._limit.make_room()
        self._begin(self._write_record(build), f"keep the build in {build.workspace.slot}")

    def use(self, build: Build) -> None:
        """Another user of a build. It is not removed while it has one."""
        build.users += 1

    async def release(self, build: Build) -> None:
        """One user fewer. A build that is not kept is removed with its last one."""
        build.users -= 1
        if build.users:
            return
        if build.key is None:
            await remove_folder(build.workspace.slot)
            return
        build.used_at = time.time()
        record = _record_of(build.workspace.slot)
        if record.exists():
            os.utime(record, (build.used_at, build.used_at))
        self._limit.make_room()

    async def settle(self) -> None:
        """Wait until what is being removed is gone, and until what is kept is on the disk."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # --- as a shelf ----------------------------------------------------------------------------------

    @property
    def size_bytes(self) -> int:
        """As `Shelf.size_bytes`."""
        return sum(build.size_bytes for build in self._kept.values())

    def oldest_use(self) -> float | None:
        """As `Shelf.oldest_use`."""
        oldest = self._oldest()
        return None if oldest is None else oldest.used_at

    def remove_oldest(self) -> None:
        """As `Shelf.remove_oldest`. Its files are gone a little later: see `settle`."""
        oldest = self._oldest()
        if oldest is not None and oldest.key is not None:
            del self._kept[oldest.key]
            _record_of(oldest.workspace.slot).unlink(missing_ok=True)
            self._remove(oldest)

    def _oldest(self) -> Build | None:
        unused = (build for build in self._kept.values() if not build.users)
        return min(unused, key=lambda build: build.used_at, default=None)

    # --- on the disk ---------------------------------------------------------------------------------

    def _remove(self, build: Build) -> None:
        self._begin(remove_folder(build.workspace.slot), f"remove the build in {build.workspace.slot}")

    async def _write_record(self, build: Build) -> None:
        """Write the record once the build is on the disk: after a power cut, it must not be half there."""
        slot = build.workspace.slot
        content = {
            "v": _VERSION,
            "key": build.key,
            "of": list(build.of or ()),
            "folder": str(build.workspace.folder),
            "size_bytes": build.size_bytes,
        }
        try:
            await write_through(slot)
            if build.key is not None:
                fresh = slot / f"{RECORD_FILE}.new"
                await asyncio.to_thread(fresh.write_bytes, orjson.dumps(content))
                await write_through(fresh)
                fresh.replace(_record_of(slot))
        except (OSError, DistributeError) as error:
            log.warning("the build in %s is kept until this runner ends: %s", slot, message_of(error))

    def _begin(self, step: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(step, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _record_of(slot: Path) -> Path:
    return slot / RECORD_FILE


def _recorded(slot: Path) -> Build | None:
    """The build of a slot by its record. None: it has no good record, or the folder was moved or copied."""
    workspace = Workspace.of(slot)
    try:
        record = orjson.loads(_record_of(slot).read_bytes())
        used_at = _record_of(slot).stat().st_mtime
        if (record["v"], record["folder"]) != (_VERSION, str(workspace.folder)):
            return None
        return Build(workspace, 0, record["key"], BatchId(*record["of"]), record["size_bytes"], used_at)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the record of the build in %s can't be read: %s", slot, cause(error))
        return None
