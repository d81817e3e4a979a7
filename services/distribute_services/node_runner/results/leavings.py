"""List what a job left in the folder for its results: files to send, links, empty folders, and others.

Follows no link and opens no file.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace

from distribute.core.manifest import STDOUT_NAME, StoredFolder, StoredLink, link_stays_inside

_STDOUT = STDOUT_NAME.encode()
_SAVE = b"distribute_save"

_NOT_STORED = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file to send: its path in the manifest, its path on the disk, and its size when it was found."""

    name: bytes
    path: bytes
    size_bytes: int
    executable: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not archived. `line` names it and says why."""

    line: str


Found = Source | StoredFolder | StoredLink | LeftOut
"""Links and empty folders have no bytes to send, so they are manifest entries already."""


_NAME_TAKEN = LeftOut(f"{STDOUT_NAME}: the captured output has this name; use another one")


def shown(name: bytes) -> tuple[str, str | None]:
    """A path as text and, if it is not valid UTF-8, as base64 of its bytes."""
    try:
        return name.decode(), None
    except UnicodeDecodeError:
        return name.decode(errors="backslashreplace"), base64.b64encode(name).decode()


def unlock(path: bytes) -> None:
    """Make a file or folder readable again whose job removed its permissions. Does not follow links."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        # An O_PATH descriptor can't set a mode, nor can a libc before 2.32 without following links.
        os.chmod(f"/proc/self/fd/{fd}", 0o700)  # noqa: PTH101
    finally:
        os.close(fd)


def look_through(save: bytes) -> Iterator[Found]:
    """Yield everything in the folder `save`, folder by folder, in order of name."""
    todo = [b""]
    while todo:
        folder = todo.pop()
        try:
            folders, others = _names(os.path.join(save, folder))  # noqa: PTH118 (bytes: names need not be text)
        except OSError as error:
            yield LeftOut(f"{shown(folder or _SAVE)[0]}: this folder can't be read: {error.strerror}")
            continue
        if folder and not folders and not others:
            path, raw = shown(folder)
            yield StoredFolder(path=path, raw_path=raw)
        if not folder and _STDOUT in folders:
            yield _NAME_TAKEN
            folders.remove(_STDOUT)
        todo.extend(_below(folder, name) for name in folders)
        for name in others:
            inside = _below(folder, name)
            yield (
                _found(save, inside) if inside != _STDOUT else _found_stdout(save, _SAVE in folders + others)
            )


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


def _found_stdout(save: bytes, name_is_taken: bool) -> Found:
    """A job's own `stdout.txt`. It is archived in `distribute_save/`, unless the job has that name, too."""
    found = _found(save, _STDOUT)
    if isinstance(found, Source) and not name_is_taken:
        return replace(found, name=_SAVE + b"/" + _STDOUT)
    return _NAME_TAKEN


def _found(save: bytes, name: bytes) -> Found:
    """The entry of `save` with this name, which is not a folder."""
    path, raw = shown(name)
    where = os.path.join(save, name)  # noqa: PTH118 (bytes)
    try:
        status = os.lstat(where)
        target = os.readlink(where) if stat.S_ISLNK(status.st_mode) else b""  # noqa: PTH115 (bytes)
    except OSError as error:
        return LeftOut(f"{path}: can't be read: {error.strerror}")
    if stat.S_ISREG(status.st_mode):
        return Source(name, where, status.st_size, bool(status.st_mode & stat.S_IXUSR))
    if reason := _NOT_STORED.get(stat.S_IFMT(status.st_mode)):
        return LeftOut(f"{path}: {reason}, not a file")
    if shown(target)[1] is not None:
        return LeftOut(f"{path}: a link to {shown(target)[0]!r}, a name that is no valid UTF-8")
    if not link_stays_inside(path, target.decode()) or not _ends_inside(save, where):
        return LeftOut(f"{path}: a link that leads out, to {target.decode()!r}")
    return StoredLink(path=path, raw_path=raw, target=target.decode())


def _ends_inside(save: bytes, link: bytes) -> bool:
    """Does a link end in `save`, after following every link on its way?"""
    inside = os.path.realpath(save)
    end = os.path.realpath(link)
    return end == inside or end.startswith(inside + b"/")
