"""Folders for temporary files, which go with their process. The next removes what a killed one left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from distribute.core.errors import InputError
from distribute.core.os_words import why

_LOCK = "lock"
_NEW_LOCK = "new-lock"
_ON_DISK = "/var/tmp"
_UNLOCKED_S = 60.0
"""A folder of this age that has no lock is not one that another process is just making."""


def temporary_place() -> Path:
    """Where folders for temporary files are made: TMPDIR, else /var/tmp, for /tmp may be in memory."""
    wanted = os.environ.get("TMPDIR", "")
    for place in (Path(wanted), Path(_ON_DISK)) if wanted else (Path(_ON_DISK),):
        if place.is_absolute() and os.access(place, os.W_OK | os.X_OK):
            return place
    return Path(tempfile.gettempdir())


@contextlib.contextmanager
def held_folder(kind: str, place: Path) -> Iterator[Path]:
    """A new folder that only this user may read, locked as long as the block runs. Its caller removes it.

    Whatever ends the process unlocks the folder: it is left then.

    Raises:
        InputError: it can't be made.
    """
    try:
        folder, lock = _make(kind, place)
    except OSError as error:
        raise InputError(f"no folder for temporary files can be made in {place}: {why(error)}") from error
    try:
        yield folder
    finally:
        os.close(lock)


def _make(kind: str, place: Path) -> tuple[Path, int]:
    """Make a folder, and lock it. Returns the lock's descriptor, too."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(kind), dir=place))
        try:
            return folder, _lock(folder)
        except FileNotFoundError:
            continue  # this process was suspended meanwhile, and another one took the folder for left
        except OSError:
            remove_scratch(folder)
            raise


def _lock(folder: Path) -> int:
    lock = os.open(folder / _NEW_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Only now: others take a folder for left whose lock nobody holds.
        (folder / _NEW_LOCK).rename(folder / _LOCK)
    except OSError:
        os.close(lock)
        raise
    return lock


def left_folders(kind: str, place: Path) -> Iterator[Path]:
    """The folders of this kind and user whose processes have ended without removing them."""
    for folder in sorted(place.glob(f"{_prefix(kind)}*")):
        with contextlib.suppress(FileNotFoundError):  # another process removes it
            if _is_left(folder):
                yield folder


@contextlib.contextmanager
def scratch_folder(kind: str, place: Path | None = None) -> Iterator[Path]:
    """A new folder, which is removed at the end, with those of its kind there that killed processes left.

    It is made in `place`; None: in the temporary place.

    Raises:
        InputError: it can't be made.
    """
    place = place or temporary_place()
    with held_folder(kind, place) as folder:
        try:
            for left in left_folders(kind, place):
                remove_scratch(left)
            yield folder
        finally:
            remove_scratch(folder)


def remove_scratch(folder: Path) -> None:
    """Remove such a folder with all that is in it; another process may remove it, too."""
    shutil.rmtree(folder, ignore_errors=True)


def _prefix(kind: str) -> str:
    return f"distribute-{kind}-{os.getuid()}-"


def _is_left(folder: Path) -> bool:
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        return False
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return time.time() - status.st_mtime > _UNLOCKED_S
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True
