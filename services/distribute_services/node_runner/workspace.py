"""The private folder in which a build, or an attempt of a job, runs.

A workspace is a slot, `<root>/<n>/`, that holds `job/` (the working directory) and `stdout`. Slots
are numbered, not named after jobs: their paths are short, and hold nothing that a shell, a makefile
or `apptainer --bind` could trip over.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distribute.core.ids import check_name
from distribute.core.specs import ApptainerWork, BatchSpec, InputFile, Job, PythonJob, PythonWork
from distribute_services.node_runner.cache import InputCache
from distribute_services.node_runner.files import clone_folder, copy_file, disk_errors, remove_folder

log = logging.getLogger(__name__)

INPUT = "input"
INITIAL = "initial_files"
SAVE = "distribute_save"
MOUNTS = "mounts"

_MAX_SPARE = 64
_FOLDER_MODE = 0o755


@dataclass(frozen=True, slots=True)
class Workspace:
    """`folder` is the working directory; `input` and `save` lie in it, the file for the output beside it."""

    slot: Path
    folder: Path
    input: Path
    save: Path
    stdout: Path


@dataclass(frozen=True, slots=True)
class _Copy:
    """A file that goes to `path` of the folder; with `keep`, what a build left there stays."""

    path: str
    file: InputFile
    keep: bool = False


class Workspaces:
    """All workspaces of this node-runner, below `root`. One process uses a root."""

    def __init__(self, root: Path, cache: InputCache) -> None:
        self._root = root
        self._cache = cache
        self._numbers = itertools.count(1)
        self._spare: list[Workspace] = []
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def clear(self) -> None:
        """Remove every workspace, builds included. For the start, before anything runs."""
        self._spare.clear()
        for slot in list(self._root.iterdir()):
            await remove_folder(slot)

    async def for_build(self, spec: BatchSpec) -> Workspace:
        """A workspace with all that a batch's build finds. Raises as `for_job`."""
        return await self._make(_copies_for_build(spec), None, _folders(spec))

    async def for_job(self, spec: BatchSpec, job: Job, built: Workspace | None) -> Workspace:
        """A workspace with all that a job finds: what the build left in `built`, and the job's own files.

        The batch's files are as the build left them, and there again where it removed them. With no
        build and no files this takes 25 µs, or 350 for the first; else a few milliseconds.

        Raises:
            StorageFull: there is no room for its files on this computer.
            IntegrityError: one of its files is missing or damaged in the store.
            DistributeError: a folder or file of it could not be made.
        """
        return await self._make(_copies_for_job(spec, job), built, _folders(spec))

    async def remove(self, workspace: Workspace) -> None:
        """Give a workspace back. Nothing of it is left for whoever comes next.

        One that is as empty as it was handed out is handed out again: on ext4 its folders cost 500 µs
        to make and remove, 25 to look into.
        """
        if len(self._spare) < _MAX_SPARE and _is_untouched(workspace):
            self._spare.append(workspace)
        else:
            await remove_folder(workspace.slot)

    async def _make(self, copies: Sequence[_Copy], built: Workspace | None, more: Sequence[str]) -> Workspace:
        workspace = self._take()
        if not copies and built is None and not more:
            return workspace
        try:
            if built is not None:
                workspace.input.rmdir()  # the build may have left something else under these names
                workspace.save.rmdir()
                await clone_folder(built.folder, workspace.folder)
                await remove_folder(workspace.save)
            async with self._cache.lease(copy.file for copy in copies) as cached:
                await asyncio.to_thread(_lay_out, workspace, copies, more, cached)
        except BaseException:
            await remove_folder(workspace.slot)
            raise
        return workspace

    def _take(self) -> Workspace:
        if self._spare:
            return self._spare.pop()
        slot = self._new_slot()
        folder = slot / "job"
        workspace = Workspace(slot, folder, folder / INPUT, folder / SAVE, slot / "stdout")
        with disk_errors(slot):
            for path in (folder, workspace.input, workspace.save):
                _make_folder(path)
        return workspace

    def _new_slot(self) -> Path:
        while True:
            slot = self._root / str(next(self._numbers))
            with disk_errors(slot):
                try:
                    _make_folder(slot)
                except FileExistsError:
                    log.warning("%s is there already: an earlier run could not remove it", slot)
                else:
                    return slot


def _copies_for_build(spec: BatchSpec) -> list[_Copy]:
    copies = _batch_copies(spec)
    if isinstance(spec.work, PythonWork):
        copies.append(_Copy("build.py", spec.work.build))
    return copies


def _copies_for_job(spec: BatchSpec, job: Job) -> list[_Copy]:
    copies = _batch_copies(spec)
    copies += [_Copy(f"{INPUT}/{check_name(file.alias)}", file) for file in job.files]
    if isinstance(job, PythonJob):
        copies.append(_Copy("job.py", job.script))
    return copies


def _batch_copies(spec: BatchSpec) -> list[_Copy]:
    folders = (INPUT, INITIAL) if isinstance(spec.work, PythonWork) else (INPUT,)
    return [
        _Copy(f"{folder}/{check_name(file.alias)}", file, keep=True)
        for folder in folders
        for file in spec.files
    ]


def _folders(spec: BatchSpec) -> list[str]:
    """The folders of a workspace that not every kind has."""
    if isinstance(spec.work, PythonWork):
        return [INITIAL]
    if isinstance(spec.work, ApptainerWork):
        return [f"{MOUNTS}/{number}" for number in range(len(spec.work.mounts))]
    return []


def _lay_out(
    workspace: Workspace, copies: Sequence[_Copy], more: Sequence[str], cached: dict[str, Path]
) -> None:
    """Make the folders and copy the files. A build may have left anything under their names."""
    with disk_errors(workspace.folder):
        workspace.folder.chmod(_FOLDER_MODE)
        for path in (workspace.input, workspace.save, *(workspace.folder / name for name in more)):
            if path.is_symlink() or not path.is_dir():
                _clear(path)
                path.mkdir(parents=True)
            path.chmod(_FOLDER_MODE)
        for copy in copies:
            target = workspace.folder / copy.path
            if os.path.lexists(target):
                if copy.keep:
                    continue
                _clear(target)
            copy_file(cached[copy.file.sha256], target, executable=copy.file.executable)


def _make_folder(path: Path) -> None:
    path.mkdir()
    path.chmod(_FOLDER_MODE)  # whatever the umask is; nobody else gets through the root


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_untouched(workspace: Workspace) -> bool:
    """Is the workspace as it was handed out for a job with no files? Its output goes, if it had any."""
    slot = str(workspace.slot)  # text from here on: twenty Paths a job would be felt
    folders = {
        slot: {"job", "stdout"},
        f"{slot}/job": {INPUT, SAVE},
        f"{slot}/job/{INPUT}": set(),
        f"{slot}/job/{SAVE}": set(),
    }
    try:
        for path, names in folders.items():
            mode = os.lstat(path).st_mode
            if not stat.S_ISDIR(mode) or mode & 0o7777 != _FOLDER_MODE:
                return False
            if not names.issuperset(os.listdir(path)):  # noqa: PTH208
                return False
        if os.path.lexists(f"{slot}/stdout") and _is_used(os.lstat(f"{slot}/stdout")):
            workspace.stdout.unlink()
    except OSError:
        return False
    return True


def _is_used(output: os.stat_result) -> bool:
    return output.st_size > 0 or output.st_nlink > 1 or not stat.S_ISREG(output.st_mode)
