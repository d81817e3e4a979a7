"""A cluster of real processes to measure, and batches for it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
from tests.acceptance.processes import Processes

from distribute.core.log import events as ev
from distribute.core.log.recorded import Guard, Recorded
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, Resources
from distribute.nats.cluster import Cluster, open_cluster
from distribute.ports import Only
from distribute.runtime import new_id

NODE = "node"
KEEPER = "keeper"


@asynccontextmanager
async def running_lab(cpus: int) -> AsyncIterator[tuple[Processes, Cluster]]:
    """Run a broker that syncs each event, a scheduler, an archiver, and a node-runner that has joined."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Processes(Path(folder), {NODE: ["--cpus", str(cpus)]}, lost_s=60.0) as processes,
            open_cluster(processes.broker.address, "benchmark") as cluster,
        ):
            await event_of(cluster, "joined", after=0)
            yield processes, cluster


async def submit(
    cluster: Cluster, name: str, commands: Sequence[tuple[str, ...]], build: str | None = None
) -> int:
    """Submit a batch of one-cpu commands. Returns the sequence of its submission."""
    jobs = tuple(CommandJob(name=f"j{number}", command=command) for number, command in enumerate(commands))
    work = CommandWork(jobs=jobs, build=build)
    spec = BatchSpec(namespace="bench", batch=name, resources=Resources(cpus=1), work=work)
    now = datetime.now(UTC)
    event = ev.Submitted(id=new_id(), time=now, author="me", **spec.id._asdict(), user="me", spec=spec)
    return await cluster.log.append(event, Guard(0))


async def event_of(cluster: Cluster, event_type: str, *, after: int) -> Recorded:
    """Wait for the first event of a type behind a sequence, and return it."""
    async for records in cluster.log.follow(after=after, only=Only(types=frozenset({event_type}))):
        return records[0]
    raise AssertionError("following ended by itself")


def pids_of(processes: Processes) -> dict[str, int]:
    """The pids of all processes of the cluster, by name. The node's jobs are below its keeper."""
    return processes.pids | {KEEPER: processes.keeper_of(NODE).pid}


def cpu_s(pid: int) -> float:
    """The processor time of a process, including the children that it waited for."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)
