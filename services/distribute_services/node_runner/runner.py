"""The node-runner's process: `machine` between the event log and the hands that do the `work`.

The machine is called from the event loop alone, so nothing here needs a lock. What takes time is a
task of its own, and calls the machine when it is done.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any

import distribute
from distribute.config.units import format_size
from distribute.core import events as ev
from distribute.core.beats import Beat
from distribute.core.errors import Conflict, Refused
from distribute.core.ids import BatchId, NodeId
from distribute.core.specs import BatchSpec
from distribute.ports import Cluster
from distribute.runtime import Facts, Stop, new_id, supervise, unless_stopped
from distribute_services.node_runner import instructions as do
from distribute_services.node_runner import machine as m
from distribute_services.node_runner.batches import Batch, Batches
from distribute_services.node_runner.detect import Capacity, Sampler, detect
from distribute_services.node_runner.options import Options, OwnFolder
from distribute_services.node_runner.work import Work

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""How long the broker has to take a node's last words."""
AT_ONCE_S = 2.0
"""The same, where nobody wants to wait."""
_NAMED = 5
_WAITS = (
    "leaves once what has ended is stored and reported, however long that takes: %d jobs (%s); told again to"
    " end, it gives them back, and they run once more"
)
MAX_NAMED_RUNS = 1000


class NodeRunner:
    """One computer's part in the cluster."""

    def __init__(self, cluster: Cluster, options: Options, folder: OwnFolder, capacity: Capacity) -> None:
        self._cluster = cluster
        self._options = options
        self._capacity = capacity
        self._batches = Batches(cluster.log)
        self._full = asyncio.Event()
        """Set when this computer has no room for work."""
        self._idle = asyncio.Event()
        """Set when the node is leaving, and has no run any more."""
        self._over = asyncio.Event()
        self._work = Work(options, folder, cluster, capacity, on_full=self._full.set)
        self._facts = Facts(cluster.log)
        self._announcements: deque[ev.Event] = deque()
        self._appending: set[asyncio.Future[int]] = set()
        self._steps: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[None]] = set()
        """Of the steps, those that take as long as the broker takes to answer."""
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._machine = m.RunnerMachine(
            options.name,
            incarnation=f"{folder.identity}/{new_id()}",
            cpus=capacity.cpus,
            memory_bytes=capacity.memory_bytes,
            gpus=capacity.gpus,
            capabilities=capacity.capabilities,
            version=distribute.__version__,
            new_id=new_id,
            clock=time.time,
        )

    async def run(self, stop: Stop) -> None:
        """Join, work until `stop` is set or there is no room to, then end what runs, and leave."""
        start = await unless_stopped(stop, self._begin())
        if start is None:
            return
        log.info("joining as %s, with %s", self._options.name, _told(self._capacity))
        self._do(self._machine.join())
        try:
            await supervise(
                self._over,
                {
                    "events": self._follow(start),
                    "beats": self._beat(),
                    "sweeps": self._sweep(),
                    "failures": self._watch(),
                    "end": self._leave(stop),
                },
            )
        finally:
            # Where this runner fails, it ends its jobs: to say that they failed would be a lie.
            await self._end_all()
            await self._speak_out(AT_ONCE_S if stop.at_once.is_set() else PATIENCE_S)

    async def _begin(self) -> int:
        """Make a clean beginning; the sequence of the log's last event."""
        await self._work.clear()
        return await self._cluster.log.last_seq()

    async def _leave(self, stop: Stop) -> None:
        """Once that is wished, stop what has not ended; let what has ended be collected and reported, however
        long that takes; say goodbye. Meanwhile the node beats, and hears what is said to it."""
        await unless_stopped(stop, self._full.wait())
        self._do(self._machine.leave())
        if ended := self._machine.ended:
            log.warning(_WAITS, len(ended), ", ".join(str(run.job) for run in ended[:_NAMED]))
        await unless_stopped(stop.at_once, self._idle.wait())
        await self._end_all()
        self._do(self._machine.left())
        self._over.set()
        await asyncio.Event().wait()  # as all tasks: until it is ended

    async def _end_all(self) -> None:
        """End whatever goes on here, and remove what is left of it."""
        self._do(self._machine.abandon())
        await self._work.close()
        while self._steps:
            await asyncio.wait(self._steps)

    async def _speak_out(self, patience_s: float) -> None:
        """Wait until what was said is in the log, but not for ever."""
        words: set[asyncio.Future[Any]] = {*self._appending, *self._asking}
        if not words:
            return
        _, late = await asyncio.wait(words, timeout=patience_s)
        if late:
            log.warning("left without a word: the broker did not answer within %g s", patience_s)
        for asking in self._asking:
            asking.cancel()

    # --- what comes in -----------------------------------------------------------------------------

    async def _follow(self, after: int) -> None:
        wanted = m.wanted(self._options.name)
        async for records in self._cluster.log.follow(after=after, only=wanted):
            for recorded in records:
                self._do(self._machine.deliver(recorded))

    async def _beat(self) -> None:
        sampler = Sampler(self._options.work_dir, has_gpus=bool(self._capacity.gpus))
        while True:
            figures = await sampler.sample()
            running = sorted(str(job) for job in self._machine.runs)
            await self._cluster.beats.send(
                Beat(
                    node=self._options.name,
                    incarnation=self._machine.incarnation,
                    load=figures.load,
                    cpu_percent=figures.cpu_percent,
                    memory_available_bytes=figures.memory_available_bytes,
                    disk_free_bytes=figures.disk_free_bytes,
                    gpu_percent=figures.gpu_percent,
                    owner_idle_s=figures.owner_idle_s,
                    running=tuple(running[:MAX_NAMED_RUNS]),
                )
            )
            await asyncio.sleep(self._options.beat_s)

    async def _sweep(self) -> None:
        """Apart from the beats: what can't be killed is waited for longer than a node may be silent."""
        while True:
            await self._work.sweep()
            await asyncio.sleep(self._options.beat_s)

    async def _watch(self) -> None:
        await asyncio.shield(self._failed)  # it is looked at after this task was ended, too

    # --- what the machine wants done ---------------------------------------------------------------

    def _do(self, instructions: Iterable[do.Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case do.Report():
                    self._report(instruction)
                case do.Launch():
                    batch = self._batches[instruction.run.job.batch_id]
                    self._work.begin(instruction.run, self._step(self._launch(instruction.run, batch)))
                case do.Collect():
                    collecting = self._step(self._collect(instruction.run, instruction.ending))
                    self._work.begin(instruction.run, collecting)
                case do.Tidy():
                    self._step(self._work.tidy(instruction.run))
                case do.Stop():
                    self._step(self._stop(instruction.run))
                case do.Announce():
                    self._announcements.append(instruction.event)
                    if len(self._announcements) == 1:
                        self._ask(self._announce())
                case do.Load():
                    self._ask(self._load(instruction.batch))
                case do.Build():
                    building = self._step(self._build(self._batches[instruction.batch].spec))
                    self._work.begin_build(instruction.batch, building)
                case do.GiveWay():
                    self._fail(Refused(_two_of_a_name(self._options.name)))
                case do.Forget():
                    self._batches.forget(instruction.batch)
                    self._step(self._work.forget(instruction.batch))
        if self._machine.leaving and self._machine.idle:
            self._idle.set()

    def _step(self, step: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._begin_step(step, self._steps)

    def _ask(self, step: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._begin_step(step, self._asking)

    def _begin_step(
        self, step: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(step)
        among.add(task)
        task.add_done_callback(self._step_done)
        return task

    def _step_done(self, task: asyncio.Task[None]) -> None:
        self._steps.discard(task)
        self._asking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    def _report(self, report: do.Report) -> None:
        future = self._cluster.log.append(report.append.event, report.append.guard)
        self._appending.add(future)
        future.add_done_callback(partial(self._reported, report.run))

    def _reported(self, run: do.Run, future: asyncio.Future[int]) -> None:
        self._appending.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._do(self._machine.reported(run, future.result()))
        elif isinstance(error, Conflict):
            log.info("%s, attempt %d: given away meanwhile, stopped here", run.job, run.attempt)
            self._do(self._machine.fenced(run))
        else:
            self._fail(error)

    async def _announce(self) -> None:
        while self._announcements:
            await self._facts.append(self._announcements[0])
            self._announcements.popleft()

    # --- the steps of an attempt -------------------------------------------------------------------

    async def _load(self, batch: BatchId) -> None:
        try:
            spec = await self._batches.load(batch)
        except KeyError:
            self._do(self._machine.load_failed(batch, "the batch is not in the log any more"))
        else:
            self._do(self._machine.loaded(batch, spec.needs_build))

    async def _build(self, spec: BatchSpec) -> None:
        built = await self._work.build(spec)
        self._do(
            self._machine.built(
                spec.id,
                succeeded=built.ending.succeeded,
                reason=built.ending.reason,
                wall_s=built.ending.wall_s,
                outputs=built.outputs,
            )
        )

    async def _launch(self, run: do.Run, batch: Batch) -> None:
        ending = await self._work.run(run, batch, on_start=lambda: self._do(self._machine.launched(run)))
        self._do(self._machine.exited(run, ending))

    async def _collect(self, run: do.Run, ending: do.Ending) -> None:
        ending, outputs = await self._work.collect(run, ending)
        self._do(self._machine.collected(run, ending, outputs))

    async def _stop(self, run: do.Run) -> None:
        await self._work.stop(run)
        self._do(self._machine.stopped(run))


async def run_node(cluster: Cluster, options: Options, stop: Stop) -> None:
    """Be a node of the cluster until `stop` is set; not while there is no room for work on the disk.

    Raises:
        InputError: another runner works in the same folder.
        Refused: another runner, in another folder or on another computer, has this node's name.
    """
    with OwnFolder(options.work_dir) as folder:
        capacity = await detect(
            cpus=options.cpus,
            memory_bytes=options.memory_bytes,
            gpus=options.gpus,
            capabilities=options.capabilities,
        )
        while not stop.is_set():
            await _check_name_is_free(cluster, options.name, folder)
            await NodeRunner(cluster, options, folder, capacity).run(stop)


async def _check_name_is_free(cluster: Cluster, name: str, folder: OwnFolder) -> None:
    """Beats are kept for seconds only: one from elsewhere means that somebody else is this node now."""
    beat = await cluster.beats.last(name)
    if beat is None or beat.incarnation.startswith(f"{folder.identity}/"):
        return
    last = await cluster.log.last(NodeId(name))
    if last is None or not isinstance(last.event, ev.Left):
        raise Refused(_two_of_a_name(name))


def _told(has: Capacity) -> str:
    can = ", ".join(sorted(has.capabilities)) or "none"
    size = format_size(has.memory_bytes)
    return f"{has.cpus} cpus, {size} of memory, {len(has.gpus)} GPUs; capabilities: {can}"


def _two_of_a_name(name: str) -> str:
    return (
        f"another node-runner, on another computer or in another folder, is the node {name!r}: give one of"
        " them another --name; or, where that one was killed just now, try again in a quarter of a minute"
    )
