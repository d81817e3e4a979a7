"""A cluster of real processes that tests can kill and start again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from distribute.nats.cluster import open_cluster
from distribute.nats.embedded import Broker


class Processes:
    """Broker, scheduler, archiver and node-runners, each a process of its own, by name."""

    def __init__(self, folder: Path, nodes: dict[str, Sequence[str]], lost_s: float = 8.0) -> None:
        self.folder = folder
        self.broker = Broker(folder / "broker", die_with_parent=True)
        lease = ["--out-of-touch-s", str(lost_s / 2), "--lost-s", str(lost_s)]
        self._arguments: dict[str, list[str]] = {"scheduler": ["scheduler", *lease], "archiver": ["archiver"]}
        for name, options in nodes.items():
            work_dir = str(folder / name)
            self._arguments[name] = [
                "node-runner", "--name", name, "--work-dir", work_dir, "--beat-s", "1", *options
            ]  # fmt: skip
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def server(self) -> str:
        return self.broker.address.urls[0]

    async def __aenter__(self) -> Processes:
        await self.broker.start()
        async with open_cluster(self.broker.address, "test", provisioning=True):
            pass  # so that nobody finds half a cluster
        for name in self._arguments:
            self.start(name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._running):
            self.end(name, signal.SIGTERM)
        await self.broker.stop()

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
        """End a service by a signal; its exit code."""
        process = self._running.pop(name)
        process.send_signal(how)
        try:
            return process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} did not end within 30 s of {how.name}") from None

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")
