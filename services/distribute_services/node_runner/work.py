"""The hands of the node-runner: builds, runs, collects and stops what the machine says.

Each attempt has a workspace, a process tree and, at any time, one task that is at work on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from distribute.core.errors import DistributeError
from distribute.core.ids import BatchId
from distribute.core.manifest import Outputs
from distribute.core.specs import BatchSpec, Job
from distribute.ports import Cluster
from distribute.runtime import new_id
from distribute_services.node_runner import procfs
from distribute_services.node_runner.batches import Batch
from distribute_services.node_runner.cache import InputCache
from distribute_services.node_runner.detect import Capacity
from distribute_services.node_runner.instructions import Ending, Run
from distribute_services.node_runner.invocation import (
    Share,
    base_environment,
    build_argv,
    build_environment,
    job_argv,
    job_environment,
)
from distribute_services.node_runner.launch import CannotStart, Exit
from distribute_services.node_runner.options import Options, OwnFolder
from distribute_services.node_runner.outputs import collect, collect_build
from distribute_services.node_runner.room import Room
from distribute_services.node_runner.tail import Tail
from distribute_services.node_runner.tree import Tree, Trees, kill_leftovers
from distribute_services.node_runner.workspace import Workspace, Workspaces

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Going:
    """An attempt at work: the task that is at it, and what there is of it so far."""

    task: asyncio.Task[None]
    workspace: Workspace | None = None
    tree: Tree | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """How a build ended, and its output."""

    ending: Ending
    outputs: Outputs | None


class Work:
    """All builds and attempts of this node."""

    def __init__(
        self,
        options: Options,
        folder: OwnFolder,
        cluster: Cluster,
        capacity: Capacity,
        on_full: Callable[[], None],
    ) -> None:
        """`on_full` is called where this computer's disk has no room for any work."""
        self._options = options
        self._identity = folder.identity
        self._store = cluster.store
        self._node_has_gpus = bool(capacity.gpus)
        self._cpus = capacity.cpus
        self._cache = InputCache(folder.path / "cache", cluster.store, options.cache_bytes)
        self._workspaces = Workspaces(folder.path / "work", self._cache)
        self._room = Room(folder.path / "work", self._cache, is_busy=self._is_busy, on_full=on_full)
        self._trees = Trees(options.niceness)
        self._tail = Tail(cluster.live)
        self._base = base_environment()
        # What copies and removes folders is marked, too: should this runner be killed, the next one ends it.
        os.environ[procfs.MARKER] = f"{self._identity}/"
        self._going: dict[Run, _Going] = {}
        self._built: dict[BatchId, Workspace] = {}
        self._building: dict[BatchId, asyncio.Task[None]] = {}

    async def clear(self) -> None:
        """End what an earlier runner of this folder left running, and remove what it left lying.

        Then wait until there is room for work.
        """
        await kill_leftovers(lambda marker: marker.startswith(f"{self._identity}/"))
        await self._workspaces.clear()
        await self._room.enough()

    def _is_busy(self) -> bool:
        return any(going.workspace is not None for going in self._going.values())

    async def close(self) -> None:
        """Stop every attempt and remove every workspace."""
        await asyncio.gather(*(self.stop(run) for run in list(self._going)))
        await asyncio.gather(*(self.forget(batch) for batch in {*self._built, *self._building}))
        await self._tail.close()

    # --- builds ------------------------------------------------------------------------------------

    def begin_build(self, batch: BatchId, task: asyncio.Task[None]) -> None:
        """`task`, not started yet, builds the batch: `forget` has to end it."""
        self._building[batch] = task

    async def build(self, spec: BatchSpec) -> Built:
        """Build a batch, for all its jobs here."""
        argv = build_argv(spec)
        assert argv is not None, "only a batch with a build is built"
        try:
            workspace = await self._room.give(lambda: self._workspaces.for_build(spec))
        except (DistributeError, OSError) as error:
            return Built(Ending(succeeded=False, reason=str(error)), None)
        self._built[spec.id] = workspace
        tree = self._trees.start(
            f"{self._identity}/{spec.id}//{new_id()}",  # a namesake's build may still be ending
            argv,
            cwd=workspace.folder,
            env=build_environment(self._base, spec, self._options.name, workspace, self._cpus),
            stdout=workspace.stdout,
        )
        if isinstance(tree, CannotStart):
            return Built(Ending(succeeded=False, reason=tree.reason), None)
        try:
            ending = _ending(await self._trees.wait(tree))
        except asyncio.CancelledError:
            await self._trees.kill(tree, self._options.grace_s)
            await self._trees.wait(tree)
            raise
        if ending.exit_code:  # an event of a build has no field for it
            ending = replace(ending, reason=f"exit code {ending.exit_code}")
        return Built(ending, await self._collect_build(spec, workspace))

    async def _collect_build(self, spec: BatchSpec, workspace: Workspace) -> Outputs | None:
        """Upload a build's output. Where that fails, what was built is none the worse for it."""
        name = f"{spec.batch}_build_output-{self._options.name}.txt"
        prefix = f"{spec.namespace}/{spec.batch}//{self._options.name}"
        try:
            return await collect_build(workspace.stdout, name, self._store, prefix, self._options.name)
        except (DistributeError, OSError) as error:
            log.warning("%s: the output of its build could not be archived: %s", spec.id, error)
            return None

    async def forget(self, batch: BatchId) -> None:
        """End a batch's build, if it is still under way, and remove what was built."""
        building = self._building.pop(batch, None)
        workspace = self._built.pop(batch, None)
        if building is not None:
            building.cancel()
            await asyncio.wait({building})
        if workspace is not None:
            with self._room.freeing():
                await self._workspaces.remove(workspace)

    # --- attempts ----------------------------------------------------------------------------------

    def begin(self, run: Run, task: asyncio.Task[None]) -> None:
        """`task`, not started yet, is at work on the attempt from now on: `stop` has to end it."""
        if run in self._going:
            self._going[run].task = task
        else:
            self._going[run] = _Going(task)

    async def run(self, run: Run, batch: Batch, on_start: Callable[[], None]) -> Ending:
        """Run an attempt to its end; `on_start` is called once its process runs."""
        if run.job.job not in batch.jobs:
            # It was assigned when its batch had just been deleted; by now another batch has the name.
            return Ending(succeeded=False, reason="the batch of this name has no such job any more")
        going = self._going[run]
        spec, job = batch.spec, batch.jobs[run.job.job]
        images = [spec.work.image] if spec.work.kind == "apptainer" else []
        try:
            # The lease keeps an image that runs from being evicted.
            async with self._cache.lease(images) as cached:
                built = self._built.get(spec.id)
                going.workspace = await self._room.give(lambda: self._workspaces.for_job(spec, job, built))
                image = cached[images[0].sha256] if images else None
                return await self._run_in(going, going.workspace, run, batch, image, on_start)
        except (DistributeError, OSError) as error:
            return Ending(succeeded=False, reason=str(error))

    async def _run_in(
        self,
        going: _Going,
        workspace: Workspace,
        run: Run,
        batch: Batch,
        image: Path | None,
        on_start: Callable[[], None],
    ) -> Ending:
        spec, job = batch.spec, batch.jobs[run.job.job]
        share = Share(run.cpus, run.memory_bytes, run.gpus)
        self._tail.add(run.job, run.attempt, workspace.stdout)
        tree = self._trees.start(
            f"{self._identity}/{run.job}/{run.attempt}",
            job_argv(spec, job, workspace, share, image),
            cwd=workspace.folder,
            env=job_environment(
                self._base,
                spec,
                job,
                attempt=run.attempt,
                node=self._options.name,
                workspace=workspace,
                share=share,
                node_has_gpus=self._node_has_gpus,
            ),
            stdout=workspace.stdout,
        )
        if isinstance(tree, CannotStart):
            ending = Ending(succeeded=False, reason=tree.reason)
        else:
            going.tree = tree
            on_start()
            ending = await self._end_of(tree, _timeout_s(spec, job))
            going.tree = None
        await self._tail.finish(run.job, run.attempt)
        return ending

    async def _end_of(self, tree: Tree, timeout_s: float | None) -> Ending:
        if timeout_s is None:
            return _ending(await self._trees.wait(tree))
        ended = asyncio.create_task(self._trees.wait(tree))
        done, _ = await asyncio.wait({ended}, timeout=timeout_s)
        if done:
            return _ending(ended.result())
        await self._trees.kill(tree, self._options.grace_s)
        return _ending(await ended, f"ran for longer than its timeout of {timeout_s:g} s")

    async def sweep(self) -> None:
        """Reap what long jobs left, and end what escaped. To be called now and then."""
        await self._trees.sweep()

    async def collect(self, run: Run, ending: Ending) -> tuple[Ending, Outputs | None]:
        """Upload what the attempt left. Where that fails, so did the attempt, and its ending says so."""
        workspace = self._going[run].workspace
        if workspace is None:
            return ending, None
        prefix = f"{run.job}/{run.attempt}"
        try:
            outputs = await collect(workspace.save, workspace.stdout, self._store, prefix, self._options.name)
        except (DistributeError, OSError) as error:
            log.warning("%s: %s", run.job, error)
            reason = f"what it left could not be archived: {error}"
            return replace(ending, succeeded=False, reason=reason), None
        return ending, outputs

    async def tidy(self, run: Run) -> None:
        """Remove an attempt's workspace."""
        going = self._going.pop(run, None)
        if going is not None and going.workspace is not None:
            with self._room.freeing():
                await self._workspaces.remove(going.workspace)

    async def stop(self, run: Run) -> None:
        """End an attempt wherever it is, and remove its workspace."""
        going = self._going.get(run)
        if going is None:
            return
        if going.tree is not None:
            await self._trees.kill(going.tree, self._options.grace_s)
        else:
            going.task.cancel()
        await asyncio.wait({going.task})
        await self.tidy(run)


def _timeout_s(spec: BatchSpec, job: Job) -> float | None:
    return job.timeout_s if job.timeout_s is not None else spec.timeout_s


def _ending(ended: Exit, reason: str | None = None) -> Ending:
    """How an attempt ended, by how its process did. `reason`: it was ended for this."""
    if reason is None and ended.signal is not None:
        reason = f"ended by {_signal_name(ended.signal)}"
    return Ending(
        succeeded=ended.exit_code == 0 and reason is None,
        exit_code=ended.exit_code,
        signal=ended.signal,
        reason=reason,
        wall_s=ended.wall_s,
        cpu_s=ended.cpu_s,
        max_rss_bytes=ended.max_rss_bytes,
    )


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"  # a real-time signal
