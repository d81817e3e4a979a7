"""Files that are not complete yet: they have other names until their digests are right."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from types import TracebackType
from typing import Protocol

from distribute.core.errors import IntegrityError

SMALL_PART = ".distribute-"
"""How the names of small incomplete files begin."""

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""To make a file that is not there yet."""
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""To open a file that is there: not through a link, and without waiting for the writer of a pipe."""


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


class NewFile:
    """A file being written to the folder with the descriptor `parts_in`, under the name `part`.

    At the end of the context it is there with the mode and time of `file`, if its digest is right; otherwise
    it is removed. `name` is for messages.
    """

    def __init__(self, parts_in: int, part: bytes, name: str, file: Content) -> None:
        self.part = part
        self._parts_in = parts_in
        self._name = name
        self._file = file
        self._digest = hashlib.sha256()
        self._descriptor = os.open(part, NEW, 0o777 if file.executable else 0o666, dir_fd=parts_in)

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
            return
        os.unlink(self.part, dir_fd=self._parts_in)
        if error is None:
            raise IntegrityError(
                f"{self._name}: the received bytes have another digest than the file; pull again"
            )


def part_name() -> bytes:
    """A unique name for an incomplete file."""
    return SMALL_PART.encode() + secrets.token_hex(8).encode() + b".part"


def large_part_name(path: bytes, file: Content) -> bytes:
    """The name of a large file until it is in its place: the same for the same file each time."""
    return f"{hashlib.sha256(path).hexdigest()[:16]}-{file.sha256[:16]}".encode()


def finish(folder: int, name: bytes, file: Content) -> None:
    """Give the complete file `name` in the folder with this descriptor the mode and time that it had."""
    descriptor = os.open(name, READ, dir_fd=folder)
    try:
        _finish(descriptor, file)
    finally:
        os.close(descriptor)


def touch_up(descriptor: int, file: Content) -> None:
    """As `TargetFolder.touch_up`."""
    status = os.fstat(descriptor)
    with suppress(PermissionError):  # it may belong to somebody else
        if file.executable and not status.st_mode & stat.S_IXUSR:
            _make_executable(descriptor)
        if file.mtime_ns not in {None, status.st_mtime_ns}:
            _set_time(descriptor, file)


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
