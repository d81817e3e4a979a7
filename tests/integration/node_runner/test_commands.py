"""Commands that people run in a job that runs: they see what it sees, and end with it."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from distribute_services.node_runner.host.keeping import Keeping, Message, Refusal
from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.keeper.entering import Inside
from distribute_services.node_runner.keeper.view import View, spawn

from .as_user import as_nobody, folder_of_nobody
from .keeping_kit import ENV, WITHIN_S, Kept, alive, appearance, keeper, until


class Command:
    """A command in a unit, with the pipes that it writes to."""

    def __init__(self, keeping: Keeping, unit: str, folder: Path) -> None:
        self.number = uuid.uuid4().hex
        self.started: asyncio.Future[Message] | Refusal | None = None
        self._keeping = keeping
        self._unit = unit
        self._paths = folder / f"{self.number}.out", folder / f"{self.number}.err"
        self._readers: list[int] = []

    async def start(self, *argv: str, cwd: Path, inside: bool = True) -> None:
        for path in self._paths:
            os.mkfifo(path)
            self._readers.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        self.started = await self._keeping.start_command(
            self._unit, self.number, argv, cwd=str(cwd), env=ENV, outputs=self._paths, inside=inside
        )

    async def end(self) -> Message:
        """How it ended."""
        assert isinstance(self.started, asyncio.Future), self.started
        return await asyncio.wait_for(self.started, WITHIN_S)

    def signal(self, number: int) -> None:
        self._keeping.signal_command(self._unit, self.number, number)

    def printed(self) -> tuple[str, str]:
        """What it printed, up to 64 KiB each."""
        out, err = (os.read(reader, 1 << 16).decode() for reader in self._readers)
        return out, err

    def close(self) -> None:
        for reader in self._readers:
            os.close(reader)


@asynccontextmanager
async def command_in(kept: Kept, unit: str) -> AsyncIterator[Command]:
    command = Command(kept.keeping, unit, kept.folder)
    try:
        yield command
    finally:
        command.close()


async def test_a_command_has_the_environment_and_folder_of_its_job_and_gives_its_exit_code(
    kept: Kept,
) -> None:
    folder = kept.folder / "job"
    folder.mkdir()
    unit = kept.start("sh", "-c", "export STEP=2; exec sleep 600", cwd=folder, env={**ENV, "CASE": "re 100"})
    await until(lambda: procfs.environment(int(kept_pid(kept))).get("STEP") == "2")
    async with command_in(kept, unit) as command:
        script = 'echo "$CASE/$STEP"; pwd; echo oops >&2; cat; exit 7'
        await command.start("sh", "-c", script, cwd=folder)
        ended = await command.end()
        assert (ended["exit_code"], ended["signal"]) == (7, None)
        assert command.printed() == (f"re 100/2\n{folder}\n", "oops\n")
    await kept.keeping.end(unit, grace_s=5)


def kept_pid(kept: Kept) -> int:
    """The only process of the only unit."""
    [pid] = kept.left() or [0]
    return pid


async def test_a_command_sees_the_copy_of_the_build_that_its_job_sees(kept: Kept) -> None:
    built, own = kept.folder / "built", kept.folder / "own"
    for folder in (built, own):
        folder.mkdir()
    view = View(str(built), str(own))
    name = f"{kept.prefix}/viewed"
    kept.keeping.start(
        name, ["sh", "-c", "echo mine > result; exec sleep 600"], cwd=str(own), env=ENV,
        stdout=str(kept.folder / "out"), treatment={"niceness": 10}, view=view,
    )  # fmt: skip
    await appearance(own / "result")
    async with command_in(kept, name) as command:
        await command.start("cat", f"{built}/result", cwd=built)
        assert (await command.end())["exit_code"] == 0
        assert command.printed() == ("mine\n", "")
    async with command_in(kept, name) as command:
        await command.start("cat", "result", cwd=built, inside=False)
        assert (await command.end())["exit_code"] == 1, "beside the job, nobody sees its copy"
    await kept.keeping.end(name, grace_s=5)


def test_a_users_command_enters_the_user_namespace_of_its_job() -> None:
    if os.geteuid() != 0:
        pytest.skip("it becomes another user")
    with folder_of_nobody() as folder:
        as_nobody(lambda: _see_the_copy(folder))


def _see_the_copy(folder: Path) -> None:
    """A job sees its copy in the place of the build, and so does a command in it."""
    built, own = folder / "built", folder / "own"
    for path in (built, own):
        path.mkdir()
    with (folder / "printed").open("wb") as printed:
        output = printed.fileno()
        job = spawn(View(str(built), str(own)), ["sleep", "60"], ENV, output)
        (own / "result").write_text("mine\n")
        script = "cat result; id -u; grep CapEff /proc/self/status"
        command = spawn(Inside(job, str(built)), ["sh", "-c", script], ENV, output)
        os.waitpid(command, 0)
        os.kill(job, signal.SIGKILL)
        os.waitpid(job, 0)
    words = (folder / "printed").read_text().split()
    assert words == ["mine", str(os.getuid()), "CapEff:", "0" * 16]


async def test_a_command_ends_with_its_job(kept: Kept) -> None:
    unit = kept.start("sh", "-c", "while [ ! -e over ]; do sleep 0.01; done")
    async with command_in(kept, unit) as command:
        await command.start("sh", "-c", "sleep 601 & echo $! > below; exec sleep 600", cwd=kept.folder)
        below = int(await appearance(kept.folder / "below"))
        (kept.folder / "over").touch()
        assert (await command.end())["signal"] == signal.SIGTERM
        ended = await kept.end_of(unit)
    assert not isinstance(ended, Refusal)
    assert (ended["exit_code"], ended["ended_for"]) == (0, None)
    assert not alive(below)


async def test_a_command_counts_to_the_processes_of_its_job_whatever_its_environment(kept: Kept) -> None:
    unit, other = kept.start("sleep", "600"), kept.start("sleep", "602")
    async with command_in(kept, unit) as command:
        await command.start("env", "-i", "/bin/sh", "-c", "/bin/sleep 601 & wait", cwd=kept.folder)
        pids = await _pids(kept, unit, at_least=3)
        assert len(await _pids(kept, other, at_least=1)) == 1
        command.signal(signal.SIGTERM)
        await command.end()
        await until(lambda: [pid for pid in pids if alive(pid)] == pids[:1])
    await kept.keeping.end(unit, grace_s=5)
    await kept.keeping.end(other, grace_s=5)


async def _pids(kept: Kept, unit: str, at_least: int) -> list[int]:
    """The processes of a unit, once there are so many: its own comes first."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            [view] = [view for view in (await kept.keeping.look())["units"] if view["unit"] == unit]
            if len(view["pids"]) >= at_least:
                return sorted(view["pids"], key=lambda pid: pid != view["pid"])


async def test_a_command_is_frozen_with_its_job_and_none_begins_in_a_pause(kept: Kept) -> None:
    unit = kept.start("sleep", "600")
    script = "while :; do echo . >> ticks; sleep 0.01; done"
    async with command_in(kept, unit) as command:
        await command.start("sh", "-c", script, cwd=kept.folder)
        await appearance(kept.folder / "ticks")
        await kept.keeping.pause(60, by="jane", reason="")
        pids = await _pids(kept, unit, at_least=2)
        assert len(pids) >= 2
        if kept.keeping.current.freezes_by == "signals":
            await until(lambda: not any(map(runs, pids)))
        size = (kept.folder / "ticks").stat().st_size
        async with command_in(kept, unit) as another:
            await another.start("true", cwd=kept.folder)
            assert isinstance(another.started, Refusal)
            assert another.started.step == "paused"
        assert (kept.folder / "ticks").stat().st_size == size
        await kept.keeping.resume()
        await until(lambda: (kept.folder / "ticks").stat().st_size > size)
        command.signal(signal.SIGKILL)
        assert (await command.end())["signal"] == signal.SIGKILL
    await kept.keeping.end(unit, grace_s=5)


def runs(pid: int) -> bool:
    """May it go on? A parent that waits for a child which has not begun its program can't, nor be stopped."""
    try:
        return psutil.Process(pid).status() in {psutil.STATUS_RUNNING, psutil.STATUS_SLEEPING}
    except psutil.NoSuchProcess:
        return False


async def test_a_command_has_the_cores_of_its_job(kept: Kept) -> None:
    cpu = min(os.sched_getaffinity(0))
    unit = kept.start("sleep", "600", cpus=[cpu])
    async with command_in(kept, unit) as command:
        # It may have begun before the keeper makes it nice.
        nice = 'until [ "$(nice)" -gt 0 ]; do sleep 0.01; done; nice'
        script = f"grep Cpus_allowed_list /proc/self/status; {nice}"
        await command.start("sh", "-c", script, cwd=kept.folder)
        await command.end()
        niceness = max(10, os.nice(0))  # no unit gets in front of its keeper
        assert command.printed()[0].split() == ["Cpus_allowed_list:", str(cpu), str(niceness)]
    await kept.keeping.end(unit, grace_s=5)


async def test_a_command_that_can_not_start_says_why(kept: Kept) -> None:
    unit = kept.start("sleep", "600")
    async with command_in(kept, unit) as command:
        await command.start("no-such-program", cwd=kept.folder)
        assert isinstance(command.started, Refusal)
        assert command.started.step == "program"
    async with command_in(kept, unit) as command:
        await command.start("true", cwd=kept.folder / "gone")
        assert isinstance(command.started, Refusal)
        assert (command.started.step, command.started.code) == ("view", errno.ENOENT)
    await kept.keeping.end(unit, grace_s=5)
    async with command_in(kept, unit) as command:
        await command.start("true", cwd=kept.folder)
        assert isinstance(command.started, Refusal)
        assert command.started.step == "unit"


async def test_commands_end_when_their_runner_leaves_and_jobs_go_on(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        unit = kept.start("sleep", "600")
        command = Command(kept.keeping, unit, kept.folder)
        await command.start("sh", "-c", "trap '' TERM; echo $$ > pid; sleep 60", cwd=kept.folder)
        pid = int(await appearance(kept.folder / "pid"))
        await kept.keeping.close()
        command.close()
        await until(lambda: not alive(pid))
        again = Keeping(tmp_path / "work" / "keeper")
        await again.open()
        assert "exit" not in again.units[unit]
        await again.end(unit, grace_s=5)
        await again.close()


async def test_no_command_without_a_reader_blocks_the_keeper(kept: Kept) -> None:
    unit = kept.start("sleep", "600")
    pipes = kept.folder / "nobody-reads", kept.folder / "nobody-reads-2"
    for pipe in pipes:
        os.mkfifo(pipe)
    started = await kept.keeping.start_command(
        unit, "1", ["true"], cwd=str(kept.folder), env=ENV, outputs=pipes
    )
    assert isinstance(started, Refusal)
    await kept.keeping.end(unit, grace_s=5)
