"""The node-runner's process: `machine` between the event log and the `work` on this computer.

The machine is called from the event loop alone, so nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Generic

import distribute
from distribute.core.errors import LogReplaced, Refused, UnreadableEvent
from distribute.core.ids import NodeId
from distribute.core.log import events as ev
from distribute.core.log.beats import MAX_REASON, MAX_SOURCE, Beat
from distribute.core.log.event_base import MAX_KEPT
from distribute.core.log.recorded import Recorded
from distribute.core.words import format_duration
from distribute.host import Figures, Host, Kept, P, R
from distribute.limited_log import LimitedLog, Trouble
from distribute.ports import Cluster, Only, Place
from distribute.runtime import Failure, Stop, new_id, supervise, unless_stopped
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import pausing
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt
from distribute_services.node_runner.machine.machine import RunnerMachine, wanted
from distribute_services.node_runner.options import Options
from distribute_services.node_runner.owner.own_pauses import ALWAYS
from distribute_services.node_runner.owner.stepping_aside import SteppingAside
from distribute_services.node_runner.story import Story
from distribute_services.node_runner.work.commands import Commands
from distribute_services.node_runner.work.long_pauses import LongPauses
from distribute_services.node_runner.work.pauses import Pauses
from distribute_services.node_runner.work.reports import Reports
from distribute_services.node_runner.work.visits import Answers
from distribute_services.node_runner.work.work import Work

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""Seconds that a leaving node waits for the broker to store its last events."""
AT_ONCE_S = 2.0
"""The same, if the node was told to skip the graceful part."""
_OVERRULED = "overruled"
"""The file in the working folder that has what a person overruled by resuming."""
_NAMED = 5
_WAITS = (
    "leaving once the results of %s are stored and reported, however long that takes. If told to end once"
    " more, this node gives these jobs back, and they run again"
)
_RUN_ON = (
    "this node-runner fails; jobs that run go on without it for at most %s. Its next start takes them up"
)


class NodeRunner(Generic[P, R]):
    """One computer's part in the cluster, from its join to its leaving."""

    def __init__(
        self,
        cluster: Cluster,
        options: Options,
        host: Host[P, R],
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        """`clock` gives seconds since 1970."""
        self._cluster = cluster
        self._options = options
        self._host = host
        self._clock = clock
        self._idle = asyncio.Event()
        """Set when the node is leaving and has no attempt any more."""
        self._over = asyncio.Event()
        self._leaves_jobs = False
        """Whether the jobs that run are the next runner's."""
        self._has_given_way = False
        """Whether another runner has this node's name."""
        self._unreadable: UnreadableEvent | None = None
        """Why this node can't read on in the log."""
        self._cannot_read_on = asyncio.Event()
        """Set when it can't read on."""
        self._failure = Failure()
        self._passed_by = LimitedLog(log, logging.ERROR)
        self._story = Story(options.name, host.capacity)
        self._work = Work(host, cluster.log, tell=self._tell, clock=clock)
        self._pauses = Pauses(host, self._tell)
        self._reports = Reports(
            cluster.log,
            options.name,
            tell=self._tell,
            announced=self._announced,
            on_fault=self._failure.report,
        )
        self._machine = RunnerMachine(
            options.name,
            incarnation=f"{host.identity}/{new_id()}",
            boot_id=host.boot_id,
            capacity=host.capacity,
            version=distribute.__version__,
            new_id=new_id,
            clock=clock,
        )

    async def run(self, stop: Stop) -> None:
        """Join; work until `stop` is set or the disk is full; then end what runs, and leave.

        If `stop` is to keep the jobs, what runs goes on.

        Raises:
            UnreadableEvent: a newer version of this tool writes the log. Raised when all is reported.
            Refused: another runner took this node's name.
        """
        begun = await unless_stopped(stop, self._begin())
        if begun is None:
            return
        kept, start = begun
        self._work.keep(kept)
        built = {one.record for one in kept if one.built is not None}
        self._do(self._machine.take_up([one.record for one in kept], built))
        self._do(self._machine.join())
        try:
            await supervise(
                self._over,
                self._own_tasks()
                | {
                    "events": self._follow(start),
                    "beats": self._beat(),
                    "host": self._begin_anew_if_broken(),
                    "pause": self._pauses.watch(),
                    "requests": self._pauses.obey(),
                    "visits": self._answer_people(),
                    "failures": self._failure.raised(),
                    "end": self._leave(stop),
                },
            )
        except Exception:
            self._let_jobs_run_on()
            raise
        finally:
            if self._leaves_jobs:
                await self._work.let_go()
            else:
                # Jobs remain here only if another runner has its name: then their results are of no use.
                self._work.hurry()
                await self._end_all(stop)
            await self._reports.close(AT_ONCE_S if stop.at_once.is_set() else PATIENCE_S)
        self._failure.check()  # the broker may refuse the node's last events, too
        if self._unreadable is not None and not stop.is_set():
            raise self._unreadable

    def _own_tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Pausing by itself, and giving jobs back after a long pause, if the owner wants that."""
        tasks: dict[str, Coroutine[Any, Any, None]] = {}
        if (terms := self._options.terms) != ALWAYS:
            note = self._options.work_dir / _OVERRULED
            tasks["own pauses"] = SteppingAside(self._host, terms, clock=self._clock, note=note).watch()
        if (after_s := self._options.vacate_after_s) is not None:
            tasks["long pauses"] = LongPauses(self._host, after_s, self._vacate).watch()
        return tasks

    def _vacate(self, reason: str) -> None:
        self._do(self._machine.vacate(reason))

    async def _begin(self) -> tuple[Sequence[Kept[P, R]], Place]:
        """Clear the computer. Returns what was kept, and the end of the log."""
        kept = await self._host.kept()
        await self._host.clear()
        start = await self._cluster.log.end()
        self._machine.recall(await self._said_of_pauses(NodeId(self._options.name)))
        return kept, start

    async def _said_of_pauses(self, scope: NodeId) -> Sequence[Recorded]:
        """What `RunnerMachine.recall` wants of the log."""
        log = self._cluster.log
        last = [await log.last(scope, word) for word in pausing.WORDS]
        found = [recorded for recorded in last if recorded is not None]
        if (after := pausing.seq_to_read_from(found)) is not None:
            until = max(recorded.seq for recorded in found)
            async with aclosing(log.follow(after=after, only=Only(scope=scope), until=until)) as reading:
                async for records in reading:
                    found += records
        return found

    async def _leave(self, stop: Stop) -> None:
        """When it is time to leave, stop unfinished work, wait until ended work is reported, and announce
        `left`.

        Meanwhile the node beats and follows the log.
        """
        await unless_stopped(stop, self._cause_to_leave())
        if stop.keeps_jobs and (told := self._machine.leave_to_the_next()):
            log.info("leaving: what runs goes on, and the next start of this node takes it up")
            self._leaves_jobs = True
            self._do(told)
            self._over.set()
            await asyncio.Event().wait()  # a supervised task must not end by itself
        self._do(self._machine.leave())
        if ended := self._machine.ended:
            names = [str(attempt.job) for attempt in ended[:_NAMED]]
            more = [f"{len(ended) - _NAMED} more"] if len(ended) > _NAMED else []
            log.warning(_WAITS, ", ".join([*names, *more]))
        await unless_stopped(stop.at_once, self._idle.wait())
        await self._end_all(stop)
        self._do(self._machine.left())
        self._over.set()
        await asyncio.Event().wait()  # a supervised task must not end by itself

    async def _cause_to_leave(self) -> None:
        """Return when the disk is full, or when no attempt is left of a log that can't be read on."""

        async def done_with_the_log() -> None:
            await self._cannot_read_on.wait()
            await self._idle.wait()

        causes = {asyncio.ensure_future(self._host.full()), asyncio.ensure_future(done_with_the_log())}
        try:
            done, _ = await asyncio.wait(causes, return_when=asyncio.FIRST_COMPLETED)
            for cause in done:
                cause.result()
        finally:
            for cause in causes:
                cause.cancel()

    def _let_jobs_run_on(self) -> None:
        """This runner fails, but its jobs have not failed. They end only if another runner has its name."""
        if self._has_given_way:
            return
        self._leaves_jobs = True
        if self._machine.has:
            log.error(_RUN_ON, format_duration(self._options.max_unseen_s))

    async def _end_all(self, stop: Stop) -> None:
        """End all work, and remove what is left of it. If asked to hurry, wait for no long grace periods."""
        self._do(self._machine.abandon())
        await unless_stopped(stop.at_once, self._work.close())
        self._work.hurry()
        await self._work.close()

    # --- what comes in -----------------------------------------------------------------------------

    async def _follow(self, after: Place) -> None:
        only = wanted(self._options.name)
        while True:
            try:
                async for records in self._cluster.log.follow(after=after.seq, at=after.time, only=only):
                    for recorded in records:
                        self._deliver(recorded)
            except LogReplaced as error:
                log.warning("%s: running jobs go on", error)
                after = await self._cluster.log.end()
                self._cluster.log.begin_anew()
                self._do(self._machine.log_replaced(after.seq))
            except UnreadableEvent as error:
                log.error("%s: no new jobs are taken; this node leaves when it has none", error)  # noqa: TRY400
                self._unreadable = error
                self._cannot_read_on.set()
                self._do(self._machine.retire())
                await asyncio.Event().wait()  # a supervised task must not end by itself

    def _deliver(self, recorded: Recorded) -> None:
        try:
            instructions = self._machine.deliver(recorded)
            self._story.delivered(recorded.event, instructions)
            self._do(instructions)
        except Exception as error:  # noqa: BLE001 - one event must not end the runner, and all jobs with it
            seq, kind = recorded.seq, recorded.event.type
            self._passed_by.write("event %d (%s) was passed by", seq, kind, error=error)

    async def _beat(self) -> None:
        """Send heartbeats, even if this computer can't be measured."""
        trouble = Trouble(log, logging.ERROR)
        while True:
            try:
                figures = await self._host.sample()
                trouble.is_over("this computer is measured again")
            except Exception as error:  # noqa: BLE001 - a node that can't be measured still works
                trouble.occurs("this computer can't be measured", error=error)
                figures = Figures()
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
                    owner_source=figures.owner_source[:MAX_SOURCE],
                    freezes_by=figures.freezes_by,
                    build_copies=figures.build_copies,
                    lacks={name: why[:MAX_REASON] for name, why in self._host.capacity.lacks.items()},
                    disk_needed_bytes=figures.disk_needed_bytes,
                    running=self._machine.has[:MAX_KEPT],
                )
            )
            await asyncio.sleep(self._options.beat_s)

    async def _answer_people(self) -> None:
        """Answer people who look into jobs that run here."""
        visits, find = self._host.visits, self._work.running
        commands = Commands(visits, find, lambda: self._host.paused)
        async with Answers(self._options.name, visits, find, commands).given(self._cluster.queries):
            await asyncio.Event().wait()  # a supervised task must not end by itself

    async def _begin_anew_if_broken(self) -> None:
        """End this incarnation without a word when the host has lost its units: they run again.

        So the scheduler counts them among those that have taken a node down.
        """
        await self._host.broken()
        self._over.set()
        await asyncio.Event().wait()  # a supervised task must not end by itself

    # --- what the machine wants done ---------------------------------------------------------------

    def _announced(self, event: ev.Event, seq: int) -> None:
        self._do(self._machine.announced(event, seq))
        self._story.announced(event)

    def _tell(self, stimulus: st.Stimulus) -> None:
        """Tell the machine. If it fails at an attempt, give up that attempt only."""
        self._story.heard(stimulus)
        try:
            self._do(self._machine.handle(stimulus))
        except Exception:
            log.exception("this node-runner failed at %s", type(stimulus).__name__)
            attempt = getattr(stimulus, "attempt", getattr(stimulus, "of", None))
            if isinstance(attempt, Attempt):
                self._do(self._machine.give_up(attempt))

    def _do(self, instructions: Iterable[do.Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case do.Report():
                    self._reports.append(instruction)
                case do.Read():
                    self._reports.read(instruction.of)
                case do.Judge(batch) | do.Load(batch):
                    self._reports.judge(batch)
                    if isinstance(instruction, do.Load):
                        self._work.carry_out(instruction)
                case do.Announce():
                    self._reports.announce(instruction.event)
                case do.Note():
                    log.warning("%s", instruction.text)
                case do.Pause() | do.Resume():
                    self._pauses.carry_out(instruction)
                case do.GiveWay():
                    self._has_given_way = True
                    self._failure.report(Refused(_two_of_a_name(self._options.name)))
                case _:
                    if isinstance(instruction, do.Launch | do.TakeUp | do.Build):
                        self._story.begins(instruction)
                    self._work.carry_out(instruction)
        if self._machine.leaving and self._machine.idle:
            self._idle.set()


async def run_node(
    cluster: Cluster,
    options: Options,
    host: Host[P, R],
    stop: Stop,
    *,
    clock: Callable[[], float] = time.time,
    new_id: Callable[[], str] = new_id,
) -> None:
    """Be a node of the cluster until `stop` is set, except while the disk is full.

    Raises:
        Refused: another runner, in another folder or on another computer, has this node's name.
    """
    while not stop.is_set():
        await unless_stopped(stop, _check_name_is_free(cluster, options.name, host.identity))
        await NodeRunner(cluster, options, host, clock=clock, new_id=new_id).run(stop)


async def _check_name_is_free(cluster: Cluster, name: str, identity: str) -> None:
    """Beats are kept for seconds only: a beat of another incarnation means that this name is in use."""
    beat = await cluster.beats.last(name)
    if beat is None or beat.incarnation.startswith(f"{identity}/"):
        return
    last = await cluster.log.last(NodeId(name))
    if last is None or not isinstance(last.event, ev.Left):
        raise Refused(_two_of_a_name(name))


def _two_of_a_name(name: str) -> str:
    return (
        f"the name {name!r} is in use by another node-runner, on another computer or in another folder."
        " Set 'name:' in node.yaml (or --name); after a crash, try again in 15 s"
    )
