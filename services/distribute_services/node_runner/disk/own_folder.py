"""The working folder of a node-runner."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from distribute.core.errors import InputError
from distribute.core.os_words import why
from distribute.runtime import new_id
from distribute_services.node_runner.disk.builds import RECORD_FILE
from distribute_services.node_runner.disk.origin import Origin, is_shared
from distribute_services.node_runner.disk.workspace import EXIT_FILE
from distribute_services.node_runner.keeper.answering import answers

log = logging.getLogger(__name__)

_LOCK = "lock"
_KEEPER = "keeper"
_MAX_NOTE = 1 << 16
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
    that they start with it. A copy of the folder gets another: it is a new node's.
    """

    def __init__(
        self,
        path: Path,
        *,
        find: Callable[[Path], Origin] = Origin.of,
        is_shared: Callable[[Path], bool] = is_shared,
    ) -> None:
        """`find` says where a folder is, `is_shared` whether other computers may use it, too."""
        self.path = path
        self._find = find
        self._is_shared = is_shared
        self.identity = ""
        self._lock = -1

    def __enter__(self) -> OwnFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.path / _LOCK)
            try:
                self._identify()
            except BaseException:
                os.close(self._lock)
                raise
        except BlockingIOError:
            raise InputError(f"another node-runner works in {self.path}: end it, or {_ANOTHER}") from None
        except OSError as error:
            raise InputError(
                f"{self.path}: can't be used as working folder: {why(error)}; {_ANOTHER}"
            ) from error
        if is_noexec(self.path):
            log.warning(
                "%s lies on a disk that is mounted noexec, so builds and jobs can't start programs of their "
                "own; %s",
                self.path,
                _ANOTHER,
            )
        return self

    def _identify(self) -> None:
        """Find out whose folder this is, and note it."""
        here, found = self._find(self.path), _noted(self._lock)
        if found is not None and here.is_same_place(found.origin):
            self.identity = found.identity
            if here != found.origin:
                _note(self._lock, _Noted(self.identity, here))
            return
        if _has_keeper(self.path / _KEEPER):
            log.warning("%s lacks a good note of whose it is; its keeper lives, so its jobs go on", self.path)
        else:
            if found is not None and self._may_be_in_use(here, found.origin):
                raise InputError(
                    f"{self.path} lies on a shared disk, and another computer's node-runner uses it, or did: "
                    f"{_ANOTHER}. If no computer uses it any more, remove {self.path / _LOCK}"
                )
            if _drop_what_is_copied(self.path):
                log.warning(
                    "%s is a copy, or was left by another computer, so this is a new node: jobs and builds in"
                    " it are dropped, its cached inputs stay. Whoever has the original keeps their jobs",
                    self.path,
                )
        self.identity = new_id()
        self._lock = _replaced(self.path / _LOCK, self._lock, _Noted(self.identity, here))

    def _may_be_in_use(self, here: Origin, noted: Origin) -> bool:
        """May this be no copy, but the folder itself, as another computer sees it?"""
        is_elsewhere = not here.is_of_same_machine(noted)
        return is_elsewhere and here.inode == noted.inode and self._is_shared(self.path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)


class _Noted(NamedTuple):
    """What the lock's file has: an identity, and where the folder was then."""

    identity: str
    origin: Origin


def _locked(path: Path) -> int:
    """Lock the file at this path. Raises BlockingIOError if another runner has."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        except FileNotFoundError:
            log.debug("%s was replaced meanwhile", path)
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _noted(lock: int) -> _Noted | None:
    """What the file has. Returns None if it is new, damaged or of another version."""
    try:
        identity, origin, *_ = os.pread(lock, _MAX_NOTE, 0).decode().split("\n")
        return _Noted(identity, Origin.of_json(json.loads(origin))) if identity else None
    except (ValueError, TypeError, KeyError):
        return None


def _note(lock: int, noted: _Noted) -> None:
    """Write the file. The identity comes first: the keeper reads it, too."""
    content = f"{noted.identity}\n{json.dumps(noted.origin.to_json())}\n".encode()
    os.pwrite(lock, content, 0)
    os.ftruncate(lock, len(content))


def _replaced(path: Path, lock: int, noted: _Noted) -> int:
    """Put a new, locked file in place of the locked one, which may be a hard link to the original's."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    replacing = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(replacing, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _note(replacing, noted)
        fresh.replace(path)
    except BaseException:
        os.close(replacing)
        raise
    os.close(lock)
    return replacing


def _has_keeper(folder: Path) -> bool:
    """Does a keeper serve this folder? Nobody serves the copy of a socket; a link leads to the original's."""
    if not folder.is_dir():
        return False
    here = os.open(folder, os.O_PATH)  # a path in a socket's address may have 107 bytes only
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".socket")]  # noqa: PTH208
        return any(
            answers(f"/proc/self/fd/{here}/{name}") and (folder / name).stat().st_nlink == 1 for name in names
        )
    finally:
        os.close(here)


def _drop_what_is_copied(folder: Path) -> bool:
    """Make a copied folder one in which no job or build is kept. Returns False if nothing was in it.

    The ends of jobs are the original's to report, and a copy of a build need not be whole. What is left has
    no record, and is removed when the node starts. Inputs are checked by their digests.
    """
    was_used = any((folder / name).exists() for name in (_KEEPER, "work", "builds"))
    for record in [*folder.glob(f"work/*/{EXIT_FILE}"), *folder.glob(f"builds/*/{RECORD_FILE}")]:
        record.unlink()
    if (folder / _KEEPER).exists():
        shutil.rmtree(folder / _KEEPER)  # with its pause, which is the original's
    return was_used
