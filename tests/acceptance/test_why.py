"""`why` says what a job waits for, and where the time of its life went."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acceptance.lab import Lab, command_batch, open_lab
from acceptance.told import obstacles, phases, why

ONE, TWO = f"one-{os.getpid()}", f"two-{os.getpid()}"
"""Tests pause them, and no other node of this computer has these names."""


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    nodes = {ONE: ["--cpus", "1"], TWO: ["--cpus", "1"]}
    async with open_lab(tmp_path / "lab", nodes) as lab:
        yield lab


async def occupy(lab: Lab, batch: str, jobs: int) -> Path:
    """Run jobs, one on each node, that end when the file is there whose path this returns."""
    go = lab.folder / f"go-{batch.rpartition('/')[2]}"
    wait = f"until [ -e {go} ]; do sleep 0.05; done"
    await lab.add(command_batch(batch, {f"job{number}": wait for number in range(jobs)}))
    for number in range(jobs):
        await lab.event("started", batch=batch, where=lambda event, name=f"job{number}": event.job == name)
    return go


async def test_what_a_job_waits_for_and_where_its_time_went(lab: Lab) -> None:
    await lab.add(command_batch("lab/odd", {"a": "true"}, capabilities=["quantum"]), "--anyway")
    found = await why(lab, "lab/odd/a")
    assert (found["waits_for"], phases(found)) == ("node", {"node"})
    assert obstacles(found) == {ONE: "capabilities", TWO: "capabilities"}
    said = await lab.distribute("why", "lab/odd/a")
    assert "lacks capabilities: quantum" in said.out
    assert "waited for a node" in said.out

    go = await occupy(lab, "lab/long", 2)
    await lab.add(command_batch("lab/mine", {"b": "true"}))
    found = await why(lab, "lab/mine/b")
    assert (found["waits_for"], obstacles(found)) == ("turn", {ONE: "busy", TWO: "busy"})

    await lab.add(command_batch("lab/urgent", {"x": "true", "y": "true"}, priority=5), by="bob")
    found = await why(lab, "lab/mine/b")
    (first,) = found["queue"]["ahead"]
    assert (found["queue"]["place"], first["jobs"], first["user"], first["why"]) == (3, 2, "bob", "priority")
    assert found["start"] is None, "no job of bob's has run yet"
    said = await lab.distribute("why", "lab/mine/b")
    assert "bob   its priority is 5, and that of this one 0" in said.out
    said = await lab.distribute("status", "lab/mine")
    assert "waits for its turn" in said.out
    await lab.distribute("kill", "lab/urgent", "--force")
    found = await why(lab, "lab/mine/b")
    assert (found["queue"]["place"], found["start"]["ended"]) == (1, 0)
    assert found["start"]["earliest"] < found["start"]["likely"] < found["start"]["latest"]

    await lab.distribute("pause", "--node", ONE, "--detach", "--reason", "a talk")
    await lab.distribute("pause", "--node", TWO, "--detach", "--reason", "a talk")
    for node in (ONE, TWO):
        await lab.event("paused", node=node)
    found = await why(lab, "lab/mine/b")
    assert (found["waits_for"], obstacles(found)) == ("owner", {ONE: "paused", TWO: "paused"})
    assert "a talk" in found["nodes"][0]["text"]
    assert (await why(lab, "lab/long/job0"))["ledger"]["entries"][-1]["phase"] == "paused"

    await lab.distribute("resume", "--node", ONE)
    await lab.distribute("resume", "--node", TWO)
    go.touch()
    await lab.over("lab/mine")
    await lab.over("lab/long")
    found = await why(lab, "lab/mine/b")
    assert (found["waits_for"], found["nodes"], found["ledger"]["over"]) == (None, [], True)
    assert phases(found) >= {"turn", "owner", "staging", "running"}
    assert phases(await why(lab, "lab/long/job0")) >= {"turn", "staging", "running", "paused"}
    await lab.distribute("kill", "lab/odd")
    await lab.over("lab/odd")
    assert phases(await why(lab, "lab/odd/a")) == {"node"}


async def test_a_failed_build_and_a_lost_attempt_are_told(lab: Lab) -> None:
    go = await occupy(lab, "lab/long", 1)
    (busy,) = [event.node for event in await lab.events("started", batch="lab/long")]
    free = TWO if busy == ONE else ONE
    built = command_batch("lab/built", {"c": "true"})
    built["command"]["initialize"] = {"build": "exit 3"}
    await lab.add(built)
    await lab.event("released", batch="lab/built")
    found = await why(lab, "lab/built/c")
    assert obstacles(found) == {busy: "busy", free: "build_failed"}
    assert phases(found) >= {"lost", "turn"}

    again = await occupy(lab, "lab/again", 1)
    lab.processes.keeper_of(free).kill()
    await lab.event("released", batch="lab/again")
    again.touch()
    go.touch()
    await lab.over("lab/again")
    found = await why(lab, "lab/again/job0")
    assert "lost" in phases(found)
    assert [entry["node"] for entry in found["ledger"]["entries"] if entry["phase"] == "lost"] == [free]
    await lab.over("lab/built")


async def test_an_unknown_job_and_a_deleted_batch_are_refused(lab: Lab) -> None:
    await lab.add(command_batch("lab/gone", {"a": "true"}))
    await lab.over("lab/gone")
    said = await lab.distribute("why", "lab/gone/b", code=4)
    assert "lab/gone has no job 'b'; did you mean 'a'?" in said.err or "has no job 'b'" in said.err
    said = await lab.distribute("why", "lab/gone", code=2)
    assert "names a batch; a job of it is" in said.err
    await lab.distribute("delete", "lab/gone", "--yes")
    said = await lab.distribute("why", "lab/gone/a", code=4)
    assert "there is no batch lab/gone any more: jane deleted it at 2" in said.err
