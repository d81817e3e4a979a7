"""Run a part of a test as another user than root."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
_PR_SET_DUMPABLE = 4


def as_nobody(do: Callable[[], None]) -> None:
    """Call `do` as the user `nobody`, in a fork of this process. Fails as it fails."""
    libc = ctypes.CDLL(None)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after an exec: its files in /proc are its own
            do()
        except BaseException:  # noqa: BLE001 (it is shown, and the parent fails)
            traceback.print_exc(file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, "it failed as another user: see the captured output"


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A folder that belongs to `nobody`, with a path that any user may pass."""
    folder = Path(tempfile.mkdtemp(prefix="of-nobody-"))
    try:
        os.chown(folder, NOBODY, NOBODY)
        yield folder
    finally:
        shutil.rmtree(folder)
