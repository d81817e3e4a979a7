"""Processes that belong to no unit any more are ended, also those that resist."""

from __future__ import annotations

import signal
import subprocess
from subprocess import PIPE

from distribute_services.node_runner.keeper.signalling import Strays
from distribute_services.node_runner.keeper.units import Units

RESISTS = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"


class Left(Units):
    """Units that are over, of which a process is left."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._pid = pid

    def strays(self) -> list[int]:
        return [self._pid]


def test_a_stray_is_asked_to_end_and_killed_when_it_is_seen_again() -> None:
    with subprocess.Popen(["sh", "-c", RESISTS], stdout=PIPE, text=True) as stray:
        assert stray.stdout is not None
        assert stray.stdout.readline() == "ready\n"
        strays = Strays(Left(stray.pid))
        strays.sweep()
        assert stray.stdout.readline() == "asked\n"
        assert stray.poll() is None
        strays.sweep()
        assert stray.wait(60) == -signal.SIGKILL
