"""Calls to the operating system, also on kernels that lack some of them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from distribute.system import exit_of, process_identity, write_whole

STAYS = "import signal; signal.pause()"


def start(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code])


def no_pidfd(pid: int) -> int:
    raise OSError(38, "Function not implemented")


@pytest.fixture(params=["pidfd", "no pidfd"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no pidfd":
        monkeypatch.setattr(os, "pidfd_open", no_pidfd)


@pytest.mark.usefixtures("kernel")
async def test_the_exit_of_a_process_is_seen(tmp_path: Path) -> None:
    process = start(STAYS)
    ended = exit_of(process.pid)
    given_up = exit_of(process.pid)
    given_up.cancel()
    await asyncio.sleep(0)
    assert not ended.done()
    process.kill()
    async with asyncio.timeout(60):
        await ended
    process.wait()
    async with asyncio.timeout(60):
        await exit_of(process.pid)


def test_a_later_process_with_the_same_pid_has_another_identity() -> None:
    process = start(STAYS)
    identity = process_identity(process.pid)
    assert identity is not None
    assert identity == process_identity(process.pid)
    assert identity != process_identity(os.getpid())
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_identity(process.pid) is None, "it has ended, and waits for its parent"
    process.wait()
    assert process_identity(process.pid) is None


def test_a_file_with_the_longest_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127 + "x")
    assert len(os.fsencode(path.name)) == 255
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "folder", b"three")
    assert {found.name for found in tmp_path.rglob("*")} == {"new", "file", "folder"}
