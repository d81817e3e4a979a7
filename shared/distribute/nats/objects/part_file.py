"""A file that gets its name only when it is whole.

Until then it is a hidden part file beside its target. An interrupted large one is kept, so that the next try
can resume. The resumed part is hashed again, since a crash may have damaged it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from distribute.core.errors import IntegrityError, StorageFull
from distribute.core.os_words import why

KEEP_FROM_BYTES = 8 << 20
"""Part files at least this large are kept for another try."""

_HASH_BYTES = 1 << 20


class PartFile:
    """The part file of `target`. It is complete when its bytes have the digest `sha256`.

    A context manager. Its methods block, so call them in a thread for large amounts. They raise `StorageFull`
    if the disk is full, and `OSError` for other problems.
    """

    def __init__(self, target: Path, sha256: str) -> None:
        self.target = target
        self.sha256 = sha256
        self.size_bytes = 0
        self._hasher = hashlib.sha256()
        # A name of its own, and short: the target's name may be as long as the file system allows.
        label = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]
        self._path = target.with_name(f".{sha256[:24]}-{label}.part")
        self._worth_keeping = True
        self._fd = -1

    def __enter__(self) -> PartFile:
        self._fd = self._open_locked()
        if self._fd < 0:
            # Another process writes it. A second part file of the same content does no harm; a second
            # writer of one file would.
            self._path = self._path.with_suffix(f".{secrets.token_hex(8)}.part")
            self._worth_keeping = False
            self._fd = self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd < 0:
            return
        if isinstance(error, IntegrityError | StorageFull) or self.size_bytes < KEEP_FROM_BYTES:
            self._worth_keeping = False
        if not self._worth_keeping:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def found_bytes(self) -> int:
        """Size in bytes of the part file that an earlier try left."""
        return os.fstat(self._fd).st_size

    def keep(self, size_bytes: int) -> None:
        """Keep the first `size_bytes` of the found part file, and drop the rest."""
        os.ftruncate(self._fd, size_bytes)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hasher = hashlib.sha256()
        self.size_bytes = 0
        while piece := os.read(self._fd, _HASH_BYTES):
            self._hasher.update(piece)
            self.size_bytes += len(piece)

    def write(self, pieces: Iterable[bytes]) -> None:
        """Append to the file."""
        for piece in pieces:
            self._hasher.update(piece)
            self.size_bytes += len(piece)
            rest = memoryview(piece)
            try:
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            except OSError as error:
                raise _translated(error, self.target) from error

    def is_right(self) -> bool:
        """Return True if the bytes have the wanted digest."""
        return self._hasher.hexdigest() == self.sha256

    def finish(self) -> None:
        """Sync the part file to disk, and rename it to the target."""
        try:
            os.fdatasync(self._fd)
            self._path.replace(self.target)
        except OSError as error:
            raise _translated(error, self.target) from error
        os.close(self._fd)
        self._fd = -1

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise _translated(error, self.target) from error

    def _open_locked(self) -> int:
        """Open the part file for this process alone; returns -1 if another process has it."""
        while True:
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), self._path.stat()):
                    return fd
            except BlockingIOError:
                os.close(fd)
                return -1
            except FileNotFoundError:
                pass
            # Another process finished this file after we opened it, and renamed it before we locked it.
            os.close(fd)


def _translated(error: OSError, target: Path) -> Exception:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull(f"{target}: can't be written: {why(error)}; make room there and try again")
    return error
