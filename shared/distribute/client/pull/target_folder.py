"""Write files that other machines sent into a folder of the user, and nowhere else.

Every path is opened from the folder downwards by descriptors, never through a link, so neither a manifest nor
a link in the folder can lead a write out of it. A file gets its name only once its digest is right.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from distribute.client.words import printable
from distribute.core.errors import InputError, IntegrityError, StorageFull
from distribute.core.manifest import Entry, entry_bytes, link_stays_inside

Parts = tuple[bytes, ...]
"""A path below a folder, part by part. File names are bytes."""

_NO_NAMES = frozenset({b"", b".", b".."})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Content(Protocol):
    """What a file is to be."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def executable(self) -> bool: ...
    @property
    def mode(self) -> int | None: ...
    @property
    def mtime_ns(self) -> int | None: ...


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
    if entry.kind == "link" and not link_stays_inside(os.fsdecode(raw), entry.target):
        raise IntegrityError(f"the link {entry.path!r} to {entry.target!r} leads out of its folder: not made")
    return parts


def shown(parts: Parts) -> str:
    """A path, for messages."""
    return printable(os.fsdecode(b"/".join(parts)))


class TargetFolder:
    """The folder that results are pulled into. It is made when something is first written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make_folder(self, parts: Parts) -> None:
        """Make a folder and its parents, unless they are there."""
        with self.opened(parts):
            pass

    def make_link(self, parts: Parts, target: str) -> None:
        """Make a symbolic link. It replaces a link or file of that name."""
        with self.opened(parts[:-1]) as folder, self._translated(parts):
            with suppress(OSError):
                if os.readlink(parts[-1], dir_fd=folder) == os.fsencode(target):
                    return
            part = _part_name()
            os.symlink(os.fsencode(target), part, dir_fd=folder)
            _rename(folder, part, parts[-1])

    def holds(self, parts: Parts, file: Content) -> bool:
        """Is this file there already, with this content? If so, it gets the time that the job left.

        An interrupted pull may have missed that. A person may have changed the mode, so that stays.
        """
        try:
            with self.opened(parts[:-1], make=False) as folder, self._translated(parts, "read"):
                status = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode) or status.st_size != file.size_bytes:
                    return False
                descriptor = os.open(parts[-1], _READ, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            return False
        with os.fdopen(descriptor, "rb", buffering=0) as there:
            if hashlib.file_digest(there, "sha256").hexdigest() != file.sha256:
                return False
            with suppress(PermissionError):  # it may belong to somebody else
                if file.executable and not status.st_mode & stat.S_IXUSR:
                    _make_executable(there.fileno())
                if file.mtime_ns not in {None, status.st_mtime_ns}:
                    _set_time(there.fileno(), file)
        return True

    def finish(self, parts: Parts, file: Content) -> None:
        """Give a file that was written to its `place` the mode and the time that the job left."""
        with self.opened(parts[:-1], make=False) as folder, self._translated(parts):
            descriptor = os.open(parts[-1], _READ, dir_fd=folder)
            try:
                _finish(descriptor, file)
            finally:
                os.close(descriptor)

    @contextmanager
    def new_file(self, parts: Parts, file: Content) -> Iterator[NewFile]:
        """A file to write in the block. It gets its name at the end of the block, if its digest is right."""
        with self.opened(parts[:-1]) as folder, self._translated(parts), NewFile(folder, parts, file) as new:
            yield new

    @contextmanager
    def place(self, parts: Parts) -> Iterator[Path]:
        """A file's path through its folder's descriptor, so that no link can redirect the writer."""
        with self.opened(parts[:-1]) as folder, self._translated(parts):
            yield Path(f"/proc/self/fd/{folder}") / os.fsdecode(parts[-1])

    @contextmanager
    def opened(self, parts: Parts, *, make: bool = True) -> Iterator[int]:
        """The descriptor of a folder, reached without following links.

        Raises:
            InputError: something else is where a folder should be.
            NotADirectoryError, FileNotFoundError: likewise, or the folder is missing; only without `make`.
        """
        folder = self._open_itself(make=make)
        try:
            for depth, part in enumerate(parts, 1):
                if make:
                    with suppress(FileExistsError), self._translated(parts[:depth]):
                        os.mkdir(part, dir_fd=folder)
                try:
                    below = os.open(part, _FOLDER, dir_fd=folder)
                except NotADirectoryError as error:
                    if not make:
                        raise
                    raise InputError(
                        f"{self._at(parts[:depth])}: a link or file is where a folder belongs; "
                        "move it away, or pull into another folder with --save-dir"
                    ) from error
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)

    def _open_itself(self, *, make: bool) -> int:
        """The descriptor of the folder that all paths start at."""
        try:
            if make:
                self.path.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if not make and isinstance(error, FileNotFoundError | NotADirectoryError):
                raise
            raise InputError(
                f"{printable(str(self.path))}: can't hold results: {error.strerror}; "
                "name another folder with --save-dir"
            ) from error

    def _at(self, parts: Parts) -> str:
        return f"{self.path}/{shown(parts)}"

    @contextmanager
    def _translated(self, parts: Parts, action: str = "written") -> Iterator[None]:
        """Translate OSErrors raised in the block, but for a file that is there or missing."""
        try:
            yield
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull(
                    f"{self._at(parts)}: no room left here; make room, or pull elsewhere with --save-dir, "
                    "then pull again: it continues where it stopped"
                ) from error
            raise InputError(f"{self._at(parts)}: can't be {action}: {error.strerror}") from error


class NewFile:
    """A file being written. It has another name until its digest is right."""

    def __init__(self, folder: int, parts: Parts, file: Content) -> None:
        self._folder = folder
        self._parts = parts
        self._file = file
        self._digest = hashlib.sha256()
        self._part = _part_name()
        self._descriptor = os.open(self._part, _NEW, 0o777 if file.executable else 0o666, dir_fd=folder)

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`."""
        self._digest.update(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def __enter__(self) -> NewFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_right = error is None and self._digest.hexdigest() == self._file.sha256
        try:
            if is_right:
                _finish(self._descriptor, self._file)
        finally:
            os.close(self._descriptor)
        if is_right:
            _rename(self._folder, self._part, self._parts[-1])
            return
        os.unlink(self._part, dir_fd=self._folder)
        if error is None:
            raise IntegrityError(
                f"{shown(self._parts)}: the received bytes have another digest than the file; pull again"
            )


def _finish(descriptor: int, file: Content) -> None:
    """Give a file the mode and the time that the job left. Its owner may always read it: a pull must."""
    with suppress(PermissionError):  # some file systems have no modes: the content counts
        if file.mode is not None:
            os.fchmod(descriptor, file.mode | stat.S_IRUSR)
        elif file.executable:
            _make_executable(descriptor)
        _set_time(descriptor, file)


def _set_time(descriptor: int, file: Content) -> None:
    if file.mtime_ns is not None:
        os.utime(descriptor, ns=(file.mtime_ns, file.mtime_ns))


def _make_executable(descriptor: int) -> None:
    """Make a file executable for those who may read it."""
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    os.fchmod(descriptor, mode | (mode & 0o444) >> 2)


def _part_name() -> bytes:
    """A unique name for an incomplete file."""
    return b".distribute-" + secrets.token_hex(8).encode() + b".part"


def _rename(folder: int, part: bytes, name: bytes) -> None:
    try:
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(part, dir_fd=folder)
        raise
