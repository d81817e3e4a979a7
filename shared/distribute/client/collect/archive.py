"""Submit a batch that ran elsewhere, store what its jobs left, and say how each of them ended.

Whatever interrupts this, it can be begun again: it goes on with the jobs that were not collected yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.appending import Appender
from distribute.client.batch_log import BatchReader, read_standing
from distribute.client.control import delete
from distribute.client.saying import refuse_another
from distribute.client.seen import Seen
from distribute.client.upload import OnBytes, upload
from distribute.client.words import argument, printable
from distribute.client.workers import for_each
from distribute.codec import decode_without_jobs
from distribute.core.errors import Conflict, LogReplaced, Refused, UnknownName
from distribute.core.files.manifest import build_output_name
from distribute.core.ids import JobId
from distribute.core.log.events import BuildCollected, Collected, Submitted
from distribute.core.log.recorded import Guard
from distribute.core.projections.results import BatchResults
from distribute.core.state.state import QUEUED, BatchState, Status
from distribute.results.last_lines import last_lines
from distribute.results.outputs import collect as collect_outputs
from distribute.results.outputs import collect_build, collect_pulled

if TYPE_CHECKING:
    from pathlib import Path

    from distribute.client.collect.run import Built, Ended, Run
    from distribute.client.person import Person
    from distribute.core.files.manifest import Outputs
    from distribute.core.projections.course import Course
    from distribute.ports import Cluster

JOBS_AT_ONCE = 64
"""For so many jobs at once, results are stored and events are under way."""

OnJob = Callable[[int, int], None]
"""Is told how many jobs are collected, and of how many."""


class Collection(NamedTuple):
    """What became of collecting a batch: how many jobs ended how, and how many of them were collected now."""

    succeeded: int
    failed: int
    killed: int
    new: int


async def collect(
    cluster: Cluster,
    person: Person,
    run: Run,
    *,
    replace: bool = False,
    seen: Seen | None = None,
    force: bool = False,
    on_bytes: OnBytes = lambda done, total: None,
    on_job: OnJob = lambda done, total: None,
) -> Collection:
    """Bring a batch that ran elsewhere into the archive. What is there of this run already stays.

    Args:
        cluster: where it is to be archived.
        person: whose batch it becomes.
        run: the batch, and how its jobs ended.
        replace: kill and delete the batch that has its name now.
        seen: how that stood when the person decided to replace it. None: as it stands now.
        force: replace it also if it is another person's.
        on_bytes: is told how many bytes of the inputs are stored, and of how many.
        on_job: is told how many jobs are collected, and of how many.

    Raises:
        Refused: another batch has its name and is not to be replaced, or somebody deleted it meanwhile.
        IntegrityError, InputError, StorageFull: a file could not be stored. What was collected stays.
    """
    if run.sources:
        await upload(cluster.store, run.sources, on_bytes)
    collecting = _Collecting(cluster, person, run, on_job)
    while True:
        try:
            await collecting.submit(replace=replace, seen=seen, force=force)
            replace = False  # what has the name from now on is this run
            return await collecting.collect()
        except LogReplaced:
            # As after a restore from an older copy: what was read is invalid.
            cluster.log.begin_anew()


@dataclass(slots=True)
class _Submission:
    seq: int
    id: str


class _Collecting:
    """One run of `collect`."""

    def __init__(self, cluster: Cluster, person: Person, run: Run, on_job: OnJob) -> None:
        self._cluster = cluster
        self._person = person
        self._run = run
        self._on_job = on_job
        self._id = run.spec.id
        self._reading = asyncio.Lock()
        self._done = 0
        self._new = 0

    # --- the batch -----------------------------------------------------------------------------------

    async def submit(self, *, replace: bool, seen: Seen | None, force: bool) -> None:
        """Submit the batch, unless it is there already."""
        spec, person = self._run.spec, self._person
        event = Submitted(
            **person.stamp(), **self._id._asdict(), user=person.name, spec=spec, ran_at=self._run.ran_at
        )
        appender = Appender(self._cluster.log)
        while True:
            course, scope_seq = await read_standing(self._cluster, self._id)
            if course.exists and not replace:
                await self._refuse_another(course)
                self._submission = _Submission(course.seq, course.submission or "")
                return
            seen = seen or Seen(course, scope_seq)
            if course.exists:
                refuse_another(self._id, course, seen.course, "it was not replaced")
                with suppress(UnknownName):  # somebody else has deleted it by now
                    await delete(self._cluster, person, self._id, seen=seen, replacing=True, force=force)
                continue
            seq = await appender.append(event, scope_seq)
            if seq is not None:
                self._submission = _Submission(seq, event.id)
                return

    async def _refuse_another(self, course: Course) -> None:
        """Raises `Refused` if the batch of this name is not this run, submitted by this person."""
        try:
            raw = await self._cluster.log.get_raw(course.seq)
        except KeyError:
            raise LogReplaced(f"the log lacks event {course.seq}, the submission of {self._id}") from None
        there, _ = decode_without_jobs(raw.payload)
        name = printable(str(self._id))
        if there.ran_at != self._run.ran_at:
            raise Refused(
                f"there is already a batch {name}, of {printable(course.user)}, and it is not the run of "
                "this folder: replace it with --replace, or first "
                f"`distribute delete {argument(str(self._id))}`"
            )
        if course.user != self._person.name:
            raise Refused(f"{printable(course.user)} is already collecting this run of {name}")

    # --- its jobs ------------------------------------------------------------------------------------

    async def collect(self) -> Collection:
        """Collect the jobs that were not collected yet."""
        self._results = BatchResults(self._id)
        self._reader = BatchReader(self._cluster, self._id, self._results.fold)
        batch = await self._read()
        if self._run.built is not None:
            await self._collect_build(self._run.built)
        status = batch.status
        jobs = zip((job.name for job in self._run.spec.work.jobs), self._run.ended, strict=True)
        waiting = [(name, ended) for name, ended in jobs if status[batch.rows[name]] == QUEUED]
        self._done, self._new = len(status) - len(waiting), 0
        self._on_job(self._done, len(status))
        await for_each(waiting, self._collect_job, at_once=min(JOBS_AT_ONCE, max(1, len(waiting))))
        batch = await self._read()
        succeeded, failed, killed = (batch.counts[end] for end in _ENDS)
        return Collection(succeeded, failed, killed, self._new)

    async def _read(self) -> BatchState:
        """The batch as it stands now. Raises `Refused` if it is not there any more."""
        async with self._reading:
            await self._reader.read_to_now()
        batch = self._results.story.state
        if batch is None or batch.submission != self._submission.id:
            raise Refused(f"somebody deleted {printable(str(self._id))} meanwhile: collect it again")
        return batch

    async def _collect_build(self, built: Built) -> None:
        """Collect the build, unless that was done."""
        store, person = self._cluster.store, self._person
        names = {job.name for job in self._run.spec.work.jobs}
        beaten_by_seq = 0
        while built.node not in self._results.builds:  # nobody says this but the batch's person
            outputs = None
            if built.printed is not None:
                name = build_output_name(self._id.batch, built.node, names.__contains__)
                outputs = await collect_build(
                    built.printed, name, store, f"{self._id}//{built.node}", person.name
                )
            event = BuildCollected(
                **person.stamp(), **self._id._asdict(), node=built.node, submission=self._submission.id,
                succeeded=built.succeeded, reason=built.reason, wall_s=built.wall_s, outputs=outputs,
                last_lines=await asyncio.to_thread(_last_lines, built.succeeded, built.printed),
            )  # fmt: skip
            try:
                await self._cluster.log.append(event, Guard(beaten_by_seq, self._submission.seq))
                break
            except Conflict as conflict:
                beaten_by_seq = conflict.last_seq
                await self._read()

    async def _collect_job(self, job: tuple[str, Ended]) -> None:
        name, ended = job
        event = Collected(
            **self._person.stamp(),
            **JobId(*self._id, name)._asdict(),
            attempt=1,
            submission=self._submission.id,
            outputs=await self._store(JobId(*self._id, name), ended),
            last_lines=await asyncio.to_thread(_quoted, ended),
            **{field: getattr(ended, field) for field in _FIELDS},
        )
        beaten_by_seq = 0
        while True:
            try:
                await self._cluster.log.append(event, Guard(beaten_by_seq, self._submission.seq))
                self._new += 1
                break
            except Conflict as conflict:
                beaten_by_seq = conflict.last_seq
                batch = await self._read()
                if batch.status[batch.rows[name]] != QUEUED:
                    break  # it was collected, or a person killed it
        self._done += 1
        self._on_job(self._done, len(self._run.ended))

    async def _store(self, job: JobId, ended: Ended) -> Outputs | None:
        """Store what a job left."""
        left = ended.left
        if left is None:
            return None
        store, prefix, author = self._cluster.store, f"{job}/1", self._person.name
        if left.stdout is None:
            return await collect_pulled(left.folder, store, prefix, author)
        return await collect_outputs(left.folder, left.stdout, store, prefix, author)


_ENDS = (Status.SUCCEEDED, Status.FAILED, Status.KILLED)
_FIELDS = (
    "state", "node", "started_at", "ended_at", "exit_code", "signal", "reason", "wall_s", "cpu_s",
    "max_rss_bytes",
)  # fmt: skip
"""The fields of `Ended` that `collected` has."""


def _quoted(ended: Ended) -> tuple[str, ...] | None:
    """The end of what a job printed, if it failed."""
    return _last_lines(ended.state == "succeeded", ended.left.printed if ended.left is not None else None)


def _last_lines(succeeded: bool, printed: Path | None) -> tuple[str, ...] | None:
    return None if succeeded or printed is None else last_lines(printed) or None
