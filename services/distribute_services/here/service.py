"""Runs one batch on this computer, by the services that run it in a lab."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from distribute.client.pull.earlier import make_room
from distribute.client.pull.note import Origin
from distribute.core.errors import Refused
from distribute.core.scheduling.liveness import Lease
from distribute.core.spec.specs import BatchSpec
from distribute.here import SUBMISSION, Asked
from distribute.memory.cluster import MemoryCluster
from distribute.memory.store import FileStore
from distribute.runtime import Stop
from distribute_services.archiver.service import ArchiverService
from distribute_services.here.batch import Batch
from distribute_services.here.folders import NODE, results_folder
from distribute_services.here.lacks import what_lacks
from distribute_services.here.programs import programs_among
from distribute_services.here.telling import Tell, TellingOutput, Warnings
from distribute_services.node_runner.host.computer import Computer
from distribute_services.node_runner.host.detect import default_node_name, detect
from distribute_services.node_runner.host.opening import Standby, open_computer
from distribute_services.node_runner.options import RESERVED_NAMES, Options
from distribute_services.node_runner.service import run_node
from distribute_services.scheduler.service import SchedulerService

UNSEEN_S = 5.0
"""If this process is killed, its keeper ends the jobs after so many seconds."""


async def run_here(asked: Asked, work: Path, tell: Tell, stop: Stop) -> None:
    """Run a batch, and bring its results to their folder.

    Args:
        asked: the batch.
        work: a folder for temporary files.
        tell: is told what happens.
        stop: ends its jobs.

    Raises:
        Refused: this computer lacks what the batch needs, or something is in the way of its results.
        InputError: a folder can't be used.
    """
    spec = BatchSpec.model_validate_json(asked.spec)
    node = _node(work / NODE, frozenset(asked.capabilities) | programs_among(spec.required_capabilities))
    lent = await detect(node.lends, node.capabilities)
    if lacks := what_lacks(spec, lent.capacity):
        raise Refused("\n".join(lacks))
    logging.getLogger().addHandler(Warnings(tell))
    folder, base = Path(asked.folder), (os.fsencode(asked.base),)
    with results_folder(folder / asked.base):
        await make_room(
            folder,
            base,
            Origin(*spec.id, SUBMISSION, time.time()),
            {os.fsencode(job.name) for job in spec.work.jobs},
            clean=asked.clean,
            all_jobs=not asked.is_part,
        )
        cluster = MemoryCluster(FileStore(work / "store", links=True))
        cluster.live = TellingOutput(time.time, tell)
        standby = Standby(node)
        async with standby, open_computer(node, standby, lent, cluster) as computer:
            await _served(cluster, node, computer, Batch(cluster, spec, asked, tell, stop).run(), stop)


def _node(work_dir: Path, capabilities: frozenset[str]) -> Options:
    """This computer as a node. It is its user who runs the jobs, so they need not step aside."""
    name = default_node_name()
    return Options(
        name=f"{name}-node" if name in RESERVED_NAMES else name,
        work_dir=work_dir,
        capabilities=capabilities,
        niceness=0,
        idle_io=False,
        max_unseen_s=UNSEEN_S,
    )


async def _served(
    cluster: MemoryCluster, options: Options, computer: Computer, work: Coroutine[Any, Any, None], stop: Stop
) -> None:
    """Do `work` while the services run. If `stop` is to be at once, the node ends its jobs, and then `work`
    is cancelled, too."""
    over, leave = Stop(), Stop()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(SchedulerService(cluster, Lease()).run(over), name="scheduler")
            group.create_task(ArchiverService(cluster).run(over), name="archiver")
            node = group.create_task(run_node(cluster, options, computer, leave), name="node-runner")
            working = asyncio.create_task(work, name="batch")
            hurrying = asyncio.create_task(_hurry(stop, leave, node, working), name="hurry")
            try:
                await asyncio.wait({working})
            finally:
                working.cancel()
                hurrying.cancel()
                await asyncio.wait({working, hurrying})
            leave.ask()
            await asyncio.wait({node})
            over.set()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed  # the first service that failed
    if not working.cancelled():
        working.result()


async def _hurry(stop: Stop, leave: Stop, node: asyncio.Task[None], working: asyncio.Task[None]) -> None:
    await stop.at_once.wait()
    leave.insist()
    await asyncio.wait({node})
    working.cancel()
