"""Carry out the machine's instructions about batches and attempts on a `Host`.

`Work` owns all tasks and places. The service passes it instructions and gets stimuli back. A fault in a step
ends only that attempt, with a reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Generic

from distribute.core.errors import DistributeError, Refused
from distribute.core.files.manifest import Outputs
from distribute.core.ids import BatchId, JobId
from distribute.core.os_words import cause, message_of
from distribute.core.spec.recipe import Share, build_of, recipe_of
from distribute.host import CannotStart, Host, Kept, P, R, Record, SetAside, Unit
from distribute.ports import EventLog
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt, Ending, SubmissionRef
from distribute_services.node_runner.work.batches import load_submission
from distribute_services.node_runner.work.endings import ending_of
from distribute_services.node_runner.work.held import Ender, Held, Step

log = logging.getLogger(__name__)

MOMENT_S = 0.1
"""A process that ends within this time gets no `started` event, which saves a quarter of the events."""


class Work(Generic[P, R]):
    """All builds and attempts of this node."""

    def __init__(
        self,
        host: Host[P, R],
        event_log: EventLog,
        *,
        tell: Callable[[st.Stimulus], None],
        clock: Callable[[], float],
    ) -> None:
        """`tell` takes each stimulus; it may call `carry_out`. `clock` gives seconds since 1970."""
        self._host = host
        self._ender = Ender(host)
        self._log = event_log
        self._tell = tell
        self._clock = clock
        self._attempts: dict[Attempt, Held[P, R]] = {}
        self._builds: dict[BatchId, Held[P, R]] = {}
        self._kept: dict[Record, Kept[P, R]] = {}
        """What an earlier runner left and this one has not taken up yet."""
        self._kept_builds: dict[tuple[BatchId, str | None], P] = {}
        """The places of its builds, by batch and id of the submission."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_let_go = False

    def carry_out(self, instruction: do.WorkInstruction) -> None:
        """Begin to carry out an instruction, unless all is let go."""
        if self._is_let_go:
            return
        match instruction:
            case do.Load(batch, submission):
                if (before := self._builds.pop(batch, None)) is not None:  # a build that failed
                    self._start(self._forget(batch, before))
                place = self._kept_builds.pop((batch, submission.id), None)
                held = self._builds[batch] = Held(place=place)
                self._begin(held, self._load(batch, held, submission))
            case do.Build(batch):
                held = self._builds[batch]
                self._begin(held, self._build(batch, held))
            case do.EndBuild(batch, reason):
                held = self._builds[batch]
                built = st.Built(batch, Ending(succeeded=False, reason=reason), None)
                self._start(
                    self._ender.end_step(held, batch, reason, lambda: self._tell_of(batch, held, built))
                )
            case do.Forget(batch):
                if (build := self._builds.pop(batch, None)) is not None:
                    self._start(self._forget(batch, build))
            case do.Launch(attempt):
                held = self._attempts[attempt] = Held()
                self._begin(held, self._launch(attempt, held))
            case do.TakeUp(attempt):
                held = self._held(attempt)
                self._begin(held, self._launch(attempt, held))
            case do.End(attempt, reason, thaw):
                self._start(self._end_attempt(attempt, reason, thaw=thaw))
            case do.Collect(attempt, ending):
                held = self._held(attempt)
                self._begin(held, self._collect(attempt, held, ending))
            case do.Tidy(attempt):
                self._start(self._tidy(attempt))
            case do.Stop(attempt, sets_aside):
                self._start(self._stop(attempt, sets_aside=sets_aside))

    def keep(self, kept: Iterable[Kept[P, R]]) -> None:
        """Hold what an earlier runner left, until the machine takes it up or stops it."""
        for one in kept:
            self._kept[one.record] = one
            if one.built is not None:
                batch = BatchId(one.record.attempt.namespace, one.record.attempt.batch)
                self._kept_builds[batch, one.record.submission_id] = one.built

    def running(self, job: JobId, attempt: int) -> tuple[Unit, R]:
        """An attempt of a job whose process runs. Raises `Refused` if there is none."""
        # A deleted batch of the same name may have one that is ending: it is the older.
        for each, held in reversed(self._attempts.items()):
            if (each.job, each.number) == (job, attempt) and held.unit is not None:
                if held.running is not None:
                    return held.unit, held.running
                raise Refused(f"{job} does not run: it is being prepared, or has just ended")
        raise Refused(f"{job} does not run on this node any more")

    def _held(self, attempt: Attempt) -> Held[P, R]:
        """What is held for an attempt. If an earlier runner left it, take that."""
        held = self._attempts.get(attempt)
        kept = self._kept.pop(attempt.kept, None) if attempt.kept is not None else None
        if kept is not None:
            held = Held(place=kept.place, running=kept.running, started_at=kept.started_at)
        elif held is None:
            held = Held()
        self._attempts[attempt] = held
        return held

    async def let_go(self) -> None:
        """End all steps, but no process of an attempt: the next runner takes those up. Builds end.

        No step begins any more: one that takes up an attempt would find its batch unread, and end it.
        """
        self._is_let_go = True
        for batch, held in self._builds.items():
            if held.running is not None:
                await self._ender.end(held, batch)
        for task in self._tasks:
            task.cancel()
        await self.close()

    def hurry(self) -> None:
        """Wait for no long grace periods from now on. Call this when all that runs is to end."""
        self._ender.is_hurried = True
        for whose, held in [*self._attempts.items(), *self._builds.items()]:
            if held.running is not None:
                self._start(self._ender.kill(held, whose))

    async def close(self) -> None:
        """Wait until all instructions are carried out. That is soon after `Stop` and `Forget`."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, held: Held[P, R], step: Step) -> None:
        held.task = self._start(step)

    def _start(self, step: Step) -> asyncio.Task[None]:
        task = asyncio.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a step of this node-runner failed", exc_info=error)

    # --- batches -----------------------------------------------------------------------------------

    def _tell_of(self, batch: BatchId, held: Held[P, R], stimulus: st.Stimulus) -> None:
        """Tell the machine, unless the build was forgotten: another batch may have the name by now."""
        if self._builds.get(batch) is held:
            self._tell(stimulus)

    async def _load(self, batch: BatchId, held: Held[P, R], submission: SubmissionRef) -> None:
        try:
            held.submission = await load_submission(self._log, batch, submission)
        except KeyError:
            self._tell_of(batch, held, st.LoadFailed(batch, "the batch is not in the log any more"))
        except Exception as error:
            log.exception("%s: reading the batch failed", batch)
            self._tell_of(batch, held, st.LoadFailed(batch, _fault("reading the batch", error)))
        else:
            self._tell_of(batch, held, st.Loaded(batch, held.submission.spec.needs_build))

    async def _build(self, batch: BatchId, held: Held[P, R]) -> None:
        try:
            built = await self._run_build(batch, held)
        except (DistributeError, OSError) as error:
            built = st.Built(batch, Ending(succeeded=False, reason=message_of(error)), None)
        except Exception as error:
            log.exception("%s: its build failed by a fault of this node-runner", batch)
            built = st.Built(batch, Ending(succeeded=False, reason=_fault("the build", error)), None)
        await self._ender.kill(held, batch)
        self._tell_of(batch, held, built)

    async def _run_build(self, batch: BatchId, held: Held[P, R]) -> st.Built:
        assert held.submission is not None, "only what is loaded is built"
        submission = held.submission
        recipe = build_of(submission.spec)
        assert recipe is not None, "only a batch with a build is built"
        unit = Unit(batch, 0, recipe, Share(self._host.capacity.cpus), submission.has_job)
        if (found := await self._host.find_build(unit)) is not None:
            held.place = found.place
            return st.Built(batch, Ending(True), await self._collect_build(unit, found.place), found.of)
        held.place = await self._host.stage(unit, None)
        held.running = self._host.start(unit, held.place)
        ended = await self._host.wait(held.running)
        held.running = None
        if isinstance(ended, CannotStart):
            return st.Built(batch, Ending(succeeded=False, reason=ended.reason), None)
        ending = ending_of(unit, ended, held.ended_for)
        if not held.is_wanted:
            return st.Built(batch, ending, None)
        if ending.succeeded:
            await self._host.keep_build(unit, held.place)
        ending = replace(ending, reason=ending.why)  # `build_finished` has no field for the exit code
        ending = self._ender.with_last_lines(ending, held)
        return st.Built(batch, ending, await self._collect_build(unit, held.place))

    async def _collect_build(self, unit: Unit, place: P) -> Outputs | None:
        """Upload a build's output. If that fails, the build still counts."""
        try:
            return await self._host.collect(unit, place)
        except (DistributeError, OSError) as error:
            log.warning("%s: its output could not be archived: %s", unit, error)
            return None

    async def _forget(self, batch: BatchId, held: Held[P, R]) -> None:
        await self._ender.end(held, batch)
        await self._ender.remove(held, batch)

    # --- attempts ----------------------------------------------------------------------------------

    async def _launch(self, attempt: Attempt, held: Held[P, R]) -> None:
        stimulus: st.Stimulus
        try:
            stimulus = st.Exited(attempt, await self._run(attempt, held))
        except (DistributeError, OSError) as error:
            ending = Ending(succeeded=False, reason=message_of(error), started_at=held.started_at)
            stimulus = st.Exited(attempt, ending)
        except Exception as error:
            log.exception("%s: running it failed by a fault of this node-runner", attempt)
            stimulus = st.Broke(attempt, _fault("running the job", error), held.started_at)
        await self._ender.kill(held, attempt)
        self._tell(stimulus)

    async def _run(self, attempt: Attempt, held: Held[P, R]) -> Ending:
        """Start the attempt's process, unless an earlier runner has, and wait for its end."""
        build = self._builds[attempt.job.batch_id]
        while build.submission is None and build.task is not None:
            # An earlier runner left the attempt, and the batch is being read.
            await asyncio.wait({build.task})
            before, build = build, self._builds.get(attempt.job.batch_id, build)
            if build is before:
                break  # else the batch was replaced meanwhile, and goes on with the attempt
        batch = build.submission
        job = batch.job(attempt.job.job) if batch is not None else None
        if batch is None or job is None:
            return Ending(succeeded=False, reason="the batch of this name has no such job")
        recipe = recipe_of(batch.spec, job, edited_timeout_s=attempt.timeout_s)
        unit = held.unit = Unit(attempt.job, attempt.number, recipe, attempt.share, record=attempt.record)
        if held.running is None:
            held.place = await self._host.stage(unit, build.place)
            held.running, held.started_at = self._host.start(unit, held.place), self._clock()
        lasting = asyncio.get_running_loop().call_later(MOMENT_S, self._tell, st.Launched(attempt))
        try:
            ended = await self._host.wait(held.running)
        finally:
            lasting.cancel()
        held.running = None
        if isinstance(ended, CannotStart):
            held.started_at = None
            return Ending(succeeded=False, reason=ended.reason)
        return ending_of(unit, ended, held.ended_for)

    def _end_attempt(self, attempt: Attempt, reason: str, *, thaw: bool) -> Step:
        """End an attempt's process. `thaw`: it is given back, whatever becomes of this runner."""
        held = self._attempts[attempt]
        held.thaws = thaw
        if thaw and held.place is not None:
            self._host.disown(held.place)
        exited = st.Exited(attempt, Ending(succeeded=False, reason=reason))
        return self._ender.end_step(held, attempt, reason, lambda: self._tell(exited))

    async def _collect(self, attempt: Attempt, held: Held[P, R], ending: Ending) -> None:
        """Upload what the attempt left. If that fails, the attempt fails, too, and its ending says why."""
        outputs = None
        ending = self._ender.with_last_lines(ending, held)
        try:
            if held.unit is not None and held.place is not None:
                outputs = await self._host.collect(held.unit, held.place)
        except (DistributeError, OSError) as error:
            log.warning("%s: %s", attempt.job, error)
            reasons = (ending.reason, f"its results could not be archived: {message_of(error)}")
            reason = "; ".join(reason for reason in reasons if reason is not None)
            ending = replace(ending, succeeded=False, reason=reason)
        except Exception as error:
            log.exception("%s: archiving its results failed by a fault of this node-runner", attempt)
            self._tell(st.Broke(attempt, _fault("archiving the job's results", error)))
            return
        self._tell(st.Collected(attempt, ending, outputs))

    async def _tidy(self, attempt: Attempt) -> None:
        held = self._attempts.pop(attempt, None)
        if held is not None:
            await self._ender.remove(held, attempt)

    async def _stop(self, attempt: Attempt, *, sets_aside: bool) -> None:
        held = self._held(attempt)
        if held.place is not None:
            # Or a runner that is killed now leaves a job that failed by SIGTERM.
            self._host.disown(held.place)
        await self._ender.end(held, attempt)
        left = await self._set_aside(attempt, held) if sets_aside else None
        await self._tidy(attempt)
        self._tell(st.Stopped(attempt, left))

    async def _set_aside(self, attempt: Attempt, held: Held[P, R]) -> SetAside | None:
        """Keep what an attempt left that does not count. If that fails, it is lost."""
        try:
            return await self._host.set_aside(attempt.id, held.place) if held.place is not None else None
        except Exception:
            log.exception("%s: what it left could not be kept", attempt)
            return None


def _fault(step: str, error: Exception) -> str:
    return f"{step} failed by a fault of the node-runner: {cause(error)}"
