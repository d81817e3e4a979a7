"""The working folder of one run, which goes with it, and the lock on the folder of its results."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from distribute.core.errors import InputError, Refused
from distribute.core.os_words import why
from distribute_services.node_runner.disk.files import remove_folder
from distribute_services.node_runner.keeper.answering import answers

log = logging.getLogger(__name__)

NODE = "node"
"""The node's working folder in that of the run."""

_LOCK = "lock"
_ON_DISK = "/var/tmp"
_UNLOCKED_S = 60.0
"""A folder of this age that has no lock is not one that another run is just making."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF}
"""What a file system answers that can't lock a folder."""


@contextlib.asynccontextmanager
async def working_folder() -> AsyncIterator[Path]:
    """A new folder for temporary files, which is removed at the end, with those that killed runs left.

    It is in TMPDIR, else in /var/tmp: /tmp may be in memory, and jobs write what they like.

    Raises:
        InputError: it can't be made.
    """
    place = temporary_place()
    prefix = f"distribute-run-{os.getuid()}-"
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    except OSError as error:
        raise InputError(f"no folder for temporary files can be made in {place}: {why(error)}") from error
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for other in sorted(place.glob(f"{prefix}*")):
            with contextlib.suppress(FileNotFoundError):  # another run removes it
                if other != folder and _is_left(other):
                    log.info("removing %s, which a run left that was killed", other)
                    await remove_folder(other)
        yield folder
    finally:
        await remove_folder(folder)
        os.close(lock)


@contextlib.contextmanager
def results_folder(place: Path) -> Iterator[None]:
    """Lock the folder of a batch's results against other runs. Make it, and remove it if it stays empty.

    Raises:
        Refused: another run writes there.
        InputError: it can't be made.
    """
    try:
        lock = _locked(place)
    except OSError as error:
        raise InputError(f"{error.filename or place}: can't be used for results: {why(error)}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it has results in it
            place.rmdir()
        os.close(lock)


def _locked(place: Path) -> int:
    """Make and lock a folder. Raises `Refused` if another run has it, OSError if it can't be made."""
    while True:
        place.mkdir(parents=True, exist_ok=True)
        lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Refused(f"another `distribute run` writes to {place}: wait for its end") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(lock)
                raise
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), place.stat()):
                return lock
        os.close(lock)  # another run removed it meanwhile


def temporary_place() -> Path:
    """Where folders for temporary files are made."""
    wanted = os.environ.get("TMPDIR", "")
    for place in (Path(wanted), Path(_ON_DISK)) if wanted else (Path(_ON_DISK),):
        if place.is_absolute() and os.access(place, os.W_OK | os.X_OK):
            return place
    return Path(tempfile.gettempdir())


def _is_left(folder: Path) -> bool:
    """Is it a folder of this user's whose run has ended, with all its jobs?"""
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
    return not any(_answers(socket) for socket in folder.glob(f"{NODE}/keeper/*.socket"))


def _answers(socket: Path) -> bool:
    here = os.open(socket.parent, os.O_PATH)  # a path in a socket's address may have 107 bytes only
    try:
        return answers(f"/proc/self/fd/{here}/{socket.name}")
    finally:
        os.close(here)
