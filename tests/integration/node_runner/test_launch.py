"""Processes start with the right environment, and their end is reported."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from distribute_services.node_runner.host import launch
from distribute_services.node_runner.host.launch import CannotStart, Exit, Process, start

ENV = {"PATH": "/usr/bin:/bin"}


async def run(folder: Path, *argv: str, env: dict[str, str] = ENV) -> tuple[Exit, str]:
    """Run a command to its end. Returns how it ended and what it printed."""
    process = start(argv, cwd=folder, env=env, stdout=folder / "out")
    assert isinstance(process, Process), process
    ended = await asyncio.wait_for(process.wait(), 10)
    return ended, (folder / "out").read_text()


def refusal(folder: Path, *argv: str, env: dict[str, str] = ENV) -> str:
    refused = start(argv, cwd=folder, env=env, stdout=folder / "out")
    assert isinstance(refused, CannotStart), refused
    return refused.reason


async def test_exit_code_and_output_are_reported(tmp_path: Path) -> None:
    ended, printed = await run(tmp_path, "sh", "-c", "echo to stdout; echo to stderr >&2; exit 3")
    assert (ended.exit_code, ended.signal) == (3, None)
    assert printed == "to stdout\nto stderr\n"


async def test_the_signal_that_ended_a_process_is_reported(tmp_path: Path) -> None:
    ended, _ = await run(tmp_path, "sh", "-c", "kill -SEGV $$")
    assert (ended.exit_code, ended.signal) == (None, signal.SIGSEGV)


async def test_output_is_appended(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before\n")
    _, printed = await run(tmp_path, "echo", "after")
    assert printed == "before\nafter\n"


async def test_runs_in_its_folder_and_the_runner_stays_in_its_own(tmp_path: Path) -> None:
    here = Path.cwd()
    _, printed = await run(tmp_path, "pwd")
    assert printed.strip() == str(tmp_path)
    assert Path.cwd() == here


async def test_program_is_looked_up_in_its_own_folder_and_path(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "bin"):
        folder.mkdir(exist_ok=True)
        program = folder / "program"
        program.write_text(f"#!/bin/sh\necho from {folder}\n")
        program.chmod(0o755)
    assert (await run(tmp_path, "./program"))[1] == f"from {tmp_path}\n"
    (tmp_path / "out").unlink()
    env = {"PATH": f"{tmp_path}/bin:/bin"}
    assert (await run(tmp_path, "program", env=env))[1] == f"from {tmp_path}/bin\n"


async def test_environment_is_exactly_what_was_given(tmp_path: Path) -> None:
    _, printed = await run(tmp_path, "/usr/bin/env", env={"ONLY": "this=one", "EMPTY": ""})
    assert sorted(printed.splitlines()) == ["EMPTY=", "ONLY=this=one"]


async def test_a_process_has_its_own_session_and_an_empty_input(tmp_path: Path) -> None:
    _, printed = await run(tmp_path, "sh", "-c", "cut -d' ' -f1,6 /proc/$$/stat; readlink /proc/$$/fd/0")
    pid_and_session, stdin = printed.splitlines()
    assert len(set(pid_and_session.split())) == 1
    assert stdin == "/dev/null"


async def test_ignored_and_blocked_signals_are_not_inherited(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        _, printed = await run(tmp_path, "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status")
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    sets = {int(line.split(":")[1], 16) for line in printed.splitlines()}
    assert not any(numbers & ~(0b11 << 31) for numbers in sets)  # 32 and 33 are the C library's own


async def test_a_process_runs_nice(tmp_path: Path) -> None:
    process = start(["sleep", "10"], cwd=tmp_path, env=ENV, stdout=tmp_path / "out", niceness=7)
    assert isinstance(process, Process)
    try:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == max(7, os.getpriority(os.PRIO_PROCESS, 0))
    finally:
        os.kill(process.pid, signal.SIGKILL)
    assert (await process.wait()).signal == signal.SIGKILL


async def test_a_runner_that_is_nicer_already_starts_jobs_as_nice_as_itself(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, pathlib, sys\n"
        "from distribute_services.node_runner.host.launch import start\n"
        "async def main():\n"
        "    os.nice(15)\n"
        "    here = pathlib.Path(sys.argv[1])\n"
        "    await start(['nice'], cwd=here, env={'PATH': '/usr/bin:/bin'}, stdout=here / 'nice').wait()\n"
        "asyncio.run(main())\n"
    )
    ended, printed = await run(tmp_path, sys.executable, "-c", script, str(tmp_path))
    assert ended.exit_code == 0, printed
    assert int((tmp_path / "nice").read_text()) >= 15


async def test_cpu_time_and_peak_memory_are_reported(tmp_path: Path) -> None:
    # More than this process ever used: a process inherits the peak of the one that starts it.
    size_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + (50 << 20)
    allocate = f"x = b'x' * {size_bytes}\nimport time\nend = time.process_time() + 0.2\n"
    burn = allocate + "while time.process_time() < end: pass\ntime.sleep(0.2)"
    began = time.monotonic()
    ended, _ = await run(tmp_path, sys.executable, "-c", burn)
    assert 0.2 <= ended.cpu_s < ended.wall_s
    assert 0.4 <= ended.wall_s < time.monotonic() - began
    assert size_bytes <= ended.max_rss_bytes < size_bytes + (100 << 20)


async def test_a_peak_below_the_runners_own_is_reported_as_unknown(tmp_path: Path) -> None:
    ended, _ = await run(tmp_path, "true")
    assert ended.max_rss_bytes == 0


async def test_exit_is_reported_without_pidfd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(launch.os, "pidfd_open", refuse)
    ended, printed = await run(tmp_path, "sh", "-c", "echo here; exit 4")
    assert (ended.exit_code, printed) == (4, "here\n")


@pytest.mark.parametrize("name", ["nothing-of-this-name", "./nothing", "/nothing"])
async def test_a_missing_program_is_refused(tmp_path: Path, name: str) -> None:
    reason = refusal(tmp_path, name)
    assert name in reason
    assert "no such" in reason.lower()


async def test_files_that_can_not_be_run_are_refused(tmp_path: Path) -> None:
    for name, content, mode in [
        ("plain", "#!/bin/sh\n", 0o644),
        ("no_first_line", "echo hello\n", 0o755),
        ("no_interpreter", "#!/no/such/interpreter\n", 0o755),
    ]:
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)
    assert "chmod +x" in refusal(tmp_path, "./plain")
    assert "#!" in refusal(tmp_path, "./no_first_line")
    assert "interpreter" in refusal(tmp_path, "./no_interpreter")
    assert "is a folder" in refusal(tmp_path, str(tmp_path))


async def test_arguments_too_long_for_the_kernel_are_refused(tmp_path: Path) -> None:
    assert "too long" in refusal(tmp_path, "true", "x" * (3 << 20))


async def test_invalid_arguments_are_refused(tmp_path: Path) -> None:
    assert "not valid" in refusal(tmp_path, "true", "a\0b")
    assert "not valid" in refusal(tmp_path, "true", env=ENV | {"a=b": "c"})


async def test_missing_folders_are_refused(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    refused = start(["true"], cwd=gone, env=ENV, stdout=tmp_path / "out")
    assert isinstance(refused, CannotStart)
    assert f"its folder {gone} is gone" in refused.reason
    refused = start(["true"], cwd=tmp_path, env=ENV, stdout=gone / "out")
    assert isinstance(refused, CannotStart)
    assert "no file for its output" in refused.reason
