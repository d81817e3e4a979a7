"""What lies in the folder a job leaves its results in: files to send, links, empty folders, and the rest.

Nothing is followed and nothing is read here but names.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from distribute.core.manifest import STDOUT_NAME, Entry, StoredFolder, StoredLink, link_stays_inside

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
    """A file to be sent: its path in the manifest, where it is, and what it was when it was found."""

    name: bytes
    path: bytes
    size_bytes: int
    executable: bool = False


@dataclass(slots=True)
class Leavings:
    """`entries` are those that need no bytes sent; `left_out` names what is not archived, and why."""

    files: list[Source] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def shown(name: bytes) -> tuple[str, str | None]:
    """A path as text, and as base64 of its bytes where it is not valid UTF-8."""
    try:
        return name.decode(), None
    except UnicodeDecodeError:
        return name.decode(errors="backslashreplace"), base64.b64encode(name).decode()


def unlock(path: bytes) -> None:
    """Give a file or folder that its job closed to itself back to its owner; never what a link leads to."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        # A mode can't be set by such a descriptor, nor, with a libc before 2.32, without following links.
        os.chmod(f"/proc/self/fd/{fd}", 0o700)  # noqa: PTH101
    finally:
        os.close(fd)


def look_through(save: bytes) -> Leavings:
    """Everything in the folder `save`, in order of name."""
    found = Leavings()
    todo = [b""]
    while todo:
        folder = todo.pop()
        try:
            children = list(_children(save, folder))
        except OSError as error:
            found.left_out.append(f"{shown(folder or _SAVE)[0]}: this folder can't be read: {error.strerror}")
            continue
        if folder and not children:
            path, raw = shown(folder)
            found.entries.append(StoredFolder(path=path, raw_path=raw))
        for name, entry in children:
            archived_as = name if name != _STDOUT else _name_beside_stdout(entry, children)
            if archived_as is None:
                found.left_out.append(f"{STDOUT_NAME}: the captured output has this name; use another one")
            elif entry.is_dir(follow_symlinks=False):
                todo.append(name)
            else:
                _sort(save, archived_as, entry, found)
    return found


def _children(save: bytes, folder: bytes) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
    path = os.path.join(save, folder)  # noqa: PTH118 (bytes: names need not be text)
    try:
        entries = list(os.scandir(path))
    except PermissionError:
        unlock(path)
        entries = list(os.scandir(path))
    for entry in sorted(entries, key=lambda entry: entry.name):
        yield (folder + b"/" + entry.name if folder else entry.name), entry


def _name_beside_stdout(
    entry: os.DirEntry[bytes], beside: list[tuple[bytes, os.DirEntry[bytes]]]
) -> bytes | None:
    """Under which name a job's own `stdout.txt` is archived: in `distribute_save/`, where it can be."""
    if entry.is_file(follow_symlinks=False) and _SAVE not in {name for name, _ in beside}:
        return _SAVE + b"/" + _STDOUT
    return None


def _sort(save: bytes, name: bytes, entry: os.DirEntry[bytes], found: Leavings) -> None:
    path, raw = shown(name)
    try:
        status = entry.stat(follow_symlinks=False)
        target = os.readlink(entry.path) if entry.is_symlink() else b""  # noqa: PTH115 (bytes)
    except OSError as error:
        found.left_out.append(f"{path}: can't be read: {error.strerror}")
        return
    if stat.S_ISREG(status.st_mode):
        found.files.append(Source(name, entry.path, status.st_size, bool(status.st_mode & stat.S_IXUSR)))
    elif reason := _NOT_STORED.get(stat.S_IFMT(status.st_mode)):
        found.left_out.append(f"{path}: {reason}, not a file")
    elif shown(target)[1] is not None:
        found.left_out.append(f"{path}: a link to {shown(target)[0]!r}, a name that is no valid UTF-8")
    elif not link_stays_inside(path, target.decode()) or not _ends_inside(save, entry.path):
        found.left_out.append(f"{path}: a link that leads out, to {target.decode()!r}")
    else:
        found.entries.append(StoredLink(path=path, raw_path=raw, target=target.decode()))


def _ends_inside(save: bytes, link: bytes) -> bool:
    """Does a link stay in `save` also where links on its way lead elsewhere than their names say?"""
    inside = os.path.realpath(save)
    end = os.path.realpath(link)
    return end == inside or end.startswith(inside + b"/")
