"""Write files that other machines sent into a folder of the user, and nowhere else.

Every path is opened from the folder downwards by descriptors, never through a link, so neither a manifest nor
a link in the folder can lead a write out of it. A file gets its name only once its digest is right, and only
if what has that name is still what the caller found there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from distribute.client.pull.new_file import (
    READ,
    Content,
    NewFile,
    finish,
    large_part_name,
    part_name,
    touch_up,
)
from distribute.client.words import printable
from distribute.core.errors import InputError, IntegrityError, StorageFull
from distribute.core.files.manifest import Entry, entry_bytes, link_stays_inside, link_target
from distribute.core.os_words import why
from distribute.core.ways import Way

Parts = tuple[bytes, ...]
"""A path below a folder, part by part. File names are bytes."""

_NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOENT, errno.ENOTDIR}
"""What removing a folder raises if it has something in it, is no folder, or is gone."""

_NO_NAMES = frozenset({b"", b".", b".."})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Kind(Enum):
    """What has a name in a folder."""

    FILE = auto()
    LINK = auto()
    FOLDER = auto()
    OTHER = auto()


Stamp = tuple[int, ...]
"""Device, inode, size and times of a file, which change with it."""


class Found(NamedTuple):
    """What is at a path: of a file, `content` is its SHA-256 digest; of a link, where it leads."""

    kind: Kind
    content: bytes
    stamp: Stamp

    def is_file(self, file: Content) -> bool:
        """Is it a file with this content?"""
        return (self.kind, self.content.hex()) == (Kind.FILE, file.sha256)

    def is_link(self, target: bytes) -> bool:
        """Is it a link that leads there?"""
        return (self.kind, self.content) == (Kind.LINK, target)

    def lacks_time_or_mode(self, file: Content) -> bool:
        """Does it lack what `touch_up` gives it?"""
        mode, mtime_ns = self.stamp[2], self.stamp[4]
        return file.mtime_ns not in {None, mtime_ns} or (file.executable and not mode & stat.S_IXUSR)


def safe_parts(entry: Entry) -> Parts:
    """The path of a manifest's entry, part by part.

    Raises:
        IntegrityError: the path is not relative and normalized, or the link leads out of the folder.
        ValueError: the path can't be a file name.
    """
    raw = entry_bytes(entry)
    parts = tuple(raw.split(b"/"))
    if b"\0" in raw or not _NO_NAMES.isdisjoint(parts):
        raise IntegrityError(
            f"the path {entry.path!r} in a manifest does not stay in its folder: not written"
        )
    if entry.kind == "link" and not link_stays_inside(os.fsdecode(raw), link_target(entry)):
        raise IntegrityError(f"the link {entry.path!r} to {entry.target!r} leads out of its folder: not made")
    return parts


def shown(parts: Parts) -> str:
    """A path, for messages."""
    return printable(os.fsdecode(b"/".join(parts)))


class TargetFolder:
    """The folder that results are pulled into. It is made when something is first written.

    `parts_in` is the folder below it for files that are not complete.
    """

    def __init__(self, path: Path, parts_in: Parts = ()) -> None:
        self.path = path
        self._parts_in = parts_in
        self._is_made = False

    def make_folder(self, parts: Parts) -> None:
        """Make a folder and its parents, unless they are there."""
        with self.opened(parts):
            pass

    def size_at(self, parts: Parts) -> int | None:
        """The size in bytes of what is at a path; None: nothing is there."""
        with suppress(FileNotFoundError, NotADirectoryError), self.opened(parts[:-1], make=False) as folder:
            return os.lstat(parts[-1], dir_fd=folder).st_size
        return None

    def look(self, parts: Parts) -> Found | None:
        """What is at a path; None: nothing. It reads a file whole."""
        try:
            with self.opened(parts[:-1], make=False) as folder, self.translated(parts, "read"):
                status = os.lstat(parts[-1], dir_fd=folder)
                if stat.S_ISLNK(status.st_mode):
                    return Found(Kind.LINK, os.readlink(parts[-1], dir_fd=folder), _stamp(status))
                if not stat.S_ISREG(status.st_mode):
                    kind = Kind.FOLDER if stat.S_ISDIR(status.st_mode) else Kind.OTHER
                    return Found(kind, b"", _stamp(status))
                descriptor = os.open(parts[-1], READ, dir_fd=folder)
                with os.fdopen(descriptor, "rb", buffering=0) as there:
                    digest = hashlib.file_digest(there, "sha256").digest()
                    return Found(Kind.FILE, digest, _stamp(os.fstat(there.fileno())))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def touch_up(self, parts: Parts, file: Content) -> None:
        """Give a file that is there already the time that the job left.

        An interrupted pull may have missed that. A person may have changed the mode, so that stays.
        """
        with self.opened(parts[:-1], make=False) as folder, self.translated(parts):
            descriptor = os.open(parts[-1], READ, dir_fd=folder)
            try:
                touch_up(descriptor, file)
            finally:
                os.close(descriptor)

    def make_link(self, parts: Parts, target: str, over: Found | None = None) -> None:
        """Make a symbolic link in the place of `over`, which was found there."""
        with self._opened_for(parts) as (parts_in, folder):
            part = part_name()
            os.symlink(os.fsencode(target), part, dir_fd=parts_in)
            self._put(parts_in, part, folder, parts, over)

    @contextmanager
    def new_file(self, parts: Parts, file: Content, over: Found | None = None) -> Iterator[NewFile]:
        """A file to write in the block. If its digest is right then, it takes the place of `over`."""
        with self._opened_for(parts) as (parts_in, folder):
            with NewFile(parts_in, part_name(), shown(parts), file) as new:
                yield new
            self._put(parts_in, new.part, folder, parts, over)

    @contextmanager
    def large_file(self, parts: Parts, file: Content, over: Found | None = None) -> Iterator[Path]:
        """A path to write a large file to in the block. Then it takes the place of `over`.

        It is the same path for the same file each time, so that an interrupted download is resumed. It leads
        through a descriptor, so that no link can redirect the writer.
        """
        with self._opened_for(parts) as (parts_in, folder):
            part = large_part_name(b"/".join(parts), file)
            yield Path(f"/proc/self/fd/{parts_in}") / os.fsdecode(part)
            finish(parts_in, part, file)
            self._put(parts_in, part, folder, parts, over)

    def remove(self, parts: Parts, found: Found) -> None:
        """Remove what was found at a path."""
        with self.opened(parts[:-1], make=False) as folder, self.translated(parts, "removed"):
            self._check_unchanged(parts, folder, found)
            os.unlink(parts[-1], dir_fd=folder)

    def remove_empty(self, parts: Parts) -> None:
        """Remove a folder if it is there and empty."""
        try:
            with self.opened(parts[:-1], make=False) as folder:
                os.rmdir(parts[-1], dir_fd=folder)
        except OSError as error:
            if error.errno not in _NOT_EMPTY:
                raise InputError(f"{self.at(parts)}: can't be removed: {why(error)}") from error

    @contextmanager
    def opened(self, parts: Parts, *, make: bool = True) -> Iterator[int]:
        """The descriptor of a folder, reached without following links.

        Raises:
            InputError: something else is where a folder should be.
            NotADirectoryError, FileNotFoundError: likewise, or the folder is missing; only without `make`.
        """
        folder = self._open_itself(make=make)
        try:
            for depth in range(1, len(parts) + 1):
                try:
                    below = self._open_below(folder, parts[:depth], make=make)
                except NotADirectoryError as error:
                    if not make:
                        raise
                    raise InputError(
                        f"{self.at(parts[:depth])}: a link or file is where a folder belongs; "
                        "move it away, or name another folder"
                    ).with_ways(Way.ANOTHER_FOLDER) from error
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)

    def _open_below(self, folder: int, parts: Parts, *, make: bool) -> int:
        """The descriptor of a folder in the folder with this descriptor."""
        try:
            return os.open(parts[-1], _FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if not make:
                raise
        with suppress(FileExistsError), self.translated(parts):
            os.mkdir(parts[-1], dir_fd=folder)
        return os.open(parts[-1], _FOLDER, dir_fd=folder)

    def _open_itself(self, *, make: bool) -> int:
        """The descriptor of the folder that all paths start at."""
        try:
            if make and not self._is_made:
                self.path.mkdir(parents=True, exist_ok=True)
                self._is_made = True
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if not make and isinstance(error, FileNotFoundError | NotADirectoryError):
                raise
            raise InputError(
                f"{printable(str(self.path))}: can't hold results: {why(error)}; name another folder"
            ).with_ways(Way.ANOTHER_FOLDER) from error

    def at(self, parts: Parts) -> str:
        """A path, for messages."""
        return f"{self.path}/{shown(parts)}"

    @contextmanager
    def translated(self, parts: Parts, action: str = "written") -> Iterator[None]:
        """Translate OSErrors raised in the block, but for a file that is there or missing."""
        try:
            yield
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull(
                    f"{self.at(parts)}: no room left here; make room, then pull again: it continues where it "
                    "stopped; or name another folder"
                ).with_ways(Way.ANOTHER_FOLDER) from error
            raise InputError(f"{self.at(parts)}: can't be {action}: {why(error)}") from error

    @contextmanager
    def _opened_for(self, parts: Parts) -> Iterator[tuple[int, int]]:
        """The descriptors of the folder for incomplete files, and of that where they go."""
        with (
            self.opened(parts[:-1]) as folder,
            self.translated(parts),
            self.opened(self._parts_in) as parts_in,
        ):
            yield parts_in, folder

    def _put(self, parts_in: int, part: bytes, folder: int, parts: Parts, over: Found | None) -> None:
        """Put a complete file in the place of `over`."""
        try:
            self._check_unchanged(parts, folder, over)
            os.rename(part, parts[-1], src_dir_fd=parts_in, dst_dir_fd=folder)
        except BaseException:
            os.unlink(part, dir_fd=parts_in)
            raise

    def _check_unchanged(self, parts: Parts, folder: int, found: Found | None) -> None:
        """Check that what was found at a path is still there, unchanged.

        Raises:
            InputError: it is not.
        """
        try:
            now = _stamp(os.lstat(parts[-1], dir_fd=folder))
        except FileNotFoundError:
            now = None
        if now != (None if found is None else found.stamp):
            raise InputError(f"{self.at(parts)}: it was written to during this pull, so it stays; pull again")


def _stamp(status: os.stat_result) -> Stamp:
    return (
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
