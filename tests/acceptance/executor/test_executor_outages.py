"""Each call has its result exactly once, whatever happens to nodes and the broker meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import distribute
from acceptance.lab import Lab, open_lab
from acceptance.person import PATIENCE_S

NODES = ("left", "right")
AWAY_S = 8.0
"""Longer than the time limit of a single request."""


@asynccontextmanager
async def executor_at(lab: Lab, gate: Path) -> AsyncIterator[distribute.Executor]:
    """An executor in this process, shut down at the end, also if a test failed before it opened the gate."""
    pool = await asyncio.to_thread(
        distribute.Executor, server=lab.processes.server, name="calls", namespace="lab"
    )
    try:
        yield pool
    finally:
        gate.touch()  # else calls go on for ever, and it waits for them
        await asyncio.to_thread(pool.shutdown)


class Calls:
    """Calls that are under way, and how often each was done."""

    def __init__(
        self, pool: distribute.Executor, function: Callable[[int], int], numbers: Iterable[int]
    ) -> None:
        self._lock = threading.Lock()
        self._done: Counter[int] = Counter()
        self._futures = {number: pool.submit(function, number) for number in numbers}
        for number, future in self._futures.items():
            future.add_done_callback(lambda _, number=number: self._count(number))  # type: ignore[misc]

    def _count(self, number: int) -> None:
        with self._lock:
            self._done[number] += 1

    async def results(self) -> dict[int, int]:
        """The results, of which each came once."""
        found = {}
        for number, future in self._futures.items():
            found[number] = await asyncio.to_thread(future.result, PATIENCE_S)
        assert self._done == dict.fromkeys(self._futures, 1)
        return found


def waiting_for(gate: Path) -> Callable[[int], int]:
    def call(number: int) -> int:
        while not gate.exists():
            time.sleep(0.01)
        return number * number

    return call


async def test_calls_of_a_node_that_is_lost_are_done_elsewhere(tmp_path: Path) -> None:
    """It comes back with results of its own. Those are not used."""
    gate, numbers = tmp_path / "gate", range(6)
    nodes = {name: ["--cpus", "1"] for name in NODES}
    async with open_lab(tmp_path / "lab", nodes, lost_s=4.0) as lab, executor_at(lab, gate) as pool:
        calls = Calls(pool, waiting_for(gate), numbers)
        for name in NODES:
            await lab.event("started", node=name)
        stopped = lab.processes.pids["left"]
        os.kill(stopped, signal.SIGSTOP)
        try:
            lost = await lab.event("lost", node="left")
            gate.touch()
            assert await calls.results() == {number: number * number for number in numbers}
        finally:
            os.kill(stopped, signal.SIGCONT)
        await lab.event("joined", node="left", after=lost.seq)


async def test_calls_go_on_while_the_broker_is_away(tmp_path: Path) -> None:
    """They end, and their results come, once it is there again. More calls may be made."""
    gate, numbers = tmp_path / "gate", range(6)
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "2"]}) as lab, executor_at(lab, gate) as pool:
        calls = Calls(pool, waiting_for(gate), numbers)
        await lab.event("started", node="node")
        await lab.processes.broker.stop()
        gate.touch()
        await asyncio.sleep(AWAY_S)  # the test is about this outage
        late = Calls(pool, lambda number: -number, numbers)
        await lab.processes.broker.start()
        assert await calls.results() == {number: number * number for number in numbers}
        assert await late.results() == {number: -number for number in numbers}


async def test_calls_go_on_when_the_scheduler_is_killed(tmp_path: Path) -> None:
    gate, numbers = tmp_path / "gate", range(6)
    async with open_lab(tmp_path / "lab", {"node": ["--cpus", "2"]}) as lab, executor_at(lab, gate) as pool:
        calls = Calls(pool, waiting_for(gate), numbers)
        await lab.event("started", node="node")
        lab.processes.end("scheduler", signal.SIGKILL)
        gate.touch()
        lab.processes.start("scheduler")
        assert await calls.results() == {number: number * number for number in numbers}
