"""The working folder of a node-runner."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from types import TracebackType

from distribute.core.errors import InputError
from distribute.core.os_words import why
from distribute.runtime import new_id

log = logging.getLogger(__name__)

_ANOTHER = "name another folder, with work_dir in node.yaml or as `distribute client FOLDER`"


def is_noexec(folder: Path) -> bool:
    """Does the kernel refuse to start programs in this folder? A folder that is gone refuses nothing."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_NOEXEC)
    except OSError:
        return False


class OwnFolder:
    """The working folder of a node-runner. The context holds a lock on it.

    `identity` is stored in the folder. This runner, and earlier ones in the same folder, mark the processes
    that they start with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = ""
        self._lock = -1

    def __enter__(self) -> OwnFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InputError(
                f"{self.path}: can't be used as working folder: {why(error)}; {_ANOTHER}"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise InputError(f"another node-runner works in {self.path}: end it, or {_ANOTHER}") from None
        if is_noexec(self.path):
            log.warning(
                "%s lies on a disk that is mounted noexec, so builds and jobs can't start programs of their "
                "own; %s",
                self.path,
                _ANOTHER,
            )
        self.identity = os.pread(self._lock, 64, 0).decode() or self._new_identity()
        return self

    def _new_identity(self) -> str:
        identity = new_id()
        os.pwrite(self._lock, identity.encode(), 0)
        return identity

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)
