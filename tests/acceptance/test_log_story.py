"""The logs of the services tell what happened: to nodes, to jobs, and to the head."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acceptance.lab import PATIENCE_S, Lab, command_batch, open_lab
from acceptance.person import Person
from distribute_services.node_runner.host.run_as import AS_ROOT


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """A lab whose services are at work before its node joins."""
    async with open_lab(tmp_path / "lab", {}, lost_s=8.0) as lab:
        await lab.logged("scheduler", "scheduling from event")
        await lab.logged("archiver", "archiving from event")
        lab.processes.add_node("ws07", ["--cpus", "2"])
        lab.processes.start("ws07")
        await lab.event("joined", node="ws07")
        yield lab


def told(lab: Lab, service: str, *words: str) -> list[str]:
    """The lines of a service's log with any of these words, without their times."""
    lines = lab.processes.log_of(service).splitlines()
    return [line.split(maxsplit=2)[2] for line in lines if any(word in line for word in words)]


async def test_a_nodes_loss_and_return_and_its_jobs_are_told(lab: Lab) -> None:
    gate = lab.folder / "gate"
    waits = f"until test -e '{gate}'; do sleep 0.05; done; exit 3"
    await lab.add(command_batch("lab/told", {"good": "true", "broken": waits}))
    await lab.event("started", batch="lab/told", where=lambda event: event.job == "broken")
    pid = lab.processes.pids["ws07"]
    os.kill(pid, signal.SIGSTOP)
    try:
        lost = await lab.event("lost", node="ws07")
    finally:
        os.kill(pid, signal.SIGCONT)
    await lab.event("joined", node="ws07", after=lost.seq)
    gate.touch()
    await lab.over("lab/told")
    await lab.logged("scheduler", "lab/told is archived")
    head = told(lab, "scheduler", "ws07", "lab/told")
    for words in (
        "INFO node ws07 joined: 2 cpus",
        "INFO jane submitted lab/told: 2 jobs",
        "INFO lab/told/good succeeded on ws07 after",
        "INFO lab/told/broken started on ws07",
        "WARNING out of touch for",
        "WARNING node ws07 is lost: silent for",
        "WARNING node ws07 is back after",
        "INFO lab/told/broken failed on ws07 after",
        "INFO lab/told is over: 1 succeeded, 1 failed",
    ):
        assert len([line for line in head if line.startswith(words)]) == 1, (words, head)
    node = told(lab, "ws07", "")
    warned = [line for line in node if AS_ROOT in line]
    assert len(warned) == (os.geteuid() == 0), "once, at the start, and not each time the node joins"
    for words in ("joined as ws07", "lab/told/broken starts", "lab/told/broken failed after", "joined again"):
        assert len([line for line in node if line.partition(" ")[2].startswith(words)]) == 1, (words, node)


async def test_an_outage_of_the_head_makes_two_lines_in_each_log(lab: Lab) -> None:
    await lab.processes.broker.stop(kill=True)
    for service in ("scheduler", "archiver", "ws07"):
        await lab.logged(service, "doesn't answer since")
    await lab.processes.broker.start()
    for service in ("scheduler", "archiver", "ws07"):
        await lab.logged(service, "answers again after")
        gone, back = [line for line in told(lab, service, "WARNING", "ERROR") if AS_ROOT not in line]
        assert gone.startswith("WARNING the ")
        assert back.startswith("WARNING the ")
    assert "running jobs go on" in told(lab, "ws07", "doesn't answer")[0]


async def test_a_node_can_log_to_a_file(lab: Lab) -> None:
    person = Person(lab.folder)
    server = ["--server", lab.processes.server]
    client = await asyncio.to_thread(
        person.starts,
        "client",
        str(lab.folder / "own"),
        "--name",
        "ws08",
        "--log-file",
        "~/ws08.txt",
        *server,
    )
    try:
        await lab.event("joined", node="ws08")
        async with asyncio.timeout(PATIENCE_S):
            while "INFO joined as ws08" not in (lab.folder / "ws08.txt").read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        client.terminate()
        await asyncio.to_thread(client.communicate)
    assert client.returncode == 0
