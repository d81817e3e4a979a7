"""A modelled computer and a cluster in memory, for the real node-runner service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distribute.core.errors import DistributeError
from distribute.core.files.manifest import Outputs
from distribute.core.ids import AttemptId, JobId
from distribute.core.log.beats import Beat
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, Recorded, guard_scope
from distribute.core.spec.specs import BatchSpec
from distribute.host import (
    Capacity,
    EndedFor,
    Exit,
    Figures,
    FoundBuild,
    Kept,
    Pause,
    Presence,
    SetAside,
    Unit,
)
from distribute.memory.log import ALL, MemoryLog
from distribute.memory.queries import MemoryQueries
from distribute.ports import Delivery, Only
from distribute.runtime import Stop
from distribute.testing import builders as make
from distribute_services.node_runner.options import Options
from distribute_services.node_runner.service import NodeRunner

WITHIN_S = 60.0


@dataclass(eq=False)
class Running:
    """A modelled process."""

    unit: Unit
    ended: asyncio.Future[Exit]
    started_at: float = field(default_factory=time.time)
    is_ending: bool = False
    is_thawed: bool = False
    ended_for: EndedFor | None = None

    def exit(self, exit_code: int | None, signal: int | None) -> Exit:
        """How it ends now."""
        times = self.started_at, time.time()
        return Exit(exit_code, signal, 1.0, 0, 1.0, *times, ended_for=self.ended_for)


class ModelHost:
    """A computer without processes: jobs end when the test says so. `breaks` names the steps that fail."""

    identity = "folder"
    boot_id = "boot"
    capacity = Capacity(4, 8 << 30, (), frozenset())

    @property
    def visits(self) -> Any:
        """Nobody looks into its jobs."""
        return None

    def __init__(self) -> None:
        self.breaks: dict[str, Exception] = {}
        self.running: dict[str, Running] = {}
        self.places: set[str] = set()
        self.collected: list[str] = []
        self.disowned: list[str] = []
        self.aside: list[AttemptId] = []
        """The attempts whose results were set aside."""
        self.left: list[Kept[str, Running]] = []
        """What an earlier runner has left."""
        self.builds: dict[str, FoundBuild[str]] = {}
        """What `find_build` finds, by what decides how a build turns out."""
        self.kept_builds: list[str] = []
        self.is_full = asyncio.Event()
        self.is_broken = asyncio.Event()
        self.used_by = Presence()
        self.paused: Pause | None = None
        self._pause_changed = asyncio.Event()

    def _step(self, name: str, unit: Unit | None = None) -> None:
        """Raise an error if the test breaks this step of this unit."""
        error = self.breaks.get(name)
        if error is not None and (unit is None or "broken" in str(unit.of)):
            raise error

    def end(self, job: str, exit_code: int = 0) -> None:
        """End the process of a job."""
        running = self.running[job]
        running.ended.set_result(running.exit(exit_code, None))

    async def kept(self) -> Sequence[Kept[str, Running]]:
        return self.left

    async def clear(self) -> None:
        self.is_full.clear()
        self.is_broken.clear()

    async def full(self) -> None:
        await self.is_full.wait()

    def change_pause(self, pause: Pause | None) -> None:
        """Pause or resume, as somebody at the computer does."""
        self.paused = pause
        changed, self._pause_changed = self._pause_changed, asyncio.Event()
        changed.set()

    async def pause(self, duration_s: float, *, by: str | None, reason: str) -> None:
        self._step("pause")
        self.change_pause(Pause(time.time() + duration_s, by, reason))

    async def resume(self) -> None:
        self.change_pause(None)

    async def pause_changed(self, known: Pause | None) -> None:
        while self.paused == known:
            await self._pause_changed.wait()

    async def stage(self, unit: Unit, built: str | None) -> str:
        self._step("stage", unit)
        await asyncio.sleep(0)
        place = str(unit.of)
        self.places.add(place)
        return place

    async def find_build(self, unit: Unit) -> FoundBuild[str] | None:
        self._step("find_build", unit)
        return self.builds.get(unit.recipe.identity())

    async def keep_build(self, unit: Unit, place: str) -> None:
        self.kept_builds.append(place)

    def start(self, unit: Unit, place: str) -> Running:
        self._step("start", unit)
        running = Running(unit, asyncio.get_running_loop().create_future())
        self.running[unit.of.job if isinstance(unit.of, JobId) else "build"] = running
        return running

    async def wait(self, running: Running) -> Exit:
        limit_s = running.unit.recipe.timeout_s
        done, _ = await asyncio.wait({running.ended}, timeout=limit_s)
        if not done and not running.is_ending:
            running.ended_for = "timeout"
            await self.grace()
            await self.kill(running)
        ended = await asyncio.shield(running.ended)
        self._step("wait", running.unit)
        return ended

    async def grace(self) -> None:
        """The time that a unit has to end at its limit."""

    async def kill(self, running: Running, *, thaw: bool = False, soon: bool = False) -> None:
        running.is_ending = True
        running.is_thawed = thaw
        if not running.ended.done():
            running.ended.set_result(running.exit(None, 15))

    def disown(self, place: str) -> None:
        self.disowned.append(place)

    async def collect(self, unit: Unit, place: str) -> Outputs | None:
        self._step("collect", unit)
        self.collected.append(place)
        return None

    def last_lines(self, place: str) -> tuple[str, ...]:
        return ("the last line of", place)

    async def set_aside(self, of: AttemptId, place: str) -> SetAside | None:
        self._step("set_aside")
        self.aside.append(of)
        return SetAside(f"aside/{of}", 5, time.time() + 60.0)

    async def remove(self, place: str) -> None:
        self.places.discard(place)
        self._step("remove")

    async def broken(self) -> None:
        await self.is_broken.wait()

    async def sample(self) -> Figures:
        self._step("sample")
        return Figures(load=1.0)

    async def presence(self) -> Presence:
        self._step("presence")
        return self.used_by


class Log(MemoryLog):
    """The log in memory. Followers get the error of `trouble`, and appends of types in `refuses` fail."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses: dict[str, DistributeError] = {}
        """The error that an append raises, by type of event."""
        self._trouble: DistributeError | None = None
        self._troubled = asyncio.Event()

    def trouble(self, error: DistributeError) -> None:
        self._trouble = error
        self._troubled.set()

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        if (error := self.refuses.get(event.type)) is None:
            return super().append(event, guard)
        refused: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        refused.set_exception(error)
        return refused

    async def follow(
        self, *, after: int, at: float | None = None, only: Only = ALL, until: int | None = None
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        following = super().follow(after=after, at=at, only=only, until=until)
        while True:
            step = asyncio.ensure_future(anext(following, None))
            waits: set[asyncio.Future[Any]] = {step}
            if until is None:
                waits.add(asyncio.ensure_future(self._troubled.wait()))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if until is None and self._trouble is not None:
                error, self._trouble = self._trouble, None
                self._troubled.clear()
                step.cancel()
                raise error
            records = await step
            if records is None:
                return
            yield records


@dataclass
class SentBeats:
    """The heartbeats that were sent."""

    sent: list[Beat] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, beat: Beat) -> None:
        self.sent.append(beat)
        self.came.set()

    async def last(self, node: str) -> Beat | None:
        return self.sent[-1] if self.sent else None

    async def follow(self) -> AsyncGenerator[Beat, None]:
        raise AssertionError("nobody follows the beats of one node here")
        yield


class MemoryCluster:
    """What a node-runner uses of a cluster."""

    connected = True

    def __init__(self) -> None:
        self.log = self.stream = Log()
        self.beats = SentBeats()
        self.queries = MemoryQueries()

    @property
    def store(self) -> Any:
        raise AssertionError("only the computer uses the store")

    live = store

    def durable(self, name: str, only: Only = ALL) -> AsyncGenerator[Delivery, None]:
        raise AssertionError("a node-runner reads nothing durably")

    def on_return(self, callback: Callable[[], None]) -> Callable[[], None]:
        raise AssertionError("a node-runner asks for this nowhere")


class RunningNode:
    """The service `ws1` at work, and the log it writes."""

    def __init__(self, cluster: MemoryCluster, host: ModelHost, stop: Stop) -> None:
        self.cluster = cluster
        self.host = host
        self.stop = stop
        self.task: asyncio.Task[None]

    async def say(self, event: Event) -> Recorded:
        """Append an event behind its scope's last one."""
        log = self.cluster.log
        last = await log.last(guard_scope(event))
        seq = await log.append(event, Guard(last.seq if last is not None else 0))
        return await log.get(seq)

    async def gets(self, spec: BatchSpec, *jobs: str) -> None:
        """Submit a batch, and assign these of its jobs to the node."""
        await self.say(make.submitted(spec))
        for job in jobs:
            await self.say(make.assigned(JobId(*spec.id, job), cpus=1))

    async def event(self, event_type: str, where: Callable[[Any], bool] = lambda event: True) -> Any:
        """Wait for the first event of a type, and return it."""
        async with asyncio.timeout(WITHIN_S):
            async for records in self.cluster.log.follow(after=0, only=Only(types=frozenset({event_type}))):
                for recorded in records:
                    if where(recorded.event):
                        return recorded.event
        raise AssertionError("following ended by itself")

    async def of_job(self, event_type: str, job: str) -> Any:
        """Wait for the first event of a type about a job, and return it."""
        return await self.event(event_type, lambda event: event.job == job)

    async def runs(self, job: str) -> None:
        """Wait until a job's process runs."""
        await self.of_job("started", job)


@asynccontextmanager
async def running_node(
    host: ModelHost | None = None,
    cluster: MemoryCluster | None = None,
    *,
    fails: bool = False,
    keeps: bool = False,
    **options: Any,
) -> AbstractAsyncContextManager[RunningNode]:
    """A node-runner that has joined; it leaves at the end."""
    cluster, stop = cluster or MemoryCluster(), Stop()
    node = RunningNode(cluster, host or ModelHost(), stop)
    runner = NodeRunner(
        cluster, Options(name="ws1", work_dir=Path("/nowhere"), beat_s=0.05, **options), node.host
    )
    node.task = asyncio.create_task(runner.run(stop))
    try:
        await node.event("joined")
        yield node
    finally:
        stop.insist()
        async with asyncio.timeout(WITHIN_S):
            await asyncio.wait({node.task})
    if not fails:
        node.task.result()
    if not fails and not keeps:
        assert node.host.places == set(), "nothing is left"
