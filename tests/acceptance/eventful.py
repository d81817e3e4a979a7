"""A cluster with a real history: three people, four nodes of three kinds, 10,000 jobs, and much trouble."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from acceptance.gpus import path_with_gpus
from acceptance.lab import PATIENCE_S, Json, Lab, command_batch, open_lab
from distribute.client.channels import ask_channels
from distribute.core.log.recorded import Recorded
from distribute.core.words import rfc3339

PID = os.getpid()
SMALL, LEFT, RIGHT, GPU = (f"{name}-{PID}" for name in ("small", "left", "right", "gpu"))
"""No other nodes of this computer have these names: one of them is paused."""

GIB = 1 << 30
NODES = {
    SMALL: ["--cpus", "4", "--memory-bytes", str(2 * GIB), "--gpus", "0"],
    LEFT: ["--cpus", "4", "--memory-bytes", str(8 * GIB), "--gpus", "0", "--capability", "compiler"],
    RIGHT: ["--cpus", "4", "--memory-bytes", str(8 * GIB), "--gpus", "0", "--capability", "compiler"],
    GPU: ["--cpus", "4", "--memory-bytes", str(8 * GIB), "--gpus", "1"],
}

JOBS = 10_000
HELD_AFTER = 500
STEP = 500
"""Also a very busy computer runs so many jobs while a test waits."""

LOST_S = 10.0
"""Nobody but the node whose power is cut is this long silent, also on a busy computer."""

BROKEN, FLAKY, TRAIN, LONG, DOOMED, SWEEP = (
    "bob/broken", "bob/flaky", "jane/train", "jane/long", "jane/doomed", "carol/sweep",
)  # fmt: skip

TELL = """#!/bin/sh
# Each message is a line.
tr -d '\\n' >> "$1" && echo >> "$1"
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the cluster answered between two events of the middle of its history."""

    seq: int
    time: str
    status: Json
    batches: dict[str, Json]
    nodes: Json
    why: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Eventful:
    """A lab after its history."""

    lab: Lab
    lost: str
    """The node whose power was cut. Before that, it had got the job that was moved away from `other`."""
    other: str
    then: Moment
    messages: list[Json]
    """What people were told, in order."""
    _said: dict[tuple[str, ...], str] = field(default_factory=dict)

    async def says(self, *arguments: str) -> str:
        """What a verb prints. Nothing happens any more, so each is asked once."""
        if arguments not in self._said:
            self._said[arguments] = (await self.lab.distribute(*arguments)).out
        return self._said[arguments]

    async def asked(self, *arguments: str) -> Any:
        """What a verb answers with `--json`."""
        return json.loads(await self.says(*arguments, "--json"))


@asynccontextmanager
async def open_eventful_lab(folder: Path) -> AsyncIterator[Eventful]:
    """Run a cluster through its history. All batches are over then, and all nodes are back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path_with_gpus(folder))
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        async with open_lab(folder / "lab", NODES, lost_s=LOST_S) as lab:
            await _start_notifier(lab)
            yield await _history(lab)


def _told(lab: Lab) -> Path:
    return lab.folder / "told"


async def _start_notifier(lab: Lab) -> None:
    program, settings = lab.folder / "tell", lab.folder / "notify.yaml"
    program.write_text(TELL)
    program.chmod(0o755)
    settings.write_text(json.dumps({"command": {"run": [str(program), str(_told(lab))]}}))
    lab.processes.add_notifier(settings)
    lab.processes.start("notifier")
    async with asyncio.timeout(PATIENCE_S):
        while not await ask_channels(lab.cluster):  # noqa: ASYNC110 - it can only be asked
            await asyncio.sleep(0.05)


async def _history(lab: Lab) -> Eventful:
    gate = lab.folder / "gate"
    await _bob_fails(lab)
    await _jane_trains(lab, gate)
    first, second = await _jane_moves(lab, gate)
    await _carol_sweeps(lab)
    await lab.processes.cut_power(second)
    await lab.distribute("hold", SWEEP, "--reason", "the mesh is wrong", by="carol")
    await lab.distribute("edit", SWEEP, "--timeout", "10m", by="carol")
    await _bob_kills(lab)
    await lab.distribute("drain", SMALL, "--reason", "new disk", by="bob")
    lost = await lab.event("lost", node=second)
    await _started(lab, LONG, attempt=3)
    then = await _moment(lab)
    lab.processes.start(second)
    await lab.event("joined", node=second, after=lost.seq)
    await lab.distribute("undrain", SMALL)
    await lab.distribute("resume", "--node", GPU, "--server", lab.processes.server, by="bob")
    await lab.event("resumed", node=GPU)
    await lab.distribute("release", SWEEP, by="carol")
    gate.touch()
    await _all_end(lab)
    messages = [json.loads(line) for line in _told(lab).read_text().splitlines()]
    return Eventful(lab, second, first, then, messages)


async def _bob_fails(lab: Lab) -> None:
    """Bob's batch can't be built on any node. A job of another one succeeds when he has it run again."""
    broken = command_batch(BROKEN, {"a": "true", "b": "true"}, capabilities=["compiler"])
    broken["command"]["initialize"] = {"build": "echo no such compiler: gfortran-99; exit 2"}
    await lab.add(broken, by="bob")
    await lab.over(BROKEN)
    await lab.add(command_batch(FLAKY, {"good": "true", "bad": "test $DISTRIBUTE_ATTEMPT = 2"}), by="bob")
    over = await lab.over(FLAKY)
    await lab.distribute("retry", FLAKY, "--failed", by="bob")
    await lab.over(FLAKY, after=over)


async def _jane_trains(lab: Lab, gate: Path) -> None:
    """One of jane's jobs has the GPU, and another one waits for it. Bob pauses the node meanwhile."""
    trains = {"a": _until(gate), "b": "true"}
    await lab.add(command_batch(TRAIN, trains, resources={"cpus": 1, "gpus": 1}))
    await _started(lab, TRAIN)
    for_a_talk = ("--duration", "1h", "--reason", "a talk", "--detach", "--server", lab.processes.server)
    await lab.distribute("pause", "--node", GPU, *for_a_talk, by="bob")
    await lab.event("paused", node=GPU)


async def _jane_moves(lab: Lab, gate: Path) -> tuple[str, str]:
    """Jane moves a job. Returns the node on which it began, and that on which it runs now."""
    await lab.add(
        command_batch(LONG, {"one": _until(gate)}, capabilities=["compiler"], priority=5, notify=["start"])
    )
    first = await _started(lab, LONG)
    await lab.distribute("move", f"{LONG}/one")
    second = await _started(lab, LONG, attempt=2)
    return first.event.node, second.event.node


async def _carol_sweeps(lab: Lab) -> None:
    """Carol submits 10,000 jobs. Some have run in the end."""
    named = ("--namespace", "carol", "--name", "sweep")
    array = ("--array", f"1-{JOBS}", "--cpus", "1", "--", "true", "{}")
    await lab.distribute("submit", *named, *array, by="carol")
    await lab.event("finished", batch=SWEEP, nth=HELD_AFTER)


async def _bob_kills(lab: Lab) -> None:
    """Bob kills a batch of jane's."""
    await lab.add(command_batch(DOOMED, {"a": "sleep 1000"}))
    await _started(lab, DOOMED)
    await lab.distribute("kill", "--force", DOOMED, by="bob")
    await lab.over(DOOMED)


async def _moment(lab: Lab) -> Moment:
    """Ask for everything. If something happens meanwhile, ask again."""
    while True:
        end = await lab.cluster.log.end()
        if (await lab.ask("digests"))["seq"] < end.seq:
            continue  # the scheduler has not read all of it
        batches = {batch: await _asked(lab, "status", batch) for batch in (SWEEP, LONG, DOOMED)}
        status, nodes = await _asked(lab, "status"), await _asked(lab, "nodes")
        why = {job: await _asked(lab, "why", job) for job in (f"{TRAIN}/b", f"{SWEEP}/{JOBS}")}
        if await lab.cluster.log.last_seq() == end.seq:
            return Moment(end.seq, rfc3339(end.time), status, batches, nodes, why)


async def _all_end(lab: Lab) -> None:
    """Wait until all batches are over, and people were told."""
    after = 0
    for _ in range(0, JOBS, STEP):
        after = (await lab.event("finished", batch=SWEEP, after=after, nth=STEP)).seq
    for batch in (TRAIN, LONG, SWEEP):
        over = await lab.event("completed", batch=batch)
        await lab.event("notified", batch=batch, after=over.seq)
        await lab.over(batch)


async def _started(lab: Lab, batch: str, attempt: int = 1) -> Recorded:
    return await lab.event("started", batch=batch, where=lambda event: event.attempt == attempt)


async def _asked(lab: Lab, *arguments: str) -> Json:
    return (await lab.distribute(*arguments, "--json")).document


def _until(gate: Path) -> str:
    """The command of a job that runs until somebody opens the gate."""
    return f"until [ -e {gate} ]; do sleep 0.1; done"
