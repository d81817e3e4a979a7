"""Computers of a lab: network namespaces on one switch, each with a host name and a home folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from acceptance.person import obey_signals

NETNS = Path("/etc/netns")
SECONDS = 120.0
PROGRAMS = Path(sys.executable).parent


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def why_not() -> str | None:
    """Why this computer can't have a lab of namespaces; None if it can."""
    if os.geteuid():
        return "not root"
    if any(shutil.which(program) is None for program in ("ip", "unshare")):
        return "ip or unshare is not installed"
    probe = f"d{os.getpid()}-probe"
    try:
        ip("netns", "add", probe)
        try:
            ip("-n", probe, "link", "add", "probe", "type", "bridge")
            ip("netns", "exec", probe, "unshare", "--uts", "true")
        finally:
            ip("netns", "delete", probe)
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)}: {error.stderr.strip()}"
    return None


class Computer:
    """A namespace of the lab. Commands run in its home, as pasted into a shell there."""

    def __init__(self, lab: NetLab, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.home = lab.folder / name
        self.home.mkdir()
        self.log = self.home / "log"
        self.namespace = f"d{os.getpid()}-{name}"
        self._lab = lab
        self._running: subprocess.Popen[bytes] | None = None
        (NETNS / self.namespace).mkdir(parents=True)
        (NETNS / self.namespace / "hosts").touch()
        ip("netns", "add", self.namespace)
        ip("-n", self.namespace, "link", "set", "lo", "up")
        self._port = f"p{len(lab.computers)}"
        ip(
            "-n", self.namespace, "link", "add", "eth0",
            "type", "veth", "peer", self._port, "netns", lab.switch,
        )  # fmt: skip
        ip("-n", lab.switch, "link", "set", self._port, "master", "switch", "up")
        ip("-n", self.namespace, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", self.namespace, "link", "set", "eth0", "up")

    def pastes(self, commands: str) -> str:
        """Run commands to their end, up to the first that fails. Returns what they print."""
        done = subprocess.run(
            self._shell(commands), cwd=self.home, env=self._environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{self.name}: {commands}\n{done.stdout}{done.stderr}{self._lab.logs()}"
        return done.stdout

    def begins(self, commands: str) -> None:
        """Run commands of which the last goes on. They print into `log`."""
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self._shell(commands), cwd=self.home, env=self._environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, preexec_fn=obey_signals,
            )  # fmt: skip

    def ends(self) -> None:
        """Press Ctrl-C, and wait for the end."""
        if self._running is not None:
            os.killpg(self._running.pid, signal.SIGINT)
            self._running.wait(SECONDS)
            self._running = None

    def crashes(self) -> None:
        """Kill what goes on. Processes in sessions of their own run on, as the keeper does."""
        assert self._running is not None, "it was begun"
        os.killpg(self._running.pid, signal.SIGKILL)
        self._running.wait()
        self._running = None

    def unplug(self) -> None:
        """Cut it off from the network: packets are lost, and no connection is closed."""
        ip("-n", self._lab.switch, "link", "set", self._port, "down")

    def plug_in(self) -> None:
        """Connect it to the network again."""
        ip("-n", self._lab.switch, "link", "set", self._port, "up")

    def logged(self, words: str, times: int = 1) -> str:
        """Poll the log until so many lines have these words. Returns the last of them."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            whole, _, _ = self.log.read_text().rpartition("\n")
            found = [line for line in whole.splitlines() if words in line]
            if len(found) >= times:
                return found[times - 1]
            time.sleep(0.05)
        raise AssertionError(f"{self.name} never logged {words!r}{self._lab.logs()}")

    def knows(self, addresses: dict[str, str]) -> None:
        """Let names lead to addresses from now on."""
        lines = [f"{address} {name}" for name, address in {"localhost": "127.0.0.1", **addresses}.items()]
        (NETNS / self.namespace / "hosts").write_text("\n".join([*lines, ""]))

    def is_called(self, name: str) -> None:
        """Give the computer another host name, from the next command on."""
        self.name = name

    def goes(self) -> None:
        """Take the computer away."""
        if self._running is not None:
            self.crashes()
        ip("netns", "delete", self.namespace)
        shutil.rmtree(NETNS / self.namespace)

    def _shell(self, commands: str) -> list[str]:
        named = f"echo {self.name} > /proc/sys/kernel/hostname\n{commands}"
        return ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "bash", "-e", "-c", named]

    @property
    def _environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), "PATH": f"{PROGRAMS}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class NetLab:
    """The computers, and the switch between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.switch = f"d{os.getpid()}-switch"
        self.computers: list[Computer] = []

    def logs(self) -> str:
        """The end of every computer's log, for the message of a failing test."""
        logs = [computer.log for computer in self.computers if computer.log.exists()]
        return "".join(f"\n--- {log.parent.name}\n{log.read_text()[-2000:]}" for log in logs)


@contextmanager
def net_lab(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Computer]]:
    """A lab of computers with these names, which know each other by name."""
    lab = NetLab(folder)
    ip("netns", "add", lab.switch)
    try:
        ip("-n", lab.switch, "link", "add", "switch", "type", "bridge")
        ip("-n", lab.switch, "link", "set", "switch", "up")
        for number, name in enumerate(names, 1):
            lab.computers.append(Computer(lab, name, f"10.83.0.{number}"))
        addresses = {computer.name: computer.address for computer in lab.computers}
        for computer in lab.computers:
            computer.knows(addresses)
        yield {computer.name: computer for computer in lab.computers}
    finally:
        for computer in lab.computers:
            computer.goes()
        ip("netns", "delete", lab.switch)
