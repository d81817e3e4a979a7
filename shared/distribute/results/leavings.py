"""List what a job left in the folder for its results: files to send, links, empty folders, and others.

Follows no link and opens no file.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distribute.core.files.manifest import MAX_LINE, STDOUT_NAME, StoredFolder, StoredLink
from distribute.core.files.path_text import shown, shown_target
from distribute.core.os_words import special_file, why
from distribute.core.spec.recipe import SAVE
from distribute.links import Links

_STDOUT = STDOUT_NAME.encode()
_SAVE = SAVE.encode()


@dataclass(frozen=True, slots=True)
class Source:
    """A file to send: its path in the manifest, its path on the disk, and what it was when it was found."""

    name: bytes
    path: bytes
    size_bytes: int
    mode: int | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not archived."""

    name: bytes
    why: str

    @property
    def line(self) -> str:
        """What it is and why, for people."""
        return f"{shown(self.name)[0]}: {self.why}"[:MAX_LINE]


Found = Source | StoredFolder | StoredLink | LeftOut
"""Links and empty folders have no bytes to send, so they are manifest entries already."""


def unlock(path: bytes) -> None:
    """Make a file or folder readable again whose job removed its permissions. Does not follow links."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        # An O_PATH descriptor can't set a mode, nor can a libc before 2.32 without following links.
        os.chmod(f"/proc/self/fd/{fd}", 0o700)  # noqa: PTH101
    finally:
        os.close(fd)


def source(name: bytes, path: bytes, status: os.stat_result) -> Source:
    """The file at `path`, which is archived as `name`."""
    return Source(name, path, status.st_size, status.st_mode & 0o777, status.st_mtime_ns)


def look_through(save: bytes, seen_as: Sequence[bytes] = (), *, is_pulled: bool = False) -> Iterator[Found]:
    """Yield everything in the folder `save`, folder by folder, in order of name.

    `save` is a path without links. `seen_as`: other paths under which the job saw the folder. `is_pulled`: it
    is as `pull` writes it, so its `stdout.txt` is what the job printed.
    """
    return _Search(save, seen_as, is_pulled=is_pulled).found()


class _Search:
    """Looks through one folder of results."""

    def __init__(self, save: bytes, seen_as: Sequence[bytes], *, is_pulled: bool) -> None:
        self._save = save
        self._is_pulled = is_pulled
        self._links = Links(save, seen_as)
        self._aside = _SAVE
        """The folder for what the job itself called `stdout.txt`: the captured output has this name."""

    def found(self) -> Iterator[Found]:
        """As `look_through`."""
        todo = [b""]
        while todo:
            folder = todo.pop()
            try:
                folders, others = _names(os.path.join(self._save, folder))  # noqa: PTH118 (bytes: names need not be text)
            except OSError as error:
                yield LeftOut(folder or _SAVE, f"this folder can't be read: {why(error)}")
                continue
            if not folder:
                self._aside = _free_name({*folders, *others})
            elif not folders and not others:
                path, raw = shown(self._place(folder))
                yield StoredFolder(path=path, raw_path=raw)
            todo.extend(_below(folder, name) for name in folders)
            for name in others:
                yield self._entry(_below(folder, name))

    def _place(self, name: bytes) -> bytes:
        """The path under which the job's `name` is archived."""
        if not self._is_pulled and (name == _STDOUT or name.startswith(_STDOUT + b"/")):
            return self._aside + b"/" + name
        return name

    def _entry(self, name: bytes) -> Found:
        """What is at this path, which is not a folder."""
        where = os.path.join(self._save, name)  # noqa: PTH118 (bytes)
        try:
            status = os.lstat(where)
            target = os.readlink(where) if stat.S_ISLNK(status.st_mode) else b""  # noqa: PTH115 (bytes)
        except OSError as error:
            return LeftOut(name, f"can't be read: {why(error)}")
        if stat.S_ISREG(status.st_mode):
            return source(self._place(name), where, status)
        if special := special_file(status.st_mode):
            return LeftOut(name, f"{special}, not a file")
        return self._link(name, target)

    def _link(self, name: bytes, target: bytes) -> StoredLink | LeftOut:
        archived = self._links.archived(name, target, self._place)
        if archived is None:
            return LeftOut(name, f"a link that leads out, to {target.decode(errors='backslashreplace')!r}")
        path, raw = shown(self._place(name))
        target_text, raw_target = shown_target(archived)
        return StoredLink(path=path, raw_path=raw, target=target_text, raw_target=raw_target)


def _free_name(taken: set[bytes]) -> bytes:
    """A name for a folder that the job did not use itself."""
    more = (b"%s-%d" % (_SAVE, number) for number in itertools.count(2))
    return next(name for name in itertools.chain([_SAVE], more) if name not in taken)


def _below(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _names(path: bytes) -> tuple[list[bytes], list[bytes]]:
    """The names of the folders in a folder, and the names of everything else.

    Only names, for there may be a million: a whole directory entry takes ten times the memory.
    """
    try:
        scanning = os.scandir(path)
    except PermissionError:
        unlock(path)
        scanning = os.scandir(path)
    folders: list[bytes] = []
    others: list[bytes] = []
    with scanning:
        for entry in scanning:
            (folders if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
    return sorted(folders), sorted(others)
