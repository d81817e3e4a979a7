"""Run a part of a test as another user than root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NOBODY = 65534
_PR_SET_DUMPABLE = 4

_AS_NOBODY = (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
    # It may read what root may: this Python can be in a folder of root's.
    *(f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")),
)  # fmt: skip


def as_nobody(do: Callable[[], None]) -> None:
    """Call `do` as the user `nobody`, in a fork of this process. Fails as it fails."""
    libc = ctypes.CDLL(None)

    def become_nobody() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after an exec: its files in /proc are its own
        do()

    in_a_fork(become_nobody)


def in_a_fork(do: Callable[[], None]) -> None:
    """Call `do` in a fork of this process. Fails as it fails."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
        except BaseException:  # noqa: BLE001 (it is shown, and the parent fails)
            traceback.print_exc(file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, "it failed in a process of its own: see the captured output"


def call_as_nobody(
    test: Callable[..., Coroutine[Any, Any, None]],
    *arguments: object,
    group: Path | None = None,
    closed: Path | None = None,
) -> None:
    """Call a function of a test module here as the user `nobody`, in a new process.

    `arguments` are paths, texts, numbers and such. The process is in the cgroup `group`, if one is given, and
    finds the device `closed` to be root's own.
    """
    module = test.__module__.rpartition(".")[2]
    code = (
        "import asyncio; from pathlib import PosixPath;"
        f"from integration.node_runner.{module} import {test.__name__} as test;"
        f"asyncio.run(test(*{arguments!r}))"
    )
    before = []
    if group is not None:
        before.append(f"echo $$ > '{group}/cgroup.procs'")
    if closed is not None:
        before.append(f"mount -t tmpfs none /mnt; cp -a {closed} /mnt/closed; chmod 600 /mnt/closed")
        before.append(f"mount --bind /mnt/closed {closed}")
    script = "; ".join([*before, 'exec "$@"'])
    apart = ["unshare", "-m"] if closed is not None else []
    command = [*apart, "/bin/sh", "-ec", script, "sh", *_AS_NOBODY, sys.executable, "-P", "-c", code]
    environment = {
        **os.environ,
        "HOME": "/nonexistent",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    subprocess.run(command, env=environment, cwd="/", check=True)


def pytest_as_nobody(folder: Path, *arguments: str, group: Path | None = None) -> str:
    """Run tests as the user `nobody`, with all that they write in `folder`. Returns what pytest printed.

    The process is in the cgroup `group`, if one is given.
    """
    enter = f"echo $$ > '{group}/cgroup.procs'; " if group is not None else ""
    keeps_nothing = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")  # in a folder that is not its own
    run = (*_AS_NOBODY, sys.executable, "-P", "-m", "pytest", "-n", "0", *keeps_nothing)
    done = subprocess.run(
        ["/bin/sh", "-ec", f'{enter}exec "$@"', "sh", *run, "--basetemp", str(folder / "tests"), *arguments],
        env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A folder that belongs to `nobody`, with a path that any user may pass."""
    folder = Path(tempfile.mkdtemp(prefix="of-nobody-"))
    try:
        os.chown(folder, NOBODY, NOBODY)
        yield folder
    finally:
        shutil.rmtree(folder)
