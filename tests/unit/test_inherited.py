"""A process begins in good order, whatever it inherits."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CODE = """
import signal, subprocess, sys
from distribute.inherited import end_signals, restore_signals
restore_signals()
print([number.name for number in end_signals()], signal.pthread_sigmask(signal.SIG_BLOCK, ()))
print(subprocess.run([sys.executable, "-c", "raise SystemExit(3)"]).returncode)
"""


def started(ignoring: set[signal.Signals], blocking: set[signal.Signals]) -> str:
    """What the program above prints if it is started so."""

    def inherit() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN if number in ignoring else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocking)

    run = subprocess.run(
        [sys.executable, "-c", CODE], preexec_fn=inherit, capture_output=True, text=True, check=True
    )
    return run.stdout


@pytest.mark.parametrize(
    ("ignored", "ends"),
    [
        (set(), "['SIGINT', 'SIGTERM', 'SIGHUP']"),
        ({signal.SIGHUP}, "['SIGINT', 'SIGTERM']"),
        ({signal.SIGINT, signal.SIGHUP}, "['SIGTERM']"),
        ({signal.SIGTERM, signal.SIGCHLD}, "['SIGINT', 'SIGTERM', 'SIGHUP']"),
    ],
)
@pytest.mark.parametrize("blocked", [set(), {signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGHUP}])
def test_what_ends_us_and_the_exit_codes_of_our_children_are_heard(
    ignored: set[signal.Signals], blocked: set[signal.Signals], ends: str
) -> None:
    assert started(ignored, blocked) == f"{ends} set()\n3\n"
