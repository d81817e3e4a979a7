"""A keeper of a test's own folder, and processes that are hard to end."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from distribute_services.node_runner.host.keeping import Keeping, Message, Refusal
from distribute_services.node_runner.host.leftovers import kill_leftovers
from distribute_services.node_runner.keeper import procfs

ENV = {"PATH": "/usr/bin:/bin"}
WITHIN_S = 30.0

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
            os.execve("/bin/sleep", ["sleep", "60"], {})
        os.close(begun)
        time.sleep(60)
    os._exit(0)
os.wait()
os.close(begun)
os.read(ready, 1)
if "stay" in sys.argv:
    time.sleep(60)
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
        grace_s: float = 5.0,
        exit_file: Path | None = None,
    ) -> str:
        """Start a unit. Returns its name."""
        name = f"{self.prefix}/{name or uuid.uuid4().hex}"
        self.keeping.start(
            name,
            argv,
            cwd=str(cwd or self.folder),
            env=env,
            stdout=str(stdout or self.folder / "out"),
            niceness=10,
            timeout_s=timeout_s,
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
    assert list((work / "keeper").glob("*.socket")) == []


async def until(condition: Callable[[], bool]) -> None:
    """Poll a condition that depends on other processes, which notify nobody."""
    async with asyncio.timeout(WITHIN_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def appearance(path: Path) -> str:
    """Wait for a file that a process writes, and return its content."""
    await until(lambda: path.exists() and path.read_text() != "")
    return path.read_text()


def alive(pid: int) -> bool:
    """Does the process live? A zombie does not."""
    stat = procfs.stat(pid)
    return stat is not None and stat.alive
