"""Lays out a tree by its listing: makes its folders, files and links on a disk."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path

from distribute.core.errors import IntegrityError
from distribute.core.files.folder_listing import MAX_LINE_BYTES, Entry, Listing
from distribute.core.files.manifest import StoredFile, StoredLink, entry_bytes, link_target

_FOLDER_MODE = 0o755
_NO_COPY_FILE_RANGE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_PIECE_BYTES = 1 << 20


def objects_of(listing: Path) -> dict[str, int]:
    """The objects that a listing needs: their sizes by SHA-256.

    Raises:
        IntegrityError: it is no listing.
    """
    with listing.open("rb") as file:
        try:
            return {one.sha256: one.size_bytes for one in _listing(file).objects}
        except ValueError as error:
            raise _unusable(listing, error) from error


def lay_out(
    listing: Path,
    objects: Mapping[str, Path],
    target: Path,
    may_put: Callable[[str], bool] = lambda name: True,
) -> None:
    """Make everything that a listing has below `target`. That is made too, unless it is there.

    `objects` are the files with contents, by SHA-256. `may_put` is asked once for each name at the top, and
    makes room for it; if it returns False, that is left out. Files are new ones: changing them changes no
    object. Their owner may read all of it.

    Raises:
        IntegrityError: the listing is none.
        OSError: the disk refuses it.
    """
    with listing.open("rb") as file:
        try:
            _LayingOut(_listing(file), objects, target, may_put).run()
        except ValueError as error:
            raise _unusable(listing, error) from error


def _listing(file: BufferedReader) -> Listing:
    return Listing(iter(lambda: file.readline(MAX_LINE_BYTES), b""))


def _unusable(listing: Path, error: ValueError) -> IntegrityError:
    return IntegrityError(f"input {listing.name} is no list of a folder's contents: {error}")


class _LayingOut:
    """One listing on its way to the disk."""

    def __init__(
        self, listing: Listing, objects: Mapping[str, Path], target: Path, may_put: Callable[[str], bool]
    ) -> None:
        self._listing = listing
        self._paths = [objects[one.sha256] for one in listing.objects]
        self._target = os.fsencode(target)
        self._may_put = may_put
        self._tops: dict[bytes, bool] = {}
        self._made: set[bytes] = set()
        self._modes: list[tuple[bytes, int]] = []
        self._open: tuple[int, int] = (-1, -1)

    def run(self) -> None:
        """Make everything. Folders get their modes last: they may be closed to us."""
        if not os.path.isdir(self._target):  # noqa: PTH112 - bytes
            os.mkdir(self._target, _FOLDER_MODE)  # noqa: PTH102 - bytes
            self._modes.append((self._target, _mode(self._listing.head.mode)))
        try:
            for entry in self._listing.entries():
                name = entry_bytes(entry)
                top = name.partition(b"/")[0]
                if top not in self._tops:
                    self._tops[top] = self._may_put(os.fsdecode(top))
                if self._tops[top]:
                    self._put(name, entry)
        finally:
            if self._open[1] >= 0:
                os.close(self._open[1])
        for path, mode in reversed(self._modes):
            os.chmod(path, mode)  # noqa: PTH101 - bytes

    def _put(self, name: bytes, entry: Entry) -> None:
        self._make_folder(name.rpartition(b"/")[0])
        path = self._target + b"/" + name
        match entry:
            case StoredFile():
                self._put_file(path, entry)
            case StoredLink():
                os.symlink(os.fsencode(link_target(entry)), path)  # noqa: PTH211 - bytes
            case _:
                self._make_folder(name, entry.mode)

    def _make_folder(self, name: bytes, mode: int | None = None) -> None:
        """Make a folder, with those above it, unless this made it already."""
        if not name or name in self._made:
            return
        self._make_folder(name.rpartition(b"/")[0])
        path = self._target + b"/" + name
        os.mkdir(path, _FOLDER_MODE)  # noqa: PTH102 - bytes
        self._made.add(name)
        self._modes.append((path, _mode(mode)))

    def _put_file(self, path: bytes, entry: StoredFile) -> None:
        copy = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if entry.object is not None and entry.size_bytes:
                _copy(self._content(entry.object), copy, entry.offset, entry.size_bytes)
            mode = entry.mode if entry.mode is not None else 0o644
            os.fchmod(copy, mode | stat.S_IRUSR)
            if entry.mtime_ns is not None:
                os.utime(copy, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(copy)

    def _content(self, number: int) -> int:
        """A descriptor of an object. Files of one object stand together, so one is open at a time."""
        if self._open[0] != number:
            if self._open[1] >= 0:
                os.close(self._open[1])
            self._open = -1, -1
            self._open = number, os.open(self._paths[number], os.O_RDONLY | os.O_CLOEXEC)
        return self._open[1]


def _mode(mode: int | None) -> int:
    """The mode that a folder gets. Its owner may look into it."""
    return _FOLDER_MODE if mode is None else mode | stat.S_IRUSR | stat.S_IXUSR


def _copy(source: int, target: int, offset: int, count: int) -> None:
    """Copy a part of a file. Shares blocks of the disk if the file system can."""
    end = offset + count
    try:
        while offset < end and count >= _PIECE_BYTES:
            copied = os.copy_file_range(source, target, end - offset, offset)
            if not copied:
                break
            offset += copied
    except OSError as error:
        if error.errno not in _NO_COPY_FILE_RANGE:
            raise
    while offset < end:
        piece = os.pread(source, min(_PIECE_BYTES, end - offset), offset)
        if not piece:
            raise OSError(errno.EIO, "an object is shorter than its listing says")
        offset += len(piece)
        while piece:
            piece = piece[os.write(target, piece) :]
