"""The supervisor restarts processes, ends them on request, and leaves none behind."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from distribute.core.errors import Refused
from distribute.runtime import Stop
from distribute.system import exit_of
from distribute_cli.local import supervisor
from distribute_cli.local.cluster import locked
from distribute_cli.local.supervisor import StartFailed, Supervisor, run_process

SAYS_PID_AND_STAYS = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
IGNORES_SIGTERM = "import signal; signal.signal(15, signal.SIG_IGN); " + SAYS_PID_AND_STAYS


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def start(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(python(code), stdout=subprocess.DEVNULL)


async def lines_of(log: Path, count: int) -> list[str]:
    """The first lines of a log, once it has that many."""
    async with asyncio.timeout(60):
        while not log.exists() or log.read_text().count("\n") < count:  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
    return log.read_text().splitlines()


async def test_a_process_that_dies_is_restarted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "log"
    kept = Supervisor()
    kept.keep("scheduler", partial(run_process, python(SAYS_PID_AND_STAYS), log))
    (first,) = await lines_of(log, 1)
    with caplog.at_level(logging.WARNING):
        os.kill(int(first), signal.SIGKILL)
        _, second = await lines_of(log, 2)
    assert "the scheduler ended and is restarted in 0.1 s: SIGKILL" in caplog.text
    assert second != first
    await kept.stop("scheduler")
    assert not Path("/proc", second).exists()


async def test_a_process_that_does_not_stay_up_is_reported_with_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.001)
    kept = Supervisor()
    failing = python("print('a line'); raise SystemExit('no room')")
    kept.keep("archiver", partial(run_process, failing, tmp_path / "log"))
    with pytest.raises(StartFailed, match=r"the archiver does not stay up: exit code 1; .*log ends with: .*"):
        async with asyncio.timeout(60):
            await kept.failed
    await kept.stop("archiver", "one that was never started")


async def test_a_process_that_can_t_be_started_is_reported_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.001)
    kept = Supervisor()
    program = tmp_path / "program"
    kept.keep("archiver", partial(run_process, [str(program), "-c", SAYS_PID_AND_STAYS], tmp_path / "log"))
    with pytest.raises(StartFailed, match=r"the archiver does not stay up: .*there is no such file"):
        async with asyncio.timeout(60):
            await kept.failed
    program.symlink_to(sys.executable)
    await lines_of(tmp_path / "log", 1)
    await kept.stop("archiver")


async def test_a_process_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PATIENCE_S", 0.2)
    kept = Supervisor()
    kept.keep("node", partial(run_process, python(IGNORES_SIGTERM), tmp_path / "log"))
    (pid,) = await lines_of(tmp_path / "log", 1)
    await kept.stop("node")
    assert not Path("/proc", pid).exists()


async def test_a_process_that_can_t_be_ended_as_it_should_is_not_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error of its end takes the place of the cancellation: it must not pass for one of the process."""
    runs = 0

    async def run() -> str:
        nonlocal runs
        runs += 1
        try:
            await asyncio.Event().wait()
        finally:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/its/folder")

    kept = Supervisor()
    kept.keep("broker", run)
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await kept.stop("broker")
    assert runs == 1
    assert "the broker did not end as it should: /its/folder can't be used: " in caplog.text


async def test_a_node_whose_log_was_removed_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "TOLD_AFTER_S", 0.01)
    stop, log = Stop(), tmp_path / "log"
    kept = Supervisor()
    kept.keep("node", partial(run_process, python(IGNORES_SIGTERM), log, stop))
    (pid,) = await lines_of(log, 1)
    log.unlink()
    stopping = asyncio.create_task(kept.stop("node"))
    async with asyncio.timeout(60):
        while "nothing that can be read: there is no such file" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    os.kill(int(pid), signal.SIGKILL)
    async with asyncio.timeout(60):
        await stopping
    assert not Path("/proc", pid).exists()


async def test_a_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import asyncio, sys; from pathlib import Path; "
        "from distribute_cli.local.supervisor import run_process; "
        f"asyncio.run(run_process([sys.executable, '-c', {SAYS_PID_AND_STAYS!r}], Path({str(log)!r})))"
    )
    parent = start(code)
    (child,) = await lines_of(log, 1)
    parent.kill()
    parent.wait()
    async with asyncio.timeout(60):
        await exit_of(int(child))


async def test_a_process_that_never_existed_counts_as_ended() -> None:
    ended = start("pass")
    ended.wait()
    async with asyncio.timeout(60):
        await exit_of(ended.pid)


def test_a_folder_holds_one_cluster(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(Refused, match=r"a cluster runs in .* already"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
