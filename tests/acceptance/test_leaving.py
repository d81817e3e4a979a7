"""Services that are asked to end, and nodes that are cut off: their jobs run elsewhere and count once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio

from acceptance.lab import PATIENCE_S, Lab, command_batch, open_lab
from distribute.core.folding.fold_job import MAX_DEATHS_AT_ONE_NODE, MAX_NODES_DOWN
from distribute.core.ids import AttemptId
from distribute.core.log import events as ev
from distribute_services.node_runner.keeper import procfs

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOST_S = 4.0
SECONDS = 60.0
"""Seconds that a service may take to end, on whatever machine."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    nodes = {name: ["--cpus", "1", "--grace-s", "1"] for name in ("one", "other")}
    async with open_lab(tmp_path_factory.mktemp("leaving") / "lab", nodes, lost_s=LOST_S) as lab:
        yield lab


class Gated:
    """A batch of one job, which prints its node and ends when the test opens its gate."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.name = name
        self.gate = lab.folder / f"gate of {name.partition('/')[2]}"
        self.seq = 0
        """All events of the batch lie behind this sequence."""

    async def runs_at(self) -> str:
        """Submit the batch. Returns the node on which the job runs."""
        self.seq = await self.lab.cluster.log.last_seq()
        job = f"echo $DISTRIBUTE_NODE; until test -e '{self.gate}'; do sleep 0.05; done"
        await self.lab.add(command_batch(self.name, {"job": job}))
        return (await self.started()).node

    async def started(self, after: int = 0) -> ev.Started:
        event = (await self.lab.event("started", batch=self.name, after=after)).event
        assert isinstance(event, ev.Started)
        return event

    async def ends_once_at(self, node: str) -> None:
        """Open the gate, and check that the job ends once, with one result."""
        self.gate.touch()
        await self.lab.over(self.name)
        [finished] = await self.lab.events("finished", batch=self.name)
        assert isinstance(finished, ev.Finished)
        assert (finished.node, finished.succeeded) == (node, True)
        assert len(await self.lab.events("job_archived", batch=self.name)) == 1
        folder, _ = await self.lab.pull(self.name)
        assert (folder / "job" / "stdout.txt").read_text() == f"{node}\n"


def another(node: str) -> str:
    return "other" if node == "one" else "one"


async def test_a_node_that_is_asked_to_end_gives_its_job_back(lab: Lab) -> None:
    batch = Gated(lab, "lab/given back")
    node = await batch.runs_at()
    assert lab.job_processes(node)
    began = time.monotonic()
    assert lab.processes.end(node, signal.SIGTERM) == 0
    assert time.monotonic() - began < SECONDS
    assert lab.job_processes(node) == []
    left = await lab.event("left", node=node, after=batch.seq)
    released = await lab.event("released", batch=batch.name)
    assert isinstance(released.event, ev.Released)
    assert released.event.reason == "node_left"
    again = await batch.started(after=released.seq)
    assert (again.node, again.attempt) == (another(node), 2)
    lab.processes.start(node)
    await lab.event("joined", node=node, after=left.seq)
    await batch.ends_once_at(another(node))


async def test_a_job_begins_elsewhere_while_it_takes_its_grace_at_a_node_that_leaves(lab: Lab) -> None:
    stays = lab.folder / "it stays"
    job = f"test $DISTRIBUTE_ATTEMPT -gt 1 || {{ trap '' TERM; touch '{stays}'; sleep 1000; sleep 1000; }}"
    seq = await lab.cluster.log.last_seq()
    await lab.add(command_batch("lab/graceful", {"job": {"command": job, "grace": "10m"}}))
    node = (await lab.event("started", batch="lab/graceful")).event.node
    async with asyncio.timeout(PATIENCE_S):
        while not stays.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    os.kill(lab.processes.pids[node], signal.SIGTERM)
    await lab.over("lab/graceful")
    [finished] = await lab.events("finished", batch="lab/graceful")
    assert isinstance(finished, ev.Finished)
    assert (finished.node, finished.succeeded) == (another(node), True)
    assert lab.job_processes(node), "it is still in its grace there"
    lab.processes.end(node, signal.SIGTERM)  # the second request, which waits for nothing
    left = await lab.event("left", node=node, after=seq)
    lab.processes.start(node)
    await lab.event("joined", node=node, after=left.seq)


@pytest.mark.parametrize("service", ["scheduler", "archiver"])
async def test_a_service_that_was_asked_to_end_continues_after_a_restart(lab: Lab, service: str) -> None:
    batch = Gated(lab, f"lab/without {service}")
    node = await batch.runs_at()
    began = time.monotonic()
    assert lab.processes.end(service, signal.SIGTERM) == 0
    assert time.monotonic() - began < SECONDS
    batch.gate.touch()
    await lab.event("finished", batch=batch.name)
    lab.processes.start(service)
    await batch.ends_once_at(node)


async def test_a_node_that_hangs_loses_its_job_and_is_fenced(lab: Lab) -> None:
    batch = Gated(lab, "lab/cut off")
    node = await batch.runs_at()
    with standing_still(lab, node):
        lost = await lab.event("lost", node=node, after=batch.seq)
        released = await lab.event("released", batch=batch.name, after=lost.seq)
        assert isinstance(released.event, ev.Released)
        assert released.event.reason == "node_lost"
        again = await batch.started(after=released.seq)
        assert (again.node, again.attempt) == (another(node), 2)
        assert lab.job_processes(node), "they run on: nobody is there to end them"
    await lab.node_is_idle(node)
    await lab.event("joined", node=node, after=lost.seq)
    await batch.ends_once_at(another(node))


async def test_a_job_that_no_other_node_can_take_goes_on_when_its_node_returns(lab: Lab) -> None:
    """The node was lost for longer than the scheduler's patience, and still has its job."""
    batch, beside = Gated(lab, "lab/goes on"), Gated(lab, "lab/beside it")
    node = await batch.runs_at()
    assert await beside.runs_at() == another(node), "so that no other node is free"
    with standing_still(lab, node):
        lost = await lab.event("lost", node=node, after=batch.seq)
        await asyncio.sleep(LOST_S)  # the test is that nothing happens meanwhile
    joined = (await lab.event("joined", node=node, after=lost.seq)).event
    assert isinstance(joined, ev.Joined)
    assert joined.keeps == (AttemptId("lab", "goes on", "job", 1),)
    await batch.ends_once_at(node)
    assert await lab.events("released", batch=batch.name) == []
    await beside.ends_once_at(another(node))


async def test_a_result_of_a_node_that_lost_its_job_does_not_count(lab: Lab) -> None:
    """Its job ends while the node hangs, so it is over before the node hears that the job was released."""
    batch = Gated(lab, "lab/too late")
    node = await batch.runs_at()
    with standing_still(lab, node):
        lost = await lab.event("lost", node=node, after=batch.seq)
        again = await batch.started(after=lost.seq)
        assert again.node == another(node)
        late = lab.job_processes(node)
        with standing_still(lab, another(node)):
            batch.gate.touch()
            await ended(late)
    await lab.event("joined", node=node, after=lost.seq)
    await batch.ends_once_at(another(node))


@contextmanager
def standing_still(lab: Lab, node: str) -> Iterator[None]:
    """Stop the node-runner's process, as on a suspended computer. Its jobs go on."""
    pid = lab.processes.pids[node]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def ended(pids: list[int]) -> None:
    """Poll until these processes have ended. They stay zombies while their parent is stopped."""
    async with asyncio.timeout(SECONDS):
        for pid in pids:
            while (stat := procfs.stat(pid)) is not None and stat.alive:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_job_that_takes_its_nodes_down_fails_after_a_few_attempts(lab: Lab) -> None:
    """Here it kills the keeper, which holds it. No process lives on, and the node joins anew by itself."""
    gate = lab.folder / "gate to attempt"
    job = f"until test -e '{gate} '$DISTRIBUTE_ATTEMPT; do sleep 0.05; done; kill -9 $PPID; sleep 1000"
    seq = await lab.cluster.log.last_seq()
    await lab.add(command_batch("lab/deadly", {"job": job}))
    down: list[str] = []
    while len(set(down)) < MAX_NODES_DOWN and len(down) < MAX_DEATHS_AT_ONE_NODE:
        started = await lab.event("started", batch="lab/deadly", after=seq)
        assert isinstance(started.event, ev.Started)
        assert started.event.attempt == len(down) + 1
        node, seq = started.event.node, started.seq
        down.append(node)
        gate.with_name(f"{gate.name} {len(down)}").touch()
        await lab.event("joined", node=node, after=seq)
        await lab.logged(node, "the keeper ended")
    await lab.over("lab/deadly")
    for node in set(down):
        await lab.node_is_idle(node)
    view = (await lab.jobs("lab/deadly"))["job"]
    assert (view["state"], view["attempt"]) == ("failed", len(down))
    assert "went down" in view["reason"]


async def test_all_services_end_on_request_without_a_broker(lab: Lab) -> None:
    """They go on when the broker is back."""
    batch = Gated(lab, "lab/no broker")
    node = await batch.runs_at()
    names = [name for name in lab.processes.pids if name != "broker"]
    await lab.processes.broker.stop(kill=True)
    codes = await asyncio.gather(
        *(asyncio.to_thread(lab.processes.end, name, signal.SIGTERM) for name in names)
    )
    assert codes == [0] * len(names)
    assert lab.job_processes(node) == []
    await lab.processes.broker.start()
    after = await lab.cluster.log.last_seq()
    for name in names:
        lab.processes.start(name)
    again = await batch.started(after=after)
    await batch.ends_once_at(again.node)


async def test_a_node_beats_while_it_ends_a_process_that_resists(lab: Lab) -> None:
    """Here it has ten minutes of grace. One that hangs in a broken disk resists for half a minute."""
    asked, pid = lab.folder / "asked to end", lab.folder / "pid of the one that resists"
    resists = (
        f"trap 'touch \"{asked}\"' TERM; echo $$ > '{pid}.part'; mv '{pid}.part' '{pid}'; "
        "while :; do sleep 0.05; done"
    )
    await lab.add(command_batch("lab/resists", {"job": resists}, grace="10m"))
    started = (await lab.event("started", batch="lab/resists")).event
    assert isinstance(started, ev.Started)
    async with asyncio.timeout(PATIENCE_S):
        while not pid.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await lab.distribute("kill", "lab/resists")
    async with asyncio.timeout(PATIENCE_S):
        while not asked.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        seen = 0
        async for beat in lab.cluster.beats.follow():
            seen += beat.node == started.node
            if seen == 2:  # the first was sent before
                break
    os.kill(int(pid.read_text()), signal.SIGKILL)  # it is still there
    await lab.event("completed", batch="lab/resists")
