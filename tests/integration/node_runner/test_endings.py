"""How long a job may clean up, and what warns it: with real processes, and with cgroups and without."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from distribute_services.node_runner.host.keeping import Message, Refusal
from distribute_services.node_runner.keeper import procfs

from .keeping_kit import Kept, Timed, alive, appearance, keeper, ready_in_time, until
from .test_commands import command_in

USR1 = signal.SIGUSR1

HANDLES = """
import signal, sys, time
saved = False
def save(number, frame):
    global saved
    saved = True
    with open("checkpoint", "w") as file:
        file.write(signal.Signals(number).name)
signal.signal(signal.SIGUSR1, save)
open("ready", "w").close()
while not saved:
    time.sleep(0.05)
print("saved", flush=True)
"""
LATER_S = 90.0
"""From a warning to the timeout: longer than a test waits for the end."""
IGNORES = "trap '' TERM; touch ready; while :; do sleep 0.1; done"


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with keeper(tmp_path) as kept:
        yield kept


@pytest.fixture(params=["cgroup", "signals"])
async def kept_by(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    async with keeper(tmp_path, use_cgroups=request.param == "cgroup") as kept:
        yield kept


async def ended_of(kept: Kept, name: str) -> Message:
    ended = await kept.end_of(name)
    assert not isinstance(ended, Refusal), ended
    return ended


async def warned(kept: Kept, *argv: str, at_least_s: float = 2.0) -> Timed:
    """Start a unit that is warned when it has run for `time_s`, and has made the file `ready` before."""

    def start(folder: Path, time_s: float) -> str:
        warning = (USR1, LATER_S)
        return kept.start(
            *argv, cwd=folder, stdout=folder / "out", timeout_s=time_s + LATER_S, warning=warning
        )

    return await ready_in_time(kept, start, at_least_s=at_least_s)


async def test_a_job_saves_its_work_when_it_is_warned(kept: Kept) -> None:
    job = await warned(kept, sys.executable, "-c", HANDLES)
    ended = await ended_of(kept, job.name)
    assert (ended["exit_code"], ended["ended_for"]) == (0, None), "it ended by itself, before its timeout"
    assert ended["wall_s"] >= job.time_s
    assert (job.folder / "checkpoint").read_text() == "SIGUSR1"


async def test_the_shell_around_a_program_outlives_a_warning(kept: Kept) -> None:
    script = f"{sys.executable} -c '{HANDLES}'; echo and the shell went on"
    job = await warned(kept, "sh", "-c", script)
    assert (await ended_of(kept, job.name))["exit_code"] == 0
    assert (job.folder / "out").read_text().split("\n")[:2] == ["saved", "and the shell went on"]


async def test_a_shell_with_a_trap_is_warned_at_once(kept: Kept) -> None:
    """A shell runs a trap when its program has ended, so that gets the warning, too."""
    script = "trap 'touch checkpoint; exit 3' USR1; touch ready; sleep 600"
    job = await warned(kept, "sh", "-c", script)
    assert (await ended_of(kept, job.name))["exit_code"] == 3
    assert (job.folder / "checkpoint").exists()


async def test_a_daemon_in_a_session_of_its_own_is_warned_and_has_the_time_to_save(kept_by: Kept) -> None:
    """The first process does not handle the warning. It is spared, for its end would be the daemon's."""
    kept = kept_by
    saves_slowly = HANDLES.replace('with open("checkpoint"', 'time.sleep(1)\n    with open("checkpoint"')
    script = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        exec({saves_slowly!r})
    os._exit(0)
time.sleep(600)
"""
    job = await warned(kept, sys.executable, "-c", script)
    assert await appearance(job.folder / "checkpoint") == "SIGUSR1"
    assert alive((await kept.keeping.look())["units"][0]["pid"]), "the first process lives on"
    await kept.keeping.end(job.name)


async def test_a_program_with_a_thread_that_waits_for_the_signal_is_warned(kept: Kept) -> None:
    script = """
import signal, subprocess, threading
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
child = subprocess.Popen(["sleep", "600"])
waiter = threading.Thread(target=lambda: print(signal.sigwait([signal.SIGUSR1]).name))
waiter.start()
open("ready", "w").close()
waiter.join()
"""
    job = await warned(kept, sys.executable, "-c", script)
    assert (await ended_of(kept, job.name))["exit_code"] == 0
    assert (job.folder / "out").read_text() == "SIGUSR1\n"


async def test_a_command_that_a_person_runs_in_the_job_is_not_warned(kept: Kept) -> None:
    job = await warned(kept, sys.executable, "-c", HANDLES.replace("not saved", "True"), at_least_s=4.0)
    async with command_in(kept, job.name) as command:
        await command.start("sleep", "600", cwd=job.folder)
        await appearance(job.folder / "checkpoint")
        await kept.keeping.look()  # the keeper has sent all of its warnings
        command.signal(signal.SIGTERM)
        assert (await command.end())["signal"] == signal.SIGTERM, "an earlier SIGUSR1 would have ended it"
    await kept.keeping.end(job.name)


async def test_a_program_alone_that_does_not_handle_its_warning_is_ended_by_it(kept: Kept) -> None:
    name = kept.start("sleep", "600", timeout_s=LATER_S + 0.5, warning=(USR1, LATER_S))
    ended = await ended_of(kept, name)
    assert (ended["signal"], ended["ended_for"]) == (USR1, None)


async def test_a_pause_delays_a_warning(kept: Kept) -> None:
    job = await warned(kept, sys.executable, "-c", HANDLES, at_least_s=4.0)
    await kept.keeping.pause(3600, by="jane", reason="")
    frozen = (await kept.keeping.look())["units"][0]
    assert frozen["frozen"]
    await asyncio.sleep(job.time_s)  # without the pause, the warning would have come by now
    assert not (job.folder / "checkpoint").exists()
    await kept.keeping.resume()
    ended = await ended_of(kept, job.name)
    assert (job.folder / "checkpoint").read_text() == "SIGUSR1"
    assert ended["wall_s"] >= job.time_s
    assert ended["paused_s"] >= job.time_s


async def test_a_job_has_its_own_grace_wherever_it_is_ended(kept: Kept) -> None:
    name = kept.start("sh", "-c", IGNORES, grace_s=0.5)
    await until((kept.folder / "ready").exists)
    begun = time.monotonic()
    await kept.keeping.end(name)
    assert 0.5 <= time.monotonic() - begun < 60
    assert (await ended_of(kept, name))["signal"] == signal.SIGKILL


async def test_a_grace_of_nothing_is_no_sigterm(kept: Kept) -> None:
    script = "trap 'touch asked' TERM; touch ready; while :; do sleep 0.1; done"
    name = kept.start("sh", "-c", script, grace_s=0)
    await until((kept.folder / "ready").exists)
    await kept.keeping.end(name)
    assert (await ended_of(kept, name))["signal"] == signal.SIGKILL
    assert not (kept.folder / "asked").exists()


async def test_a_job_beyond_its_memory_has_its_grace(kept: Kept) -> None:
    script = "import signal, sys, time\n"
    script += "signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(4)))\n"
    # In `signal.pause`, it would sleep through a signal that comes just before.
    script += "data = bytearray(135 << 20)\nwhile True:\n    time.sleep(0.1)"
    name = kept.start(sys.executable, "-c", script, memory_bytes=128 << 20, grace_s=600)
    ended = await ended_of(kept, name)
    assert (ended["exit_code"], ended["ended_for"]) == (4, "memory")
    assert (kept.folder / "out").read_text() == "saved\n"


async def test_a_job_far_beyond_its_memory_has_none(kept: Kept) -> None:
    script = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    script += "data = bytearray(200 << 20)\nsignal.pause()"
    name = kept.start(sys.executable, "-c", script, memory_bytes=64 << 20, grace_s=600)
    ended = await ended_of(kept, name)
    assert (ended["signal"], ended["ended_for"]) == (signal.SIGKILL, "memory")


@pytest.mark.parametrize("how", ["exit", "failure", "killed", "timeout", "memory", "vacated"])
async def test_no_daemon_is_left_after_any_end(kept_by: Kept, how: str) -> None:
    """Daemons by a double fork, with the job's environment and without any, that ignore SIGTERM."""
    kept = kept_by
    grow = "data = bytearray(80 << 20)" if how == "memory" else "pass"
    stay = "" if how in {"exit", "failure"} else "time.sleep(600)"
    script = f"""
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
running, begun = os.pipe()  # closed once both daemons run their program
for name, env in (("with", None), ("without", {{}})):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(name, "w") as file:
                file.write(str(os.getpid()))
            os.execve("/bin/sleep", ["sleep", "600"], dict(os.environ) if env is None else env)
        os._exit(0)
    os.wait()
os.close(begun)
os.read(running, 1)
open("ready", "w").close()
{grow}
{stay}
sys.exit({3 if how == "failure" else 0})
"""

    def start(folder: Path, time_s: float) -> str:
        timeout_s = time_s if how == "timeout" else None
        memory_bytes = (64 << 20) if how == "memory" else None
        limits: Any = {"timeout_s": timeout_s, "memory_bytes": memory_bytes}
        return kept.start(sys.executable, "-c", script, cwd=folder, grace_s=0.3, **limits)

    job = await ready_in_time(kept, start)
    daemons = [int((job.folder / daemon).read_text()) for daemon in ("with", "without")]
    if how == "killed":
        await kept.keeping.end(job.name)
    if how == "vacated":
        await kept.keeping.pause(60, by="", reason="")
        await kept.keeping.end(job.name, reason="yielded", thaw=True)
    ended = await ended_of(kept, job.name)
    assert [alive(pid) for pid in daemons] == [False, False]
    assert [pid for pid in procfs.processes_of(os.getuid()) if pid in daemons] == []
    expected = {"exit": None, "failure": None, "killed": "killed", "timeout": "timeout", "memory": "memory"}
    assert ended["ended_for"] == expected.get(how, "yielded")
    if how == "vacated":
        await kept.keeping.resume()
