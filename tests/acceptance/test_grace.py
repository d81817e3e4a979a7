"""What a job does when it is warned or ended is archived: with the times that its file chooses."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from acceptance.lab import PATIENCE_S, Lab, command_batch, open_lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAVES = """
import signal, sys, time
def save(number, frame):
    with open("distribute_save/checkpoint", "w") as file:
        file.write(f"half the work, at {signal.Signals(number).name}")
    sys.exit(0 if number == signal.SIGUSR1 else 7)
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, save)
print("began", flush=True)
time.sleep(600)
"""
SLOW = (
    "trap 'sleep 1.5; echo saved > distribute_save/state; exit 3' TERM;"
    " echo began; while :; do sleep 0.1; done"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    nodes = {"ws1": ["--cpus", "2", "--grace-s", "0"]}
    async with open_lab(tmp_path_factory.mktemp("grace") / "lab", nodes) as lab:
        yield lab


async def test_a_job_saves_a_checkpoint_before_its_timeout(lab: Lab) -> None:
    (lab.folder / "saves.py").write_text(SAVES)
    program = ["python3", "input/saves.py"]
    batch = command_batch(
        "lab/warned",
        {
            "alone": {"command": program},
            "in a shell": {"command": "python3 input/saves.py && echo went on"},
            "too late": {
                "command": program,
                "timeout": 12,
                "signal_before": {"signal": "CONT", "seconds": 1},
            },
        },
        timeout="10m",
        grace="20s",
        signal_before={"signal": "SIGUSR1", "seconds": 590},
    )
    batch["command"]["initialize"] = {"required_files": [str(lab.folder / "saves.py")]}
    await lab.add(batch)
    await lab.distribute("wait", "lab/warned", code=1)
    jobs = await lab.jobs("lab/warned")
    assert {name: (job["state"], job["exit_code"]) for name, job in jobs.items()} == {
        "alone": ("succeeded", 0),
        "in a shell": ("succeeded", 0),
        "too late": ("failed", 7),
    }
    assert jobs["too late"]["reason"] == "ran for longer than its timeout of 12 s"
    folder, _ = await lab.pull("lab/warned")
    saved = {name: (folder / name / "checkpoint").read_text() for name in jobs}
    assert saved == {
        "alone": "half the work, at SIGUSR1",
        "in a shell": "half the work, at SIGUSR1",
        "too late": "half the work, at SIGTERM",
    }
    assert (folder / "in a shell" / "stdout.txt").read_text() == "began\nwent on\n"
    told = (await lab.distribute("status", "lab/warned/alone")).out
    assert "10m; SIGUSR1 comes 9m50s before" in told
    assert "20s" in told


async def test_a_killed_job_has_the_grace_of_its_file_or_of_its_node(lab: Lab) -> None:
    jobs = {"own": {"command": SLOW, "grace": "30s"}, "of the node": {"command": SLOW}}
    await lab.add(command_batch("lab/slow", jobs))
    for job in jobs:
        follower = await lab.start("logs", "-f", f"lab/slow/{job}")
        await follower.until("began")
    await lab.distribute("kill", "lab/slow")
    await lab.distribute("wait", "lab/slow", code=1)
    ended = await lab.jobs("lab/slow")
    assert (ended["own"]["exit_code"], ended["of the node"]["signal"]) == (3, 9)
    folder, _ = await lab.pull("lab/slow")
    assert (folder / "own" / "state").read_text() == "saved\n"
    assert not (folder / "of the node" / "state").exists()
    assert lab.job_processes("ws1") == []


async def test_a_node_that_is_asked_twice_waits_for_no_long_grace(lab: Lab) -> None:
    asked = lab.folder / "asked to end"
    stubborn = f"trap 'touch \"{asked}\"' TERM; echo began; while :; do sleep 0.1; done"
    await lab.add(command_batch("lab/stubborn", {"job": stubborn}, grace="10m"))
    follower = await lab.start("logs", "-f", "lab/stubborn/job")
    await follower.until("began")
    os.kill(lab.processes.pids["ws1"], signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        while not asked.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert len(lab.job_processes("ws1")) >= 1, "it has its grace"
    assert lab.processes.end("ws1", signal.SIGTERM) == 0, "before the ten minutes are over"
    assert lab.job_processes("ws1") == []
    await lab.distribute("kill", "lab/stubborn")
    await lab.distribute("wait", "lab/stubborn", code=1)
    lab.processes.start("ws1")
    await lab.node_is_idle("ws1")
