"""One batch of calls: submitted, followed, deleted. Each call's future gets what became of the call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from distribute.client.appending import append_behind
from distribute.client.control import delete
from distribute.client.submit import submit
from distribute.core.errors import JobFailed, LogReplaced, Refused
from distribute.core.log import events as ev
from distribute.core.projections.story import BatchStory
from distribute.core.state.state import ENDED, BatchState, Status
from distribute.executor.job_results import resolve
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.core.spec.specs import BatchSpec
    from distribute.executor.calls import Call
    from distribute.ports import Cluster

READ_AT_ONCE = 8
"""So many jobs' results of a batch are fetched at once. One may be a gigabyte."""


class Hears(Protocol):
    """Who is told of the calls of a batch."""

    def started(self) -> None:
        """A job has run for 100 ms."""

    def took(self, calls: Sequence[Call], seconds: Sequence[float]) -> None:
        """A job did these calls, and so long each took."""

    def not_begun(self, calls: Sequence[Call]) -> None:
        """A job ended without having begun these calls."""


@dataclass(slots=True)
class _Job:
    """A job that is not over, as far as this program knows."""

    calls: Sequence[Call]
    finished: ev.Finished | None = None


class BatchRun:
    """A batch whose jobs do these calls, one list of calls a job, in the order of the specification.

    `keeps`: it is not deleted, not even if every job did its work.
    """

    def __init__(
        self,
        cluster: Cluster,
        person: Person,
        spec: BatchSpec,
        calls: Sequence[Sequence[Call]],
        hears: Hears,
        *,
        keeps: bool,
    ) -> None:
        self._cluster = cluster
        self._person = person
        self._spec = spec
        self._jobs = {job.name: _Job(each) for job, each in zip(spec.work.jobs, calls, strict=True)}
        self._hears = hears
        self._keeps = keeps
        self._story = BatchStory(spec.id)
        self._room = asyncio.Semaphore(READ_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_submitted = asyncio.Event()
        self._killed: set[str] = set()

    # --- its course ----------------------------------------------------------------------------------

    async def run(self, sources: Mapping[str, Path]) -> None:
        """Submit the batch with these inputs, follow it, and delete it if all of its jobs did their work."""
        try:
            after = await self._cluster.log.last_seq()
            await submit(self._cluster, self._person, self._spec, sources)
            self._is_submitted.set()
            await self._follow(after)
            while self._tasks:
                await asyncio.wait(self._tasks)
        except Exception as error:  # whatever it is, nobody must wait for these calls any more
            self.fail_all(error)
            raise
        finally:
            self._is_submitted.set()
            for task in self._tasks:
                task.cancel()
        if not self._keeps and self._story.state is not None:
            await delete(self._cluster, self._person, self._spec.id)

    async def _follow(self, after: int) -> None:
        """Follow it until it is over and its results are archived, so that they can be deleted."""
        while True:
            following = self._cluster.log.follow(after=after, only=Only(batch=self._spec.id))
            try:
                async with aclosing(following) as coming:
                    async for records in coming:
                        for recorded in records:
                            if self._story.fold(recorded):
                                self._take(recorded.event)
                        if self._is_over():
                            return
            except LogReplaced:
                # As after a restore from an older copy: read it again, if it is there at all.
                if await self._cluster.log.last(self._spec.id) is None:
                    raise
                self._story, after = BatchStory(self._spec.id), 0

    def _is_over(self) -> bool:
        state = self._story.state
        return state is None or (state.end is not None and (state.archived or self._keeps))

    # --- what happens to its jobs --------------------------------------------------------------------

    def _take(self, event: ev.Event) -> None:
        state = self._story.state
        if state is None:
            self.fail_all(JobFailed(f"{self._spec.id} was deleted before its calls were done"))
        elif isinstance(event, ev.JobEvent):
            self._take_of_job(event, state)
        elif isinstance(event, ev.Completed | ev.KillRequested):
            only = event.job if isinstance(event, ev.KillRequested) else None
            for name in list(self._jobs) if only is None else self._jobs.keys() & {only}:
                self._end_if_over(name, state)

    def _take_of_job(self, event: ev.JobEvent, state: BatchState) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        if isinstance(event, ev.Claimed):
            for call in job.calls:
                call.begin()
        elif isinstance(event, ev.Started):
            self._hears.started()
        elif isinstance(event, ev.Finished):
            job.finished = event
        self._end_if_over(event.job, state)

    def _end_if_over(self, name: str, state: BatchState) -> None:
        """If a job is over and will not run again, give its calls what became of them."""
        row = state.rows[name]
        if state.status[row] not in ENDED:
            return
        if state.end is None and row in state.suspects and state.status[row] == Status.FAILED:
            return  # its node may be to blame: then it runs again elsewhere
        job = self._jobs.pop(name)
        failure = None if state.status[row] == Status.SUCCEEDED else self._failure(name, row, job, state)
        is_killed = state.status[row] == Status.KILLED
        task = asyncio.create_task(self._end(name, job, failure, is_killed=is_killed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _failure(self, name: str, row: int, job: _Job, state: BatchState) -> JobFailed:
        """Why a job ended without what its function returned."""
        full, finished = f"{self._spec.id}/{name}", job.finished
        node = finished.node if finished is not None else None
        kill = state.killed_rows.get(row) or state.killed
        if state.status[row] == Status.KILLED and kill is not None:
            reason = f"killed by {kill.by}"
        else:
            said = finished.reason if finished is not None else None
            reason = state.reasons.get(row) or said or state.end_reason or "it failed"
        lines = "\n".join(finished.last_lines or ()) if finished is not None else ""
        where = f" on {node}" if node is not None else ""
        printed = f"; it printed last:\n{lines}" if lines else ""
        message = f"{full} ended{where} without a result: {reason}{printed}"
        return JobFailed(message, job=full, node=node, reason=reason, last_lines=lines)

    async def _end(self, name: str, job: _Job, failure: JobFailed | None, *, is_killed: bool) -> None:
        full, outputs = f"{self._spec.id}/{name}", job.finished.outputs if job.finished is not None else None
        node = job.finished.node if job.finished is not None else "?"
        try:
            async with self._room:
                resolved = await resolve(self._cluster.store, outputs, job.calls, full, node)
        except Exception as error:  # noqa: BLE001 - only this job's results are lost, and its calls say why
            _fail(job.calls, error)
            return
        self._hears.took(job.calls, resolved.seconds)
        rest = job.calls[len(resolved.seconds) :]
        if not rest:
            return
        if not resolved.handed_back:
            self._keeps = True  # what it printed may tell why
            why = "it ended before its function did (exit code 0)"
            failure = failure or JobFailed(f"{full} on {node}: {why}", job=full, node=node, reason=why)
            culprits = len(rest) if is_killed else 1
            _fail(rest[:culprits], failure)
            rest = rest[culprits:]
        if rest:
            self._hears.not_begun(rest)

    def fail_all(self, error: BaseException) -> None:
        """Let the calls of all jobs that are not over fail."""
        for job in self._jobs.values():
            _fail(job.calls, error)
        self._jobs.clear()

    # --- killing -------------------------------------------------------------------------------------

    async def kill_cancelled(self) -> None:
        """Kill the jobs whose calls were all cancelled: as one kill if no other job is left."""
        await self._is_submitted.wait()
        left = self._jobs.keys() - self._killed
        cancelled = [name for name in left if all(call.future.cancelled() for call in self._jobs[name].calls)]
        self._killed.update(cancelled)
        if cancelled and self._jobs.keys() <= self._killed:
            await self._kill(None)
        else:
            for name in cancelled:
                await self._kill(name)

    async def kill(self) -> None:
        """Kill the whole batch."""
        await self._is_submitted.wait()
        if self._jobs:
            await self._kill(None)

    async def _kill(self, job: str | None) -> None:
        batch = self._spec.id

        async def read() -> tuple[ev.Event, int]:
            last = await self._cluster.log.last(batch)
            # A deletion may be forged: then the batch is still there.
            if last is None or (isinstance(last.event, ev.Deleted) and self._story.state is None):
                raise Refused(f"{batch} is not there any more")
            return ev.KillRequested(**self._person.stamp(), **batch._asdict(), job=job), last.seq

        await append_behind(self._cluster.log, read)


def _fail(calls: Sequence[Call], error: BaseException) -> None:
    for call in calls:
        if not call.future.done():
            call.fails(error)
