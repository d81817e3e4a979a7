"""The working folder of one run, which goes with it, and the lock on the folder of its results."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from distribute.core.errors import InputError, Refused
from distribute.core.os_words import why
from distribute.scratch import held_folder, left_folders, temporary_place
from distribute_services.node_runner.disk.files import remove_folder
from distribute_services.node_runner.keeper.answering import answers

log = logging.getLogger(__name__)

NODE = "node"
"""The node's working folder in that of the run."""

_KIND = "run"
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
    with held_folder(_KIND, place) as folder:
        try:
            for left in left_folders(_KIND, place):
                with contextlib.suppress(FileNotFoundError):  # another run removes it
                    if not _has_keeper(left):
                        log.info("removing %s, which a run left that was killed", left)
                        await remove_folder(left)
            yield folder
        finally:
            await remove_folder(folder)


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


def _has_keeper(folder: Path) -> bool:
    """Does the keeper of a killed run still end its jobs?"""
    return any(_answers(socket) for socket in folder.glob(f"{NODE}/keeper/*.socket"))


def _answers(socket: Path) -> bool:
    here = os.open(socket.parent, os.O_PATH)  # a path in a socket's address may have 107 bytes only
    try:
        return answers(f"/proc/self/fd/{here}/{socket.name}")
    finally:
        os.close(here)
