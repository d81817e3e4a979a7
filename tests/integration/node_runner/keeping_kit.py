"""A keeper of a test's own folder, and processes that are hard to end."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from distribute_services.node_runner.host.keeping import Keeping, Message, Refusal
from distribute_services.node_runner.host.leftovers import kill_leftovers
from distribute_services.node_runner.keeper import procfs
from distribute_services.node_runner.keeper.cgroup import own_group

ENV = {"PATH": "/usr/bin:/bin"}
WITHIN_S = 60.0

DAEMON = """
import os, signal, sys, time
ready, begun = os.pipe()  # closed once the daemon runs, or runs another program
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else signal.SIG_DFL)
        with open("daemon.pid", "w") as file:
            file.write(str(os.getpid()))
        if "hidden" in sys.argv:
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os.close(begun)
        time.sleep(600)
    os._exit(0)
os.wait()
os.close(begun)
os.read(ready, 1)
if "stay" in sys.argv:
    time.sleep(600)
"""


@dataclass
class Kept:
    """The keeper of a folder, whose units have names that no other test gives."""

    keeping: Keeping
    folder: Path
    prefix: str = field(default_factory=lambda: uuid.uuid4().hex)

    def start(
        self,
        *argv: str,
        name: str | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] = ENV,
        stdout: Path | None = None,
        timeout_s: float | None = None,
        warning: tuple[int, float] | None = None,
        grace_s: float = 5.0,
        exit_file: Path | None = None,
        idle_io: bool = False,
        cpus: Collection[int] = (),
        memory_bytes: int | None = None,
        user: Sequence[object] | None = None,
        max_processes: int | None = None,
    ) -> str:
        """Start a unit. Returns its name."""
        treatment = {"niceness": 10, "idle_io": idle_io, "cpus": sorted(cpus)}
        treatment |= {"memory_bytes": memory_bytes, "user": user, "max_processes": max_processes}
        name = f"{self.prefix}/{name or uuid.uuid4().hex}"
        self.keeping.start(
            name,
            argv,
            cwd=str(cwd or self.folder),
            env=env,
            stdout=str(stdout or self.folder / "out"),
            treatment=treatment,
            timeout_s=timeout_s,
            warning=warning,
            grace_s=grace_s,
            exit_file=None if exit_file is None else str(exit_file),
        )
        return name

    def start_daemon(self, *how: str, cwd: Path | None = None) -> str:
        """Start a unit that starts a daemon."""
        return self.start(sys.executable, "-c", DAEMON, *how, cwd=cwd)

    async def end_of(self, name: str) -> Message | Refusal:
        """How a unit ended."""
        ended = await asyncio.wait_for(self.keeping.wait(name), WITHIN_S)
        self.keeping.forget(name)
        return ended

    async def run(self, *argv: str, env: Mapping[str, str] = ENV) -> tuple[Message, str]:
        """Run a command to its end. Returns how it ended and what it printed."""
        ended = await self.end_of(self.start(*argv, env=env))
        assert not isinstance(ended, Refusal), ended
        return ended, (self.folder / "out").read_text()

    def left(self) -> list[int]:
        """The living processes of all units."""
        return [
            pid
            for pid in procfs.processes_of(os.getuid())
            if (procfs.marker(pid) or "").startswith(self.prefix)
        ]


@asynccontextmanager
async def keeper(folder: Path, *, use_cgroups: bool = True, **settings: float) -> AsyncIterator[Kept]:
    """A keeper. At its end, it checks that it has left nothing."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (work / "lock").write_text(uuid.uuid4().hex)
    keeping = Keeping(work / "keeper", {**settings, "use_cgroups": use_cgroups})
    await keeping.open()
    kept = Kept(keeping, folder)
    try:
        yield kept
        assert kept.left() == []
    finally:
        await kill_leftovers(lambda marker: marker.startswith(kept.prefix), grace_s=0.1)
        await keeping.close()
    await until(lambda: list((work / "keeper").glob("*.socket")) == [])
    identity = (work / "lock").read_text()
    own = own_group()
    await until(lambda: own is None or list(Path(own).glob(f"distribute-{identity[:12]}*")) == [])


TREE = """
import mmap, os, sys, time
count, path, gap_s = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
with open(path, "w+b") as file:
    file.truncate(8 * (count + 1))
    seen = memoryview(mmap.mmap(file.fileno(), 0)).cast("d")

def beat(slot):
    while True:
        seen[slot] = time.monotonic()
        time.sleep(gap_s)

for slot in range(count):
    if os.fork() == 0:
        if slot % 4 == 1:
            os.setsid()  # a session of its own
        if slot % 4 == 2:  # a daemon: its parent has ended
            os.setsid()
            if os.fork() != 0:
                os._exit(0)
        if slot % 4 == 3:
            os.setpgid(0, 0)
        beat(slot)
while True:  # a busy forker
    if os.fork() == 0:
        seen[count] = time.monotonic()
        os._exit(0)
    os.wait()
"""
"""Makes processes that are hard to find, and writes when each of them was last seen into a file."""


class Tree:
    """The processes of a `TREE`, which write when they were last seen."""

    def __init__(self, path: Path, count: int, gap_s: float = 0.01) -> None:
        self.path = path
        self.count = count
        self.argv = (sys.executable, "-c", TREE, str(count), str(path), str(gap_s))

    def seen(self) -> tuple[float, ...]:
        """When each process was last seen, by the monotonic clock; 0: it has not begun."""
        data = self.path.read_bytes() if self.path.exists() else b""
        return tuple(memoryview(data).cast("d")) if len(data) == 8 * (self.count + 1) else ()

    async def runs(self, since: float = 0.0) -> None:
        """Wait until all its processes were seen after `since`."""
        await until(lambda: min(self.seen(), default=0.0) > since)


async def until(condition: Callable[[], bool]) -> None:
    """Poll a condition that depends on other processes, which notify nobody."""
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@dataclass
class Timed:
    """A unit whose time runs out when it has run for `time_s`, and that was ready long before."""

    name: str
    folder: Path
    time_s: float


async def ready_in_time(
    kept: Kept, start: Callable[[Path, float], str], *, ready: str = "ready", at_least_s: float = 2.0
) -> Timed:
    """Start a unit whose time runs out only when it has made the file `ready` in its folder.

    `start` starts it in a folder of its own, with a time in seconds. If it is not ready in half of that, we
    end it and start it anew with more: on a busy computer, Python takes seconds to begin.
    """
    for longer in (1, 4, 16, 64):
        time_s = at_least_s * longer
        folder = kept.folder / f"for {time_s:g} s"
        folder.mkdir()
        name = start(folder, time_s)
        if await _was_ready(kept, name, folder / ready, time_s / 2):
            return Timed(name, folder, time_s)
        await kept.keeping.end(name, grace_s=0)
        await kept.end_of(name)
    raise AssertionError(f"it was not ready in {time_s / 2:g} s")


async def _was_ready(kept: Kept, name: str, ready: Path, within_s: float) -> bool:
    """Wait until a unit has made a file. Returns False if it ran for longer than `within_s` without it."""
    while True:
        is_ready = ready.exists()  # before we look how long it has run
        ran_s = next(
            (unit["ran_s"] for unit in (await kept.keeping.look())["units"] if unit["unit"] == name), None
        )
        if ran_s is None:  # it has ended
            return ready.exists()
        if is_ready or ran_s > within_s:
            return is_ready and ran_s <= within_s
        await asyncio.sleep(0.01)


async def appearance(path: Path) -> str:
    """Wait for a file that a process writes, and return its content."""
    await until(lambda: path.exists() and path.read_text() != "")
    return path.read_text()


async def gone(*pids: int) -> None:
    """Wait until processes have ended. One that is about to has no environment any more, but is alive."""
    await until(lambda: not any(map(alive, pids)))


def alive(pid: int) -> bool:
    """Does the process live? A zombie does not."""
    stat = procfs.stat(pid)
    return stat is not None and stat.alive
