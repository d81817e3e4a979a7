"""A cluster of real processes that tests can kill and start again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psutil

from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import open_cluster
from distribute_services.node_runner.host.leftovers import kill_leftovers

STARTS_WITHIN_S = 120.0
ENDS_WITHIN_S = 120.0


def _wait_until_handled(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Wait until a service that was just started would end in good order by this signal."""
    deadline = time.monotonic() + STARTS_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.01)


def identity_of(folder: Path) -> str:
    """The identity of a node's working folder, with which the markers of its jobs begin."""
    return (folder / "lock").read_text().partition("\n")[0]


class LabBroker(Broker):
    """A broker whose port nobody takes while it is away, though other tests start servers all the time."""

    _held: socket.socket | None = None

    async def start(self) -> None:
        await super().start()
        self.let_go()

    async def stop(self, *, kill: bool = False) -> None:
        await super().stop(kill=kill)
        if self._held is None:
            self._held = socket.socket()
            # The broker sets this option, too: so it can listen at the port that we hold.
            self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held.bind(("127.0.0.1", self.port))

    def let_go(self) -> None:
        """Hold the port no more."""
        if self._held is not None:
            self._held.close()
            self._held = None


class Processes:
    """Broker, scheduler, archiver and node-runners, each a process of its own, by name."""

    def __init__(
        self,
        folder: Path,
        nodes: dict[str, Sequence[str]],
        lost_s: float = 30.0,
    ) -> None:
        self.folder = folder
        self.broker = LabBroker(folder / "broker", die_with_parent=True)
        lease = ["--out-of-touch-s", str(lost_s / 2), "--lost-after-s", str(lost_s)]
        # A node of a busy computer must not seem lost: so it beats often if it may be silent but briefly.
        self._beat_s = min(1.0, lost_s / 20)
        self._arguments: dict[str, list[str]] = {"scheduler": ["scheduler", *lease], "archiver": ["archiver"]}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for name, options in nodes.items():
            self.add_node(name, options)

    def add_node(self, name: str, options: Sequence[str]) -> None:
        """Add a node-runner, to be started by `start`."""
        self._arguments[name] = [
            "node-runner", f"--name={name}", "--work-dir", str(self.folder / name),
            "--beat-s", str(self._beat_s), *options,
        ]  # fmt: skip

    def add_notifier(self, settings: Path) -> None:
        """Add a notifier with this `notify.yaml`, to be started by `start`."""
        folder = str(self.folder / "notifier")
        self._arguments["notifier"] = ["notifier", "--notify-config", str(settings), "--folder", folder]

    @property
    def server(self) -> str:
        return self.broker.address.urls[0]

    @property
    def pids(self) -> dict[str, int]:
        """The pids of all running processes, including the broker."""
        pids = {name: process.pid for name, process in self._running.items()}
        return pids | ({"broker": self.broker.pid} if self.broker.pid is not None else {})

    def keeper_of(self, node: str) -> psutil.Process:
        """The process that holds the jobs of a node."""
        wanted = {str(self.folder / node / "keeper"), "--serve"}
        running = psutil.process_iter(["cmdline", "ppid"])
        found = {one.pid: one for one in running if wanted <= set(one.info["cmdline"] or ())}
        # A process that it starts has its command line until it begins its own program.
        (keeper,) = [one for one in found.values() if one.info["ppid"] not in found]
        return keeper

    async def cut_power(self, node: str) -> None:
        """Kill a node-runner, its keeper and all its jobs, as if its computer lost its power."""
        keeper = self.keeper_of(node)
        self.end(node, signal.SIGKILL)  # first: it must not report how the rest ends
        keeper.kill()
        identity = identity_of(self.folder / node)
        await kill_leftovers(lambda marker: marker.partition("/")[0] == identity, grace_s=0.0)

    async def end_keepers(self) -> None:
        """Kill the keepers of its nodes, with their jobs. After a test that failed, some may be left."""
        below = f"{self.folder}{os.sep}"
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or ()
            if "--serve" in words and any(word.startswith(below) for word in words):
                with contextlib.suppress(psutil.NoSuchProcess):  # it may end meanwhile
                    process.kill()
                    await asyncio.to_thread(process.wait)
        folders = {identity_of(lock.parent) for lock in self.folder.glob("*/lock")}
        await kill_leftovers(lambda marker: marker.partition("/")[0] in folders, grace_s=0.0)

    async def __aenter__(self) -> Processes:
        await self.broker.start()
        async with open_cluster(self.broker.address, "test", provisioning=True):
            pass  # so that no service finds an incomplete cluster
        for name in self._arguments:
            self.start(name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_well = False
        try:
            for name in list(self._running):
                self.end(name, signal.SIGTERM)
            is_well = error is None
        finally:
            for process in self._running.values():  # if one of them did not end
                process.kill()
                process.wait()
            try:
                if not is_well:
                    await self.end_keepers()
            finally:
                await self.broker.stop()
                self.broker.let_go()

    def start(self, name: str) -> None:
        """Start a service that is not running."""
        service, *options = self._arguments[name]
        with (self.folder / f"{name}.log").open("ab") as output:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "distribute_services", service, "--server", self.server, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def end(self, name: str, how: signal.Signals) -> int:
        """End a service by a signal. Returns its exit code."""
        process = self._running.pop(name)
        if how is signal.SIGTERM:
            _wait_until_handled(process, how)
        process.send_signal(how)
        # A stopped process handles other signals only after it continues.
        process.send_signal(signal.SIGCONT)
        try:
            return process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} did not end within {ENDS_WITHIN_S:g} s of {how.name}") from None

    async def ended(self, name: str) -> int:
        """Wait until a service has ended by itself. Returns its exit code."""
        code = await asyncio.to_thread(self._running[name].wait, ENDS_WITHIN_S)
        del self._running[name]
        return code

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")
