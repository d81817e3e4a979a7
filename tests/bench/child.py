"""Measure a program that a benchmark runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def measured(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] = os.environ
) -> tuple[float, int]:
    """Run a program to its end. Returns its processor time in seconds, and its peak memory in bytes.

    The system counts the memory of its parent until the program begins.
    """
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
