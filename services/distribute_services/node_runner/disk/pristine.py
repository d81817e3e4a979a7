"""Builds on a computer where a job's copy can't be mounted over the build: see `private_copies`.

There a job that writes to where the build ran reaches the folder that all jobs of the batch see. We can't
keep it from that: permissions don't bind root. So a second copy of the build, which no job knows, tells after
each job what was changed, and mends it. Jobs get their own copies from the second one.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from distribute.core.files.path_text import shown
from distribute_services.node_runner.disk.builds import Build, Change
from distribute_services.node_runner.disk.files import clone_folder, copy_entry, disk_errors, remove_folder
from distribute_services.node_runner.disk.workspace import Workspace

_PASSED_OVER = frozenset({b"__pycache__"})
"""Folders that programs fill by themselves, with the same content."""


_TICK_S = 0.01
"""Times of files may be this much behind the clock."""

_MAX_KEPT = 1000
"""Max. changes of a build that are remembered."""


async def seal(built: Workspace) -> None:
    """Make the second copy of a build that has just succeeded. Raises as `clone_folder` does."""
    pristine = built.slot / "pristine"
    with disk_errors(pristine):
        pristine.mkdir()
    try:
        await clone_folder(built.folder, pristine)
    except BaseException:
        await remove_folder(pristine)
        raise


async def changed_since(build: Build, started_at: float) -> list[str]:
    """What was written to the folder of a build since then, in seconds since 1970. Mends it.

    Also what was mended at the end of another job. Ask when a job has ended: it wrote that, or one that ran
    at the same time. Takes 10 µs for each file of the build.

    Raises:
        DistributeError: it could not be mended.
    """
    if build.workspace.pristine is None:
        return []
    async with build.checking:
        found = await asyncio.to_thread(_changes, build.workspace)
        build.changes = [*build.changes, *found][-_MAX_KEPT:]
        await _mend(build.workspace, found)
    return [shown(change.path)[0] for change in build.changes if change.at >= started_at - _TICK_S]


def complaint(build: Build, written: list[str]) -> str:
    """Why a job failed that wrote this to the folder of its build."""
    folder = build.workspace.folder
    more = f" and {len(written) - 1} more" if len(written) > 1 else ""
    return (
        f"it, or a job beside it, wrote to where the build ran: {folder}/{written[0]}{more}. This node can't"
        " give each job a copy at that path: write below $DISTRIBUTE_SAVE, or to the working directory"
    )


def _changes(built: Workspace) -> list[Change]:
    """What was changed, made or removed in the folder of a build, each folder as one."""
    folder, pristine = _folders(built)
    try:
        if os.lstat(folder).st_mode != os.lstat(pristine).st_mode:
            return [Change(b"", os.lstat(folder).st_ctime)]
    except FileNotFoundError:
        return [Change(b"", time.time())]
    return list(_compared(folder, pristine, b""))


def _folders(built: Workspace) -> tuple[bytes, bytes]:
    return os.fsencode(built.folder), os.fsencode(built.slot / "pristine")


async def _mend(built: Workspace, found: list[Change]) -> None:
    folder, pristine = _folders(built)
    for change in found:
        target, source = (os.path.join(base, change.path) for base in (folder, pristine))  # noqa: PTH118
        await remove_folder(Path(os.fsdecode(target)))
        if os.path.lexists(source):
            await copy_entry(Path(os.fsdecode(source)), Path(os.fsdecode(target)))


def _compared(folder: bytes, pristine: bytes, below: bytes) -> Iterator[Change]:
    here, there = _entries(folder, below), _entries(pristine, below)
    for name in sorted(here.keys() | there.keys()):
        if name in _PASSED_OVER:
            continue
        path = below + b"/" + name if below else name
        now, before = here.get(name), there.get(name)
        if now is None:
            parent = os.lstat(os.path.join(folder, below))  # noqa: PTH118 (bytes)
            yield Change(path, parent.st_ctime)
        elif before is None or _looks(folder, path, now) != _looks(pristine, path, before):
            yield Change(path, now.st_ctime)
        elif stat.S_ISDIR(now.st_mode):
            yield from _compared(folder, pristine, path)


def _entries(folder: bytes, below: bytes) -> dict[bytes, os.stat_result]:
    with os.scandir(os.path.join(folder, below)) as found:  # noqa: PTH118 (bytes)
        return {entry.name: entry.stat(follow_symlinks=False) for entry in found}


def _looks(folder: bytes, path: bytes, status: os.stat_result) -> tuple[object, ...]:
    """What must not change of a file, a link or a folder."""
    if stat.S_ISDIR(status.st_mode):
        return (status.st_mode,)
    if stat.S_ISLNK(status.st_mode):
        return status.st_mode, os.readlink(os.path.join(folder, path))  # noqa: PTH115, PTH118 (bytes)
    return status.st_mode, status.st_size, status.st_mtime_ns
