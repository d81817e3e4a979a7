"""Processes start with the right environment, and their end is reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from distribute_services.node_runner.disk.own_folder import OwnFolder
from distribute_services.node_runner.disk.workspace import Workspace
from distribute_services.node_runner.host.keeping import Refusal
from distribute_services.node_runner.host.places import exit_of
from distribute_services.node_runner.host.refusals import explained, reason_of
from distribute_services.node_runner.keeper.procfs import MARKER

from .keeping_kit import ENV, Kept, keeper
from .small_disk import small_disk


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with keeper(tmp_path) as kept:
        yield kept


async def refusal(
    kept: Kept, *argv: str, env: Mapping[str, str] = ENV, cwd: Path | None = None, stdout: Path | None = None
) -> str:
    """Why a process can't be started."""
    cwd, stdout = cwd or kept.folder, stdout or kept.folder / "out"
    refused = await kept.end_of(kept.start(*argv, env=env, cwd=cwd, stdout=stdout))
    assert isinstance(refused, Refusal), refused
    return reason_of(refused, argv[0], str(cwd), stdout)


async def test_exit_code_and_output_are_reported(kept: Kept) -> None:
    ended, printed = await kept.run("sh", "-c", "echo to stdout; echo to stderr >&2; exit 3")
    assert (ended["exit_code"], ended["signal"]) == (3, None)
    assert printed == "to stdout\nto stderr\n"


async def test_the_signal_that_ended_a_process_is_reported(kept: Kept) -> None:
    ended, _ = await kept.run("sh", "-c", "kill -SEGV $$")
    assert (ended["exit_code"], ended["signal"]) == (None, signal.SIGSEGV)


async def test_output_is_appended(kept: Kept) -> None:
    (kept.folder / "out").write_text("before\n")
    _, printed = await kept.run("echo", "after")
    assert printed == "before\nafter\n"


async def test_runs_in_its_folder(kept: Kept) -> None:
    _, printed = await kept.run("pwd")
    assert printed.strip() == str(kept.folder)


async def test_program_is_looked_up_in_its_own_folder_and_path(kept: Kept) -> None:
    for folder in (kept.folder, kept.folder / "bin"):
        folder.mkdir(exist_ok=True)
        program = folder / "program"
        program.write_text(f"#!/bin/sh\necho from {folder}\n")
        program.chmod(0o755)
    assert (await kept.run("./program"))[1] == f"from {kept.folder}\n"
    (kept.folder / "out").unlink()
    env = {"PATH": f"{kept.folder}/bin:/bin"}
    assert (await kept.run("program", env=env))[1] == f"from {kept.folder}/bin\n"


async def test_environment_is_exactly_what_was_given(kept: Kept) -> None:
    _, printed = await kept.run("/usr/bin/env", env={"ONLY": "this=one", "EMPTY": ""})
    marker, *others = sorted(printed.splitlines())
    assert marker.startswith(f"{MARKER}={kept.prefix}/")
    assert others == ["EMPTY=", "ONLY=this=one"]


async def test_a_process_has_its_own_session_and_an_empty_input(kept: Kept) -> None:
    _, printed = await kept.run("sh", "-c", "cut -d' ' -f1,6 /proc/$$/stat; readlink /proc/$$/fd/0")
    pid_and_session, stdin = printed.splitlines()
    assert len(set(pid_and_session.split())) == 1
    assert stdin == "/dev/null"


async def test_ignored_and_blocked_signals_are_not_inherited(kept: Kept) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        _, printed = await kept.run("grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status")
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    sets = {int(line.split(":")[1], 16) for line in printed.splitlines()}
    assert not any(numbers & ~(0b11 << 31) for numbers in sets)  # 32 and 33 are the C library's own


async def test_a_process_runs_nice(kept: Kept) -> None:
    # It may have begun before the keeper makes it nice.
    _, printed = await kept.run("sh", "-c", 'until [ "$(nice)" -gt 0 ]; do sleep 0.01; done; nice')
    assert int(printed) == max(10, os.getpriority(os.PRIO_PROCESS, 0))


def test_a_keeper_that_is_nicer_already_starts_jobs_as_nice_as_itself(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, pathlib, sys\n"
        "from integration.node_runner.keeping_kit import keeper\n"
        "async def main():\n"
        "    os.nice(15)\n"
        "    async with keeper(pathlib.Path(sys.argv[1])) as kept:\n"
        "        print((await kept.run('nice'))[1])\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-P", "-c", script, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    assert int(printed) >= 15


async def test_cpu_time_and_peak_memory_are_reported(kept: Kept) -> None:
    size_bytes = 50 << 20
    allocate = f"x = b'x' * {size_bytes}\nimport time\nend = time.process_time() + 0.2\n"
    burn = allocate + "while time.process_time() < end: pass\ntime.sleep(0.2)"
    began = time.monotonic()
    ended, _ = await kept.run(sys.executable, "-c", burn)
    assert 0.2 <= ended["cpu_s"] < ended["wall_s"]
    assert 0.4 <= ended["wall_s"] < time.monotonic() - began
    assert ended["wall_s"] == pytest.approx(ended["ended_at"] - ended["started_at"], abs=0.1)
    assert size_bytes <= ended["max_rss_bytes"] < size_bytes + (100 << 20)


async def test_a_peak_below_the_keepers_own_is_reported_as_unknown(kept: Kept) -> None:
    """A process inherits the peak of the one that starts it."""
    ended, _ = await kept.run("true")
    assert ended["max_rss_bytes"] == 0


async def test_a_relative_entry_of_the_path_is_below_the_jobs_folder(kept: Kept) -> None:
    (kept.folder / "bin").mkdir()
    program = kept.folder / "bin" / "solver"
    program.write_text("#!/bin/sh\necho solved\n")
    program.chmod(0o755)
    assert (await kept.run("solver", env={"PATH": "bin:/bin"}))[1] == "solved\n"


async def test_arguments_that_are_no_text_are_kept(kept: Kept) -> None:
    odd = os.fsdecode(b"caf\xe9")
    await kept.run("sh", "-c", 'printf %s "$1" > "$1"', "sh", odd)
    assert (kept.folder / odd).read_bytes() == b"caf\xe9"


@pytest.mark.parametrize("name", ["nothing-of-this-name", "./nothing", "/nothing"])
async def test_a_missing_program_is_refused(kept: Kept, name: str) -> None:
    reason = await refusal(kept, name)
    assert name in reason
    assert "no such" in reason.lower()


async def test_files_that_can_not_be_run_are_refused(kept: Kept) -> None:
    for name, content, mode in [
        ("plain", "#!/bin/sh\n", 0o644),
        ("no_first_line", "echo hello\n", 0o755),
        ("no_interpreter", "#!/no/such/interpreter\n", 0o755),
    ]:
        (kept.folder / name).write_text(content)
        (kept.folder / name).chmod(mode)
    assert "chmod +x" in await refusal(kept, "./plain")
    assert "#!" in await refusal(kept, "./no_first_line")
    assert "interpreter" in await refusal(kept, "./no_interpreter")
    assert "is a folder" in await refusal(kept, str(kept.folder))


async def test_a_program_of_the_path_that_nobody_may_run_is_named(kept: Kept) -> None:
    (kept.folder / "plain").write_text("#!/bin/sh\n")
    assert "chmod +x" in await refusal(kept, "plain", env={"PATH": f"{kept.folder}:/bin"})


async def test_a_disk_that_is_mounted_noexec_is_named(kept: Kept) -> None:
    with small_disk(kept.folder / "disk", 1, options="noexec") as disk:
        program = disk / "program"
        program.write_text("#!/bin/sh\n")
        assert "chmod +x" in await refusal(kept, "./program", cwd=disk)  # that comes first
        program.chmod(0o755)
        for name in ("./program", "program", str(program)):
            reason = await refusal(kept, name, cwd=disk, env={"PATH": ".:/bin"}, stdout=kept.folder / "out")
            assert f"{disk} lies on a disk that is mounted noexec" in reason


async def test_a_shell_that_can_not_start_a_program_on_a_noexec_disk_is_told_why(kept: Kept) -> None:
    with small_disk(kept.folder / "disk", 1, options="noexec") as disk:
        workspace = Workspace.of(disk)
        workspace.folder.mkdir()
        (workspace.folder / "program").write_text("#!/bin/sh\n")
        (workspace.folder / "program").chmod(0o755)
        stdout = kept.folder / "out"
        ended = await kept.end_of(kept.start("sh", "-c", "./program", cwd=workspace.folder, stdout=stdout))
        assert not isinstance(ended, Refusal)
        complaint = explained(exit_of(ended), workspace).complaint
        assert complaint is not None
        assert "mounted noexec" in complaint
    elsewhere = Workspace.of(kept.folder)
    assert explained(exit_of(ended), elsewhere) == exit_of(ended)


def test_a_node_says_when_its_work_folder_is_noexec(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(tmp_path / "disk", 1, options="noexec") as disk, OwnFolder(disk / "node"):
        assert f"{disk}/node lies on a disk that is mounted noexec" in caplog.text
        assert "work_dir in node.yaml" in caplog.text
    caplog.clear()
    with OwnFolder(tmp_path / "node"):
        assert not caplog.records


async def test_arguments_too_long_for_the_kernel_are_refused(kept: Kept) -> None:
    assert "too long" in await refusal(kept, "true", "x" * (3 << 20))


async def test_invalid_arguments_are_refused(kept: Kept) -> None:
    assert "not valid" in await refusal(kept, "true", "a\0b")
    assert "not valid" in await refusal(kept, "true", env=ENV | {"a=b": "c"})


async def test_missing_folders_are_refused(kept: Kept) -> None:
    gone = kept.folder / "gone"
    assert f"its folder {gone} is gone" in await refusal(kept, "true", cwd=gone)
    assert "no file for its output" in await refusal(kept, "true", stdout=gone / "out")
