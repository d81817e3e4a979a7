"""A pause stops every process of a node's jobs, and ends, whoever dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from acceptance.lab import Lab, command_batch, open_lab

NODE = f"pause-{os.getpid()}"
"""No other node of this computer has this name: the pauses of these tests must not reach those of others."""

TREE = """
import os, signal, subprocess, sys, time

def tick(name):
    while True:
        with open(name, "a") as file:
            file.write(".")
        time.sleep(0.02)

def daemon(name):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.environ.clear()
            tick(name)
        os._exit(0)
    os.wait()

daemon("daemon")
for number in range(5):
    if os.fork() == 0:
        tick(f"child{number}")
if os.fork() == 0:
    while True:  # a busy forker
        if os.fork() == 0:
            open("forked", "a").write(".")
            os._exit(0)
        os.wait()
tick("parent")
"""
NAMES = ("daemon", "child0", "child4", "forked", "parent")


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(tmp_path / "lab", {NODE: ["--cpus", "4", "--max-pause-s", "600"]}) as lab:
        yield lab


async def runs_tree(lab: Lab) -> Path:
    """Have the node run the tree. Returns its folder once all of it runs."""
    (lab.folder / "tree.py").write_text(TREE)
    folder = lab.folder / "ticks"
    folder.mkdir()
    command = f"cd {folder} && exec {sys.executable} {lab.folder}/tree.py"
    await lab.add(command_batch("lab/tree", {"tree": command}))
    await until(lambda: all((folder / name).exists() for name in NAMES))
    await lab.event("started", batch="lab/tree")
    return folder


def sizes(folder: Path) -> dict[str, int]:
    """How often each process of the tree has ticked."""
    return {name: (folder / name).stat().st_size for name in NAMES}


async def is_still(folder: Path) -> bool:
    """Does no process of the tree tick for ten times as long as it takes to?"""
    before = sizes(folder)
    await asyncio.sleep(0.3)
    return sizes(folder) == before


async def until(there: Callable[[], bool], within_s: float = 120.0) -> None:
    """Poll until something is so: nothing announces it."""
    async with asyncio.timeout(within_s):
        while not there():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def goes_on(folder: Path, within_s: float = 120.0) -> None:
    """Wait until every process of the tree ticks again."""
    before = sizes(folder)
    await until(lambda: all(size > before[name] for name, size in sizes(folder).items()), within_s)


async def test_the_whole_tree_is_stopped_and_goes_on(lab: Lab) -> None:
    folder = await runs_tree(lab)
    said = await lab.distribute("pause", "--node", NODE, "--detach", "--json", "--reason", "a talk")
    (paused,) = said.document["paused"]
    assert (paused["node"], paused["by"], paused["reason"], paused["jobs"]) == (NODE, "jane", "a talk", 1)
    assert paused["processes"] >= len(NAMES) + 2
    assert await is_still(folder)
    event = (await lab.event("paused", node=NODE)).event
    assert (event.by, event.reason, [kept.job for kept in event.keeps]) == ("jane", "a talk", ["tree"])
    assert (await lab.jobs("lab/tree"))["tree"]["state"] == "paused"
    (node,) = (await lab.distribute("nodes", "--json")).document["nodes"]
    assert (node["state"], node["paused_by"], node["reason"]) == ("paused", "jane", "a talk")

    await lab.distribute("resume", "--node", NODE)
    await goes_on(folder)
    await lab.event("resumed", node=NODE)
    assert (await lab.jobs("lab/tree"))["tree"]["state"] == "running"
    await lab.distribute("kill", "lab/tree")
    await lab.over("lab/tree")


async def test_a_pause_from_elsewhere_goes_through_the_log(lab: Lab) -> None:
    said = await lab.distribute("pause", "--node", "nosuch", code=4)
    assert "there is no node 'nosuch'" in said.err
    folder = await runs_tree(lab)
    elsewhere = ("--node", NODE, "--server", lab.processes.server)
    said = await lab.distribute("pause", *elsewhere, "--detach", "--duration", "20m")
    assert said.out.startswith(f"{NODE} is paused for 10m, until ")
    assert "'max_pause' in its node.yaml" in said.err, "the pause is cut, and that is said"
    assert await is_still(folder)
    said = await lab.distribute("resume", *elsewhere)
    assert said.out == f"{NODE} lends again\n"
    await goes_on(folder)

    running = await lab.start("pause", *elsewhere, "--duration", "10m")
    await running.until("holds 1 job")
    assert await is_still(folder)
    running.interrupt()
    assert (await running.end()).splitlines()[-1] == f"{NODE} lends again"
    assert running.code == 0
    await goes_on(folder)
    await lab.distribute("kill", "lab/tree")
    await lab.over("lab/tree")


async def test_whoever_ends_the_countdown_ends_the_pause(lab: Lab) -> None:
    """By Ctrl-C, by closing the terminal, or otherwise."""
    folder = await runs_tree(lab)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        running = await lab.start("pause", "--node", NODE)
        await running.until("holds 1 job: ")
        assert await is_still(folder)
        running.send(number)
        assert (await running.end()).splitlines()[-1] == f"{NODE} lends again"
        assert running.code == 0
        await goes_on(folder)
    running = await lab.start("pause", "--node", NODE)
    await running.until("holds 1 job: ")
    await lab.distribute("pause", "--node", NODE, "--duration", "3s", "--detach")
    assert "another pause has replaced this one" in await running.end()
    await goes_on(folder)
    await lab.distribute("kill", "lab/tree")
    await lab.over("lab/tree")


async def test_an_interrupted_countdown_claims_no_end_of_a_pause_that_it_could_not_end(lab: Lab) -> None:
    running = await lab.start("pause", "--node", NODE, "--duration", "2m")
    await running.until("holds no job")
    lab.processes.end(NODE, signal.SIGKILL)  # so that nobody starts another keeper
    lab.processes.keeper_of(NODE).kill()
    running.interrupt()
    last = (await running.end()).splitlines()[-1]
    assert "can't be asked" in last
    assert "its pause ends by itself, by " in last
    assert running.code == 1
    before = await lab.cluster.log.last_seq()
    lab.processes.start(NODE)
    await lab.event("paused", node=NODE, after=before)
    await lab.distribute("resume", "--node", NODE)


async def test_a_pause_ends_by_itself_although_who_made_it_and_the_broker_are_gone(lab: Lab) -> None:
    folder = await runs_tree(lab)
    began = time.monotonic()
    running = await lab.start("pause", "--node", NODE, "--duration", "10s")
    await running.until("holds 1 job: ")
    running.send(signal.SIGKILL)
    await lab.processes.broker.stop(kill=True)
    assert await is_still(folder)
    await running.end()
    await goes_on(folder)
    assert time.monotonic() - began > 9.9
    said = await lab.distribute("pause", "--node", NODE, "--duration", "1h", "--detach")
    assert said.out.startswith(f"{NODE} is paused for 10m, until "), "the network is not needed"
    assert await is_still(folder)
    await lab.distribute("resume", "--node", NODE)
    await goes_on(folder)
    await lab.processes.broker.start()
    await lab.event("resumed", node=NODE)
    await lab.distribute("kill", "lab/tree")
    await lab.over("lab/tree")


async def test_time_paused_counts_against_no_timeout(lab: Lab) -> None:
    """The job ends after a pause that is longer than its timeout: whatever the command takes to begin it."""
    gate = lab.folder / "it may end"
    job = {"command": f"until test -e '{gate}'; do sleep 0.1; done", "timeout": "12s"}
    await lab.add(command_batch("lab/short", {"short": job}))
    started = await lab.event("started", batch="lab/short")
    await lab.distribute("pause", "--node", NODE, "--duration", "13s", "--detach")
    await lab.event("paused", node=NODE, after=started.seq)
    gate.touch()
    finished = (await lab.event("finished", batch="lab/short")).event
    assert finished.succeeded, finished
    assert finished.paused_s > 12
    assert finished.wall_s < 12


async def test_a_paused_job_can_be_killed(lab: Lab) -> None:
    await runs_tree(lab)
    await lab.distribute("pause", "--node", NODE, "--detach")
    await lab.distribute("kill", "lab/tree")
    assert (await lab.event("finished", batch="lab/tree")).event.reason == "killed by jane"
    await lab.node_is_idle(NODE)
    await lab.distribute("resume", "--node", NODE)
    await lab.over("lab/tree")


async def test_a_pause_outlives_the_runner_and_the_keeper_and_ends_all_the_same(lab: Lab) -> None:
    folder = await runs_tree(lab)
    began = time.monotonic()
    await lab.distribute("pause", "--node", NODE, "--duration", "20s", "--detach")
    paused = await lab.event("paused", node=NODE)
    lab.processes.end(NODE, signal.SIGKILL)
    assert await is_still(folder), "no node-runner is needed"
    said = await lab.distribute("pause", "--node", NODE, "--duration", "25s", "--detach", "--json")
    assert said.document["paused"][0]["jobs"] == 1
    lab.processes.start(NODE)
    again = await lab.event("paused", node=NODE, after=paused.seq)
    assert [kept.job for kept in again.event.keeps] == ["tree"], "the next runner takes the frozen job up"
    assert await is_still(folder)
    await goes_on(folder, within_s=120)
    assert time.monotonic() - began > 25
    await lab.event("resumed", node=NODE, after=again.seq)

    await lab.distribute("pause", "--node", NODE, "--detach")
    at = await lab.event("paused", node=NODE, after=again.seq)
    lab.processes.keeper_of(NODE).kill()
    await lab.event("paused", node=NODE, after=at.seq)
    await lab.node_is_idle(NODE)
    (node,) = (await lab.distribute("nodes", "--json")).document["nodes"]
    assert node["state"] == "paused", "the next keeper goes on with the pause"
    await lab.distribute("resume", "--node", NODE)
    await lab.distribute("kill", "lab/tree")
    await lab.over("lab/tree")
