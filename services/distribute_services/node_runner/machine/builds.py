"""The batches at this node. Each is loaded once, built once if it has a build, and is then ready.

    LOADING ─▶ BUILDING ─▶ READY         (no build: LOADING ─▶ READY)
                      ├──▶ FAILED ─▶ IDLE ─▶ LOADING
                      └─ killed: ENDING ▶┘

A failed build stays failed until a person requests a retry, or until an attempt is assigned behind the
report of the failure, which the scheduler does only if that report was lost. Then the batch is loaded and
built again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum, auto

from distribute.core.files.manifest import Outputs
from distribute.core.ids import BatchId, BuildId, JobId
from distribute.core.log import events as ev
from distribute.core.words import killed_by
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Ending, SubmissionRef
from distribute_services.node_runner.machine.instructions import append_next, read_scope
from distribute_services.node_runner.machine.outbox import Author, Outbox


class BuildPhase(Enum):
    """How far a batch is at this node."""

    LOADING = auto()
    BUILDING = auto()
    ENDING = auto()
    """The build is being ended, because its batch was killed or is over."""
    READY = auto()
    FAILED = auto()
    IDLE = auto()


MAX_BATCHES = 128
"""Max. batches that a node knows. Each takes a task while it is read, then up to 3 MB and a built folder.
To make room for another, the node forgets the oldest without an attempt here. If all have attempts, it does
not take the job."""


@dataclass(slots=True, eq=False)
class BatchBuild:
    """A batch at this node. `outbox` has the events that the node appends about its build."""

    id: BuildId
    submission: SubmissionRef
    outbox: Outbox
    phase: BuildPhase = BuildPhase.IDLE
    gave_back: set[str] = field(default_factory=set)
    """Jobs that this node gave back once. It never gives a job back twice."""
    wanted_again: tuple[str, int] | None = None
    """Cause and sequence of an assignment that came while the build is being ended."""
    is_built: bool = False
    """An earlier runner has built it, for attempts that go on."""
    is_over: bool = False
    """Its batch is over: forget the build as soon as what it printed is reported."""

    @property
    def batch(self) -> BatchId:
        return self.id.batch_id

    @property
    def names(self) -> dict[str, str]:
        """The fields by which the events of the build name it."""
        return {**self.batch._asdict(), "node": self.id.node}


class Builds:
    """All batches that this node knows. Methods return instructions."""

    def __init__(self, author: Author) -> None:
        self._author = author
        self._builds: dict[BatchId, BatchBuild] = {}

    def wanted(self, batch: BatchId, cause: str, seq: int, submission: SubmissionRef) -> list[do.Instruction]:
        """Load the batch for an attempt, unless that was done. `cause`, `seq`: those of its assignment."""
        build = self._builds.get(batch)
        if build is not None and build.submission.id != submission.id:
            # Another batch has the name now, so the old build is of no use.
            return [*self.forget(batch), *self.wanted(batch, cause, seq, submission)]
        if build is None:
            build = BatchBuild(BuildId(batch, self._author.node), submission, Outbox(cause, None))
            self._builds[batch] = build
        build.submission = submission
        build.is_over = False
        if build.phase is BuildPhase.ENDING:
            build.wanted_again = cause, seq
            return []
        is_lost_failure = build.phase is BuildPhase.FAILED and build.outbox.are_stored_before(seq)
        if build.phase is not BuildPhase.IDLE and not is_lost_failure:
            return []
        build.phase = BuildPhase.LOADING
        build.outbox.cause = cause
        load = do.Load(batch, submission)
        return [do.Forget(batch), load] if is_lost_failure else [load]

    def take_up(
        self, batch: BatchId, cause: str, submission: SubmissionRef, *, is_built: bool
    ) -> list[do.Instruction]:
        """Load the batch of an attempt that an earlier runner left. `is_built`: its build is there, too."""
        loads = self.wanted(batch, cause, 0, submission)
        self._builds[batch].is_built |= is_built
        return loads

    def make_room(self, batch: BatchId, attempts: Collection[JobId]) -> list[do.Instruction] | None:
        """If there are `MAX_BATCHES`, forget one without attempts. Returns None if all have attempts."""
        if batch in self._builds or len(self._builds) < MAX_BATCHES:
            return []
        in_use = {job.batch_id for job in attempts}
        unused = next((known for known in self._builds if known not in in_use), None)
        return self.forget(unused) if unused is not None else None

    def is_outdated(self, batch: BatchId, submission: SubmissionRef) -> bool:
        """Does the node know a later batch of this name? An assignment may come late."""
        build = self._builds.get(batch)
        return (
            build is not None
            and build.submission.id != submission.id
            and build.submission.seq > submission.seq
        )

    def is_of_another(self, event: ev.SubmissionEvent) -> bool:
        """Whether the event is about another batch than the one of that name known here: it may come late."""
        build = self._builds.get(event.scope)
        return (
            build is not None
            and None not in {event.submission, build.submission.id}
            and (event.submission != build.submission.id)
        )

    def loaded(self, batch: BatchId, needs_build: bool) -> list[do.Instruction]:
        """Call this when the batch was read."""
        build = self._in(batch, BuildPhase.LOADING)
        if build is None:
            return []
        if build.is_built or not needs_build:
            build.phase = BuildPhase.READY
            return []
        build.phase = BuildPhase.BUILDING
        is_first = build.outbox.is_empty
        build.outbox.add(
            ev.BuildStarted(
                **self._author.stamp(build.outbox.cause),
                **build.names,
                submission=build.submission.id,
            )
        )
        return [*(read_scope(build) if is_first else append_next(build)), do.Build(batch)]

    def load_failed(self, batch: BatchId) -> bool:
        """Call this when the batch can't be read. Returns False if the node does not wait for it any more."""
        if self._in(batch, BuildPhase.LOADING) is None:
            return False
        del self._builds[batch]
        return True

    def built(
        self, batch: BatchId, ending: Ending, outputs: Outputs | None, kept_from: BatchId | None = None
    ) -> list[do.Instruction]:
        """Call this when the build has ended, or was kept of another batch."""
        build = self._in(batch, BuildPhase.BUILDING, BuildPhase.ENDING)
        if build is None:
            return []
        killed = build.phase is BuildPhase.ENDING and not ending.succeeded
        if ending.succeeded:
            build.phase = BuildPhase.READY
        else:
            build.phase = BuildPhase.IDLE if killed else BuildPhase.FAILED
        build.outbox.add(
            ev.BuildFinished(
                **self._author.stamp(build.outbox.cause),
                **build.names,
                succeeded=ending.succeeded,
                killed=killed,
                reason=ending.reason,
                last_lines=ending.last_lines or None,
                wall_s=ending.wall_s,
                outputs=outputs,
                kept_from=None if kept_from is None else str(kept_from),
            )
        )
        again, build.wanted_again = build.wanted_again, None
        if build.is_over:
            return [*append_next(build), *self.forget(batch)]
        if again is not None:
            return [*append_next(build), *self.wanted(batch, *again, build.submission)]
        return append_next(build)

    def end(self, batch: BatchId, reason: str) -> list[do.Instruction]:
        """Load or build the batch no further: it was killed. What the build printed is kept."""
        build = self._in(batch, BuildPhase.LOADING)
        if build is not None and build.is_built:
            return []  # attempts run that began as a copy of it
        if build is not None:
            build.phase = BuildPhase.IDLE
            return [do.Forget(batch)]
        build = self._in(batch, BuildPhase.BUILDING)
        if build is None:
            return []
        build.phase = BuildPhase.ENDING
        return [do.EndBuild(batch, reason)]

    def vacate(self, reason: str) -> list[do.Instruction]:
        """End all builds that run, for this reason. They begin again when a job comes that needs them."""
        running = [batch for batch, build in self._builds.items() if build.phase is BuildPhase.BUILDING]
        return [instruction for batch in running for instruction in self.end(batch, reason)]

    def is_ending(self, batch: BatchId) -> bool:
        """Is the build of the batch being ended? Then `built` follows."""
        return self._in(batch, BuildPhase.ENDING) is not None

    def over(self, batch: BatchId) -> list[do.Instruction]:
        """Drop a batch that is over. If it is being built, end that first, and report what it printed."""
        build = self._in(batch, BuildPhase.BUILDING, BuildPhase.ENDING)
        if build is None:
            return self.forget(batch)
        build.is_over = True
        return self.end(batch, killed_by(None))

    def retry(self, batch: BatchId, cause: str, seq: int, *, is_wanted: bool) -> list[do.Instruction]:
        """Allow another try of a failed build. If attempts wait for it (`is_wanted`), begin at once."""
        build = self._in(batch, BuildPhase.ENDING, BuildPhase.FAILED, BuildPhase.IDLE)
        if build is None:
            return []
        forgets: list[do.Instruction] = []
        if build.phase is BuildPhase.FAILED:
            build.phase = BuildPhase.IDLE
            forgets = [do.Forget(batch)]
        return [*forgets, *(self.wanted(batch, cause, seq, build.submission) if is_wanted else [])]

    def is_ready(self, batch: BatchId) -> bool:
        """Can attempts of the batch start?"""
        return self._in(batch, BuildPhase.READY) is not None

    def has_failed(self, batch: BatchId) -> bool:
        """Did the build of the batch fail?"""
        return self._in(batch, BuildPhase.FAILED) is not None

    def gives_back(self, batch: BatchId, job: str) -> bool:
        """May the node give back a job that it could not start? Only once; the job may be assigned again."""
        build = self._builds.get(batch)
        if build is None or job in build.gave_back:
            return False
        build.gave_back.add(job)
        return True

    # --- events about builds -----------------------------------------------------------------------

    def reported(self, build: BatchBuild, seq: int) -> list[do.Instruction]:
        """Call this when an event about the build is in the log."""
        build.outbox.stored(seq)
        return read_scope(build) if build.outbox.read_again else append_next(build)

    def refused(self, build: BatchBuild, last_seq: int) -> list[do.Instruction]:
        """Call this when a guard failed: read the other message in the scope, then append behind it."""
        build.outbox.refused(last_seq)
        return read_scope(build)

    def read(self, build: BatchBuild, read: st.ScopeRead) -> list[do.Instruction]:
        """Call this when the build's scope was read."""
        build.outbox.end_reading()
        if build.outbox.read_again:
            return read_scope(build)
        if self._has_begun_anew(build):
            return []
        found = {recorded.event.id for recorded in read.scope}
        build.outbox.reread(found, (), read.last_seq, self._author.new_id, root=None)
        return append_next(build)

    def _has_begun_anew(self, build: BatchBuild) -> bool:
        """Has a later build of the batch begun here? Then nothing more that is told of this one fits."""
        last = self._builds.get(build.batch)
        return last is not None and last is not build and not last.outbox.is_empty

    def read_all(self) -> list[do.Instruction]:
        """After the log was replaced, read all scopes, to find out which events it lacks."""
        for build in self._builds.values():
            build.submission = build.submission._replace(seq=0)
        reported = [build for build in self._builds.values() if not build.outbox.is_empty]
        return [read for build in reported for read in read_scope(build)]

    # --- the end -----------------------------------------------------------------------------------

    def forget(self, batch: BatchId) -> list[do.Instruction]:
        """Drop a batch that is over. Events about its build may still be on their way."""
        return [do.Forget(batch)] if self._builds.pop(batch, None) is not None else []

    def forget_all(self) -> list[do.Instruction]:
        """Drop all batches, because the node is leaving."""
        return [forgotten for batch in list(self._builds) for forgotten in self.forget(batch)]

    def _in(self, batch: BatchId, *phases: BuildPhase) -> BatchBuild | None:
        build = self._builds.get(batch)
        return build if build is not None and build.phase in phases else None
