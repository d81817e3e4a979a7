"""Workspaces: the private folders in which builds and attempts run.

A workspace is a slot, `<root>/<n>/`, that holds `job/` (the working directory) and `stdout`. Slots have
numbers, not the names of jobs, so their paths are short and have no characters that a shell, a makefile or
`apptainer --bind` would misread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import shutil
import stat
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from distribute.core.spec.placed import Placed, PlacedFolder
from distribute.core.spec.recipe import INPUT, SAVE, Recipe
from distribute.core.spec.setup_script import UNPREPARED
from distribute.inputs.laying_out import lay_out, objects_of
from distribute_services.node_runner.disk.cache import InputCache
from distribute_services.node_runner.disk.files import (
    clone_folder,
    copy_file,
    copy_part,
    disk_errors,
    remove_folder,
)
from distribute_services.node_runner.disk.private_copies import PrivateCopies, copy_out, unlock_below
from distribute_services.node_runner.disk.untouched import FOLDER_MODE, can_drop_output, is_untouched
from distribute_services.node_runner.keeper.view import View

log = logging.getLogger(__name__)

EXIT_FILE = "exit.json"
"""In the slot of a workspace: how its unit ended. The keeper writes it for the time after its own end."""

_MAX_SPARE = 64


@dataclass(frozen=True, slots=True)
class Workspace:
    """`folder` has the files of the working directory, `input` and `save` among them; the output file lies
    beside it. With a `view`, the process sees the folder at another path, and there may be more in it."""

    slot: Path
    folder: Path
    input: Path
    save: Path
    stdout: Path
    view: View | None = None

    @classmethod
    def of(cls, slot: Path) -> Workspace:
        """The workspace in this slot, as it was made."""
        folder = slot / "job"
        return cls(slot, folder, folder / INPUT, folder / SAVE, slot / "stdout")

    @property
    def seen(self) -> str:
        """The path at which its process sees the working directory."""
        return str(self.folder) if self.view is None else self.view.at

    @property
    def pristine(self) -> Path | None:
        """The second copy of a build, which no job knows (`pristine.py`). None: it has none."""
        return pristine if (pristine := self.slot / "pristine").is_dir() else None

    @property
    def given(self) -> Path:
        """A file that is as old as the input folders that were laid out here."""
        return self.slot / "given"

    @property
    def below(self) -> Path | None:
        """The folder that its process sees through its own. None: it sees only its own."""
        return Path(self.view.at) if self.view is not None and self.view.overlay else None


class Workspaces:
    """All workspaces of this node-runner, below `root`, which only one process uses."""

    def __init__(
        self,
        root: Path,
        cache: InputCache,
        copies: PrivateCopies | None = None,
        owner: tuple[int, int] | None = None,
    ) -> None:
        """`copies`: how a workspace begins as the copy of another. None: in a folder of its own.

        `owner`: the user and group of what processes find there. None: this process's.
        """
        self.root = root
        self._owner = owner
        self._cache = cache
        self._copies = copies or PrivateCopies()
        self._spare: list[Workspace] = []
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = [int(slot.name) for slot in root.iterdir() if slot.name.isdecimal()]
        self._numbers = itertools.count(max(taken, default=0) + 1)

    async def clear(self, keep: Collection[str] = ()) -> None:
        """Remove all workspaces, including those of builds, but those in the slots `keep`.

        Call this before anything starts.
        """
        self._spare.clear()
        for slot in list(self.root.iterdir()):
            if slot.name not in keep:
                await remove_folder(slot)

    def in_slot(self, name: str, view: View | None) -> Workspace:
        """The workspace that an earlier runner made in a slot."""
        return replace(Workspace.of(self.root / name), view=view)

    async def make(self, recipe: Recipe, built: Workspace | None) -> Workspace:
        """Make a workspace with everything that the recipe's process finds at its start.

        Its process finds a copy of the workspace `built`. Files that the batch shares are as the build left
        them; those that it removed are restored. Without a build and files this takes 25 µs (350 for the
        first workspace), otherwise a few milliseconds; a copy of a large build takes long, an overlay never.

        Raises:
            StorageFull: this computer's disk has no room for the files.
            IntegrityError: a file is missing or damaged in the store.
            DistributeError: a folder or file could not be made.
        """
        workspace = self._take()
        if _needs_nothing(recipe) and built is None:
            return workspace
        try:
            if built is not None:
                workspace = await self._copy_of(built, workspace)
            async with contextlib.AsyncExitStack() as leases:
                cached = await self._get(recipe, leases)
                await asyncio.to_thread(self._furnish, workspace, recipe, cached)
        except BaseException:
            await remove_folder(workspace.slot)
            raise
        return workspace

    async def _get(self, recipe: Recipe, leases: contextlib.AsyncExitStack) -> dict[str, Path]:
        """The cached files that a recipe needs, by digest. Nothing evicts them until the leases end."""
        stored = {placed.file.stored for placed in recipe.files}
        wanted = {one.sha256: one.size_bytes for one in stored}
        wanted |= {placed.folder.sha256: placed.folder.listing_bytes for placed in recipe.trees}
        cached = await leases.enter_async_context(self._cache.lease(wanted))
        listings = {cached[placed.folder.sha256] for placed in recipe.trees}
        found = [await asyncio.to_thread(objects_of, listing) for listing in listings]
        objects = {sha256: size for each in found for sha256, size in each.items()}
        return cached | await leases.enter_async_context(self._cache.lease(objects))

    def _furnish(self, workspace: Workspace, recipe: Recipe, cached: dict[str, Path]) -> None:
        _lay_out(workspace, recipe, cached)
        self._give(workspace, recipe)
        if recipe.trees:
            with disk_errors(workspace.given):
                workspace.given.touch()

    async def _copy_of(self, built: Workspace, workspace: Workspace) -> Workspace:
        """Make an empty workspace one whose process finds what the build left, but for its results."""
        scratch = workspace.slot / "scratch"
        view = self._copies.view(built.folder, workspace.folder, scratch)
        workspace = replace(workspace, view=view)
        if view is not None and view.overlay:
            with disk_errors(workspace.slot):
                scratch.mkdir()
                os.setxattr(workspace.save, _opaque(view), b"y")
            return workspace
        workspace.input.rmdir()  # the build may have replaced these by something else
        workspace.save.rmdir()
        await clone_folder(built.pristine or built.folder, workspace.folder)
        await remove_folder(workspace.save)
        return workspace

    async def remove(self, workspace: Workspace, *, untouched: bool = False) -> None:
        """Remove a workspace, and everything in it.

        If it is as empty as when it was made, keep it for the next job: on ext4, making and removing its
        folders takes 500 µs, and checking them 25 µs. `untouched`: that was checked after the end of its
        processes.
        """
        is_as_new = untouched or is_untouched(workspace.slot)
        if is_as_new and len(self._spare) < _MAX_SPARE and can_drop_output(workspace.stdout):
            self._spare.append(replace(workspace, view=None))
            return
        if workspace.below is not None:
            unlock_below(workspace.slot / "scratch")
        await remove_folder(workspace.slot)

    def _take(self) -> Workspace:
        if self._spare:
            return self._spare.pop()
        workspace = Workspace.of(self._new_slot())
        with disk_errors(workspace.slot):
            for path in (workspace.folder, workspace.input, workspace.save):
                _make_folder(path)
        self._give(workspace)
        return workspace

    def _give(self, workspace: Workspace, recipe: Recipe | None = None) -> None:
        """Make the workspace's folder its owner's, with all that was laid out for the recipe there."""
        if self._owner is None:
            return
        names = [INPUT, SAVE]
        if recipe is not None:
            names += [UNPREPARED, *recipe.folders, *(placed.path for placed in recipe.files)]
        paths = {workspace.folder / name for name in names}
        paths |= {
            parent for path in paths for parent in path.parents if parent.is_relative_to(workspace.folder)
        }
        for top in {placed.path.partition("/")[0] for placed in recipe.trees} if recipe is not None else ():
            paths.update((workspace.folder / top).rglob("*"))
        with disk_errors(workspace.folder):
            for path in paths:
                if os.path.lexists(path):  # an overlay shows some from below
                    os.lchown(path, *self._owner)

    def make_folder(self, folder: Path) -> None:
        """Make a folder of inputs in a workspace, unless the build left one there. A link is replaced.

        Raises:
            StorageFull, DistributeError: as in `disk_errors`.
        """
        with disk_errors(folder):
            _make_place(folder)

    def give_folder(self, workspace: Workspace, folder: Path) -> None:
        """Make a folder of inputs in a workspace its owner's, with everything in it."""
        with disk_errors(folder):
            if self._owner is not None:
                for path in (folder, *folder.rglob("*")):
                    os.lchown(path, *self._owner)
            workspace.given.touch()

    def _new_slot(self) -> Path:
        while True:
            slot = self.root / str(next(self._numbers))
            with disk_errors(slot):
                try:
                    _make_folder(slot)
                except FileExistsError:
                    log.warning("%s exists already: an earlier run could not remove it", slot)
                else:
                    return slot


async def results_of(workspace: Workspace) -> Path:
    """The folder with the results of a workspace's process, which has ended.

    It may have made its folder of results a link to another of its folders, which has a part of the build's
    files, too, or is at another path than it saw. Then they are put together in a new folder.
    """
    if workspace.view is None or not workspace.save.is_symlink():
        return workspace.save
    together = workspace.slot / "together"
    with disk_errors(together):
        _make_folder(together)
        if await copy_out(workspace.view, SAVE, together):
            return together
    return workspace.save


def _lay_out(workspace: Workspace, recipe: Recipe, cached: dict[str, Path]) -> None:
    """Make the folders and copy the files. A build may have left anything at their paths."""
    with disk_errors(workspace.folder):
        workspace.folder.chmod(FOLDER_MODE)
        more = (workspace.folder / name for name in recipe.folders)
        for path in (workspace.input, workspace.save, *more):
            _make_place(path)
        for keep in (True, False):  # what a job has of its own replaces what the batch has
            for placed in recipe.files:
                if placed.keep is keep and not (keep and _is_below(workspace, placed.path)):
                    _copy(placed, workspace.folder / placed.path, cached[placed.file.stored.sha256])
            for tree in recipe.trees:
                if tree.keep is keep:
                    _lay_out_tree(workspace, tree, cached)
        if recipe.shell is not None:
            (workspace.folder / UNPREPARED).touch()


def _lay_out_tree(workspace: Workspace, placed: PlacedFolder, cached: dict[str, Path]) -> None:
    """Lay out an input folder, or what a glob matched: each name at its top replaces what is there."""
    listing, target = cached[placed.folder.sha256], workspace.folder / placed.path
    made: list[str] = []

    def may_put(path: str) -> bool:
        if not _makes_room(workspace, path, keep=placed.keep):
            return False
        made.append(path)
        return True

    if placed.folder.alias is None:
        lay_out(listing, cached, target, lambda name: may_put(f"{placed.path}/{name}"))
    elif may_put(placed.path):
        lay_out(listing, cached, target)
    if workspace.view is not None and workspace.view.overlay:
        for path in made:  # else a folder would show what the build left in its place, too
            if (folder := workspace.folder / path).is_dir() and not folder.is_symlink():
                _hide_below(folder, workspace.view)


def _hide_below(folder: Path, view: View) -> None:
    """Let a folder, whose mode may allow no changes, hide the one below it."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(mode | stat.S_IWUSR)
    os.setxattr(folder, _opaque(view), b"y")
    folder.chmod(mode)


def _makes_room(workspace: Workspace, path: str, *, keep: bool) -> bool:
    """May an input be put at this path? With `keep`, only if nothing is there; else that is removed."""
    target = workspace.folder / path
    if keep:
        return not (os.path.lexists(target) or _is_below(workspace, path))
    if os.path.lexists(target):
        _clear(target)
    return True


def _is_below(workspace: Workspace, path: str) -> bool:
    """Does the process see what the build left at this path? Its own folders hide all but folders."""
    if workspace.below is None or not os.path.lexists(workspace.below / path):
        return False
    parents = [workspace.below / parent for parent in Path(path).parents]
    return not any(parent.is_symlink() for parent in parents)


def _opaque(view: View) -> str:
    """The attribute by which a folder hides the one below it."""
    return f"{'user' if 'userxattr' in view.overlay else 'trusted'}.overlay.opaque"


def _copy(placed: Placed, target: Path, source: Path) -> None:
    if os.path.lexists(target):
        if placed.keep:
            return
        _clear(target)
    if placed.file.pack is None:
        copy_file(source, target, mode=placed.mode, mtime_ns=placed.file.mtime_ns)
    else:
        copy_part(source, placed.file, target, mode=placed.mode)


def _make_place(path: Path) -> None:
    """Make a folder, unless it is there. A build may have left anything else at its path."""
    if path.is_symlink() or not path.is_dir():
        _clear(path)
        path.mkdir(parents=True)
    path.chmod(FOLDER_MODE)


def _make_folder(path: Path) -> None:
    path.mkdir()
    path.chmod(FOLDER_MODE)  # whatever the umask; other users can't pass the root folder


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.chmod(FOLDER_MODE)  # it and folders in it may allow no changes
        unlock_below(path)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _needs_nothing(recipe: Recipe) -> bool:
    """Does its process find only the folders that every job finds?"""
    return not (recipe.files or recipe.trees or recipe.folders) and recipe.shell is None
