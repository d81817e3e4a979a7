"""Run a part of a test as another user than root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from distribute_services.node_runner.keeper.cgroup import own_group, remove

NOBODY = 65534
_PR_SET_DUMPABLE = 4
_EMPTY_WITHIN_S = 60.0

_AS_NOBODY = (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
    # It may read what root may: this Python can be in a folder of root's.
    *(f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")),
)  # fmt: skip
WITHOUT_CGROUPS = (
    "unshare", "--mount",
    "/bin/sh", "-ec", 'umount --all --types cgroup,cgroup2; exec "$@"', "sh",
)  # fmt: skip
"""The begin of a command: it runs where no cgroup is mounted."""


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
    return _pytest(("/bin/sh", "-ec", f'{enter}exec "$@"', "sh", *_AS_NOBODY), folder, arguments)


def pytest_without_cgroups(folder: Path, *arguments: str) -> str:
    """Run tests as root, where no cgroup is mounted. Returns what pytest printed."""
    return _pytest(WITHOUT_CGROUPS, folder, arguments)


def _pytest(run_by: Iterable[str], folder: Path, arguments: Iterable[str]) -> str:
    keeps_nothing = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")  # in a folder that is not its own
    tests = (sys.executable, "-P", "-m", "pytest", "-n", "0", *keeps_nothing)
    done = subprocess.run(
        [*run_by, *tests, "--basetemp", str(folder / "tests"), *arguments],
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


@contextmanager
def group_of_nobody() -> Iterator[Path]:
    """A cgroup that belongs to `nobody`, as systemd delegates one."""
    own = own_group()
    if own is None:
        pytest.skip("this computer has no cgroups of version 2")
    group = Path(own) / f"of-nobody-{uuid.uuid4().hex}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no cgroup of version 2 can be made here")
    try:
        for name in (".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
            os.chown(group / name, NOBODY, NOBODY)
        yield group
    finally:
        deadline = time.monotonic() + _EMPTY_WITHIN_S
        while not remove(str(group)) and time.monotonic() < deadline:  # its last process is about to end
            time.sleep(0.01)
        assert not group.exists()
