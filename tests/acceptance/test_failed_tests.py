"""A test that fails in a lab leaves nothing that runs on this computer."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from acceptance.lab import Lab, assert_nothing_is_left, command_batch, open_lab

ENDURING = "trap '' TERM; setsid sleep 1000 & sleep 1000; sleep 1000"


class _FailedError(Exception):
    """Stands for the failure of a test."""


async def _leave_a_job(lab: Lab, node: str) -> None:
    """Kill a node's runner while a job runs, which its keeper holds."""
    await lab.add(command_batch(f"lab/{node}", {"job1": ENDURING}, capabilities=[node]))
    await lab.event("started", batch=f"lab/{node}")
    lab.processes.end(node, signal.SIGKILL)
    assert lab.job_processes(node), "the keeper holds them"


async def test_a_failed_test_leaves_no_keeper_and_no_job(tmp_path: Path) -> None:
    nodes = {name: ["--cpus", "1", "--capability", name] for name in ("ws1", "ws2")}

    async def fails() -> None:
        async with open_lab(tmp_path / "lab", nodes) as lab:
            labs.append(lab)
            await _leave_a_job(lab, "ws1")
            await _leave_a_job(lab, "ws2")
            lab.processes.keeper_of("ws2").kill()
            raise _FailedError

    labs: list[Lab] = []
    with pytest.raises(_FailedError):
        await fails()
    assert_nothing_is_left(labs[0])


async def test_a_test_that_ends_without_its_keeper_fails_and_leaves_nothing(tmp_path: Path) -> None:
    async def forgets_the_keeper() -> None:
        async with open_lab(tmp_path / "lab", {"ws1": ["--cpus", "1", "--capability", "ws1"]}) as lab:
            labs.append(lab)
            await _leave_a_job(lab, "ws1")
            is_at_its_end.append(True)

    labs: list[Lab] = []
    is_at_its_end: list[bool] = []
    with pytest.raises(AssertionError):
        await forgets_the_keeper()
    assert is_at_its_end
    assert_nothing_is_left(labs[0])
