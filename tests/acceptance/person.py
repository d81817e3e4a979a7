"""A person who uses the command line, with a home folder of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Self

import psutil

from distribute.config.settings.cluster_record import running_clusters

PATIENCE_S = 120.0
"""Seconds to wait for anything. Only a very busy computer needs nearly as long."""


class Person:
    """A person with a home folder, who runs `distribute` there. At the end of the block, all of it ends."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.program: tuple[str, ...] = (sys.executable, "-P", "-m", "distribute_cli")
        """The program and its first arguments; the verb comes behind them."""
        self._started: list[subprocess.Popen[str]] = []
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DISTRIBUTE_")}
        self._environment = inherited | {
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what a failed test left running, also clusters of `up`."""
        for process in self._started:
            process.kill()
            process.communicate()
        kill_clusters(self._environment)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that its programs find."""
        return self._environment

    def sets(self, **variables: str | None) -> None:
        """Set these environment variables; None removes one."""
        for name, value in variables.items():
            if value is None:
                self._environment.pop(name, None)
            else:
                self._environment[name] = value

    def starts(
        self,
        *arguments: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        ignoring: Collection[signal.Signals] = (),
        blocking: Collection[signal.Signals] = (),
    ) -> subprocess.Popen[str]:
        """Start a verb as a terminal does, but ignoring or blocking these signals."""

        def inherit() -> None:
            obey_signals()
            for number in ignoring:
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocking)

        process = subprocess.Popen(
            [*self.program, *arguments],
            cwd=self.home,
            env=self._environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            preexec_fn=inherit,
        )
        self._started.append(process)
        return process

    def runs(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end. It must exit with this code."""
        process = self.starts(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"distribute {' '.join(arguments)}: {out}{err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, code, out, err)

    def asks(self, *arguments: str) -> Any:
        return json.loads(self.runs(*arguments, "--json").stdout)

    def writes(self, batch: str, jobs: dict[str, str], **meta: Any) -> str:
        """Write a batch of shell commands, by job. Returns the path of its file."""
        written = {"namespace": "jane", "batch_name": batch, "resources": {"cpus": 1}} | meta
        work = {"jobs": [{"name": name, "command": command} for name, command in jobs.items()]}
        path = self.home / f"{batch}.yaml"
        path.write_text(json.dumps({"meta": written, "command": work}))
        return path.name


def kill_clusters(environment: Mapping[str, str]) -> None:
    """Kill the clusters that a person with this environment runs. All their processes end with them."""
    for record in running_clusters(environment):
        os.kill(record.pid, signal.SIGKILL)


def until(there: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Poll until something is there, while the process runs that makes it."""
    deadline = time.monotonic() + PATIENCE_S
    while not there():
        if process is not None and process.poll() is not None:
            assert there(), f"it has ended with {process.returncode}"  # it may have made it at its end
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def obey_signals() -> None:
    """Ignore no signal in a child, as in a terminal, also if the tests run under `nohup` or behind `&`."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def runs(process: psutil.Process) -> bool:
    """Does the process still run? A zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False  # it has ended between the two questions
