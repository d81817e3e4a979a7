"""Look into the working folder of a job that runs, which changes it meanwhile.

Everything is opened by descriptors, from the folder downwards and never through a link. So nothing outside
the folder is ever listed or read, whatever the job does at the same time.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from distribute.core.os_words import why
from distribute.core.spec.visits import CHUNK_BYTES, MAX_ENTRIES, Entry, Got, Piece, path_bytes, path_text
from distribute_services.node_runner.disk.birth import born_ns

Parts = tuple[bytes, ...]

_MOST_LINKS = 40
"""Max. links on the way of a path, as the kernel has it."""
_MOST_UNREAD = 100
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_IS_OTHER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class JobFolder:
    """The folder with the descriptor `root`. The job knows it by the path `seen`."""

    def __init__(self, root: int, seen: str) -> None:
        self._root = root
        self._seen = os.fsencode(seen)

    def inside(self, path: bytes) -> Parts | None:
        """Where a path leads, following links. None: out of the folder, in a circle, or nowhere."""
        todo = _steps(path)
        at: list[bytes] = []
        links = 0
        while todo:
            step = todo.pop()
            if step == b"..":
                if not at:
                    return None
                at.pop()
                continue
            try:
                with self._opened(tuple(at)) as folder:
                    status = os.lstat(step, dir_fd=folder)
                    target = os.readlink(step, dir_fd=folder) if stat.S_ISLNK(status.st_mode) else None
            except OSError:
                return None
            if target is None:
                at.append(step)
                continue
            links += 1
            if target.startswith(b"/"):
                if not (target + b"/").startswith(self._seen + b"/"):
                    return None
                at, target = [], target[len(self._seen) :]
            if links > _MOST_LINKS:
                return None
            todo += _steps(target)
        return tuple(at)

    def entries(self, below: Parts, unread: list[str]) -> Iterator[Entry]:
        """What lies at a path, and below it if it is a folder, folder by folder. Adds to `unread`."""
        try:
            with self._opened(below[:-1]) as folder:
                status = os.lstat(below[-1] if below else b".", dir_fd=folder)
                if not stat.S_ISDIR(status.st_mode):
                    yield from _entry(folder, below, status)
                    return
        except OSError as error:
            _tell(unread, below, error)
            return
        todo = [below]
        while todo:
            at = todo.pop()
            folders: list[Parts] = []
            try:
                with self._opened(at) as folder:
                    with os.scandir(folder) as found:
                        names = sorted(os.fsencode(one.name) for one in found)
                    for name in names:
                        yield from self._below(folder, (*at, name), folders, unread)
                    if at != below and not names:
                        yield _empty_folder(at, os.fstat(folder))
            except OSError as error:
                _tell(unread, at, error)
            todo += reversed(folders)

    def _below(self, folder: int, parts: Parts, folders: list[Parts], unread: list[str]) -> Iterator[Entry]:
        try:
            status = os.lstat(parts[-1], dir_fd=folder)
            if stat.S_ISDIR(status.st_mode):
                folders.append(parts)
            else:
                yield from _entry(folder, parts, status)
        except FileNotFoundError:
            return  # the job has removed it meanwhile
        except OSError as error:
            _tell(unread, parts, error)

    def read(self, piece: Piece, most: int) -> tuple[Got, bytes]:
        """Read a part of a file, of `most` bytes at most."""
        *above, name = path_bytes(piece.path).split(b"/")
        if {b"", b".", b".."} & {*above, name}:
            return Got(problem="it is not a path in the job's folder"), b""
        try:
            with self._opened(tuple(above)) as folder:
                file = os.open(name, _FILE, dir_fd=folder)
        except OSError as error:
            return _failed(error), b""
        return read_piece(file, piece, most)

    @contextmanager
    def _opened(self, parts: Parts) -> Iterator[int]:
        """The descriptor of a folder below, reached without following links."""
        folder = os.open(b".", _FOLDER, dir_fd=self._root)
        try:
            for part in parts:
                below = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)


def read_piece(file: int, piece: Piece, most: int) -> tuple[Got, bytes]:
    """Read a part of an open file, of `most` bytes at most, and close it."""
    try:
        status = os.fstat(file)
        names = status.st_ino, born_ns(file)
        if not stat.S_ISREG(status.st_mode) or any(
            wanted not in {0, there}
            for wanted, there in zip((piece.inode, piece.born_ns), names, strict=True)
        ):
            return Got(is_other=True), b""
        found = Got(0, False, status.st_size, status.st_mtime_ns, *names)
        wanted = min(piece.until, status.st_size) - piece.offset
        if wanted <= 0:
            return found, b""
        if hole := min(_hole(file, piece.offset), wanted):
            return found._replace(length=hole, is_hole=True), b""
        data = os.pread(file, min(wanted, most, _data(file, piece.offset, wanted)), piece.offset)
        return found._replace(length=len(data)), data
    except OSError as error:
        return _failed(error), b""
    finally:
        os.close(file)


def listed(entries: Iterator[Entry]) -> tuple[tuple[Entry, ...], bool]:
    """The first `MAX_ENTRIES`, and whether there are more."""
    found: list[Entry] = []
    for entry in entries:
        if len(found) == MAX_ENTRIES:
            return tuple(found), True
        found.append(entry)
    return tuple(found), False


def read_pieces(folder: JobFolder, printed: str, pieces: tuple[Piece, ...]) -> tuple[list[Got], list[bytes]]:
    """Read parts of files, until an answer is full. `printed` is the file with what the job has printed."""
    got: list[Got] = []
    data: list[bytes] = []
    left = CHUNK_BYTES
    for piece in pieces:
        if left <= 0:
            break
        try:
            found, some = (
                folder.read(piece, left) if piece.path else read_piece(os.open(printed, _FILE), piece, left)
            )
        except OSError as error:
            found, some = _failed(error), b""
        got.append(found)
        data.append(some)
        left -= len(some)
    return got, data


def _hole(file: int, offset: int) -> int:
    """How many bytes there are nothing but zeros, of which the disk has none."""
    try:
        return os.lseek(file, offset, os.SEEK_DATA) - offset
    except OSError as error:
        if error.errno == errno.ENXIO:  # no data behind it
            return os.fstat(file).st_size - offset
        return 0  # a file system that can't tell


def _data(file: int, offset: int, wanted: int) -> int:
    """How many bytes there are before the next hole."""
    try:
        return os.lseek(file, offset, os.SEEK_HOLE) - offset
    except OSError:
        return wanted  # a file system that can't tell, or the file was cut


def _failed(error: OSError) -> Got:
    if error.errno in _IS_OTHER:
        return Got(is_other=True)
    return Got(problem=f"can't be read: {why(error)}")


def _entry(folder: int, parts: Parts, status: os.stat_result) -> Iterator[Entry]:
    path, mode = path_text(b"/".join(parts)), status.st_mode & 0o7777
    stamp = status.st_size, status.st_mtime_ns, mode, status.st_ino
    if stat.S_ISREG(status.st_mode):
        yield Entry("file", path, *stamp)
    elif stat.S_ISLNK(status.st_mode):
        yield Entry("link", path, *stamp, path_text(os.readlink(parts[-1], dir_fd=folder)))


def _empty_folder(parts: Parts, status: os.stat_result) -> Entry:
    mode = status.st_mode & 0o7777
    return Entry("folder", path_text(b"/".join(parts)), 0, status.st_mtime_ns, mode, status.st_ino)


def _tell(unread: list[str], parts: Parts, error: OSError) -> None:
    if len(unread) < _MOST_UNREAD:
        name = b"/".join(parts).decode(errors="backslashreplace") or "."
        unread.append(f"{name}: can't be read: {why(error)}")


def _steps(path: bytes) -> list[bytes]:
    """The parts of a path, the first one last."""
    return [part for part in reversed(path.split(b"/")) if part not in {b"", b"."}]
