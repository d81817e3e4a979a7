"""The batches at this node: each is loaded once, built once if it has a build, and then ready.

    LOADING ─▶ BUILDING ─▶ READY         (no build: LOADING ─▶ READY)
                      └──▶ FAILED ─▶ IDLE ─▶ LOADING

A failed build stays failed until a person wants a retry, or until another attempt is assigned behind the
report of the failure: the scheduler assigns one only if that report was lost. Then the batch is loaded and
built again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from distribute.core import events as ev
from distribute.core.ids import BatchId, BuildId
from distribute.core.manifest import Outputs
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Ending, SubmissionRef
from distribute_services.node_runner.machine.saying import read_scope, say_next
from distribute_services.node_runner.machine.words import Author, Words


class BuildPhase(Enum):
    """How far a batch is at this node."""

    LOADING = auto()
    BUILDING = auto()
    READY = auto()
    FAILED = auto()
    IDLE = auto()


@dataclass(slots=True, eq=False)
class BatchBuild:
    """A batch at this node, and what the node says of its build."""

    id: BuildId
    submission: SubmissionRef
    words: Words
    phase: BuildPhase = BuildPhase.IDLE
    gave_back: set[str] = field(default_factory=set)
    """Jobs that this node gave back once. It does not give them back again."""

    @property
    def batch(self) -> BatchId:
        return self.id.batch_id


class Builds:
    """Every batch that this node knows. Methods return what is to be done."""

    def __init__(self, author: Author) -> None:
        self._author = author
        self._builds: dict[BatchId, BatchBuild] = {}

    def wanted(self, batch: BatchId, cause: str, seq: int, submission: SubmissionRef) -> list[do.Instruction]:
        """An attempt of the batch is here, by an assignment with this id (`cause`) and sequence."""
        build = self._builds.get(batch)
        if build is not None and build.submission.id != submission.id:
            # Another batch has the name now. Whatever was built of the one before is of no use.
            return [*self.forget(batch), *self.wanted(batch, cause, seq, submission)]
        if build is None:
            build = BatchBuild(BuildId(*batch, self._author.node), submission, Words(cause, None))
            self._builds[batch] = build
        build.submission = submission
        is_lost_failure = build.phase is BuildPhase.FAILED and build.words.are_stored_before(seq)
        if build.phase is not BuildPhase.IDLE and not is_lost_failure:
            return []
        build.phase = BuildPhase.LOADING
        build.words.cause = cause
        load = do.Load(batch, submission)
        return [do.Forget(batch), load] if is_lost_failure else [load]

    def is_outdated(self, batch: BatchId, submission: SubmissionRef) -> bool:
        """Whether a later batch of this name is known here: an assignment may come late."""
        build = self._builds.get(batch)
        return (
            build is not None
            and build.submission.id != submission.id
            and build.submission.seq > submission.seq
        )

    def loaded(self, batch: BatchId, needs_build: bool) -> list[do.Instruction]:
        """It is known what the batch is."""
        build = self._in(batch, BuildPhase.LOADING)
        if build is None:
            return []
        if not needs_build:
            build.phase = BuildPhase.READY
            return []
        build.phase = BuildPhase.BUILDING
        is_first = build.words.is_empty
        build.words.add(
            ev.BuildStarted(
                **self._author.stamp(build.words.cause),
                **build.id._asdict(),
                submission=build.submission.id,
            )
        )
        return [*(read_scope(build) if is_first else say_next(build)), do.Build(batch)]

    def load_failed(self, batch: BatchId) -> bool:
        """Nobody can tell what the batch is. False if this node does not ask any more."""
        if self._in(batch, BuildPhase.LOADING) is None:
            return False
        del self._builds[batch]
        return True

    def built(self, batch: BatchId, ending: Ending, outputs: Outputs | None) -> list[do.Instruction]:
        """The build ended."""
        build = self._in(batch, BuildPhase.BUILDING)
        if build is None:
            return []
        build.phase = BuildPhase.READY if ending.succeeded else BuildPhase.FAILED
        build.words.add(
            ev.BuildFinished(
                **self._author.stamp(build.words.cause),
                **build.id._asdict(),
                succeeded=ending.succeeded,
                reason=ending.reason,
                wall_s=ending.wall_s,
                outputs=outputs,
            )
        )
        return say_next(build)

    def retry(self, batch: BatchId, cause: str, seq: int, *, is_wanted: bool) -> list[do.Instruction]:
        """If the batch's build failed, it may be tried again: now, if attempts wait for it."""
        build = self._in(batch, BuildPhase.FAILED)
        if build is None:
            return []
        build.phase = BuildPhase.IDLE
        wanted = self.wanted(batch, cause, seq, build.submission) if is_wanted else []
        return [do.Forget(batch), *wanted]

    def is_ready(self, batch: BatchId) -> bool:
        """Whether attempts of the batch can start."""
        return self._in(batch, BuildPhase.READY) is not None

    def gives_back(self, batch: BatchId, job: str) -> bool:
        """Whether the node may give a job back that it could not start: once, lest it comes back for ever."""
        build = self._builds.get(batch)
        if build is None or job in build.gave_back:
            return False
        build.gave_back.add(job)
        return True

    # --- what the node says of builds --------------------------------------------------------------

    def reported(self, build: BatchBuild, seq: int) -> list[do.Instruction]:
        """An event about the build is in the log."""
        build.words.stored(seq)
        return read_scope(build) if build.words.read_again else say_next(build)

    def refused(self, build: BatchBuild, last_seq: int) -> list[do.Instruction]:
        """Another message is in the build's scope: say the node's word behind it."""
        build.words.refused(last_seq)
        return read_scope(build)

    def read(self, build: BatchBuild, read: st.ScopeRead) -> list[do.Instruction]:
        """The build's scope was read."""
        build.words.end_reading()
        if build.words.read_again:
            return read_scope(build)
        found = {recorded.event.id for recorded in read.scope}
        build.words.reread(found, (), read.last_seq, self._author.new_id, root=None)
        return say_next(build)

    def read_all(self) -> list[do.Instruction]:
        """The log was replaced: see what it lacks. It has submissions at other places."""
        for build in self._builds.values():
            build.submission = build.submission._replace(seq=0)
        spoken = [build for build in self._builds.values() if not build.words.is_empty]
        return [read for build in spoken for read in read_scope(build)]

    # --- the end -----------------------------------------------------------------------------------

    def forget(self, batch: BatchId) -> list[do.Instruction]:
        """The batch is over. What was said of its build may still be on its way."""
        build = self._builds.pop(batch, None)
        return [do.Forget(batch)] if build is not None and build.phase is not BuildPhase.IDLE else []

    def forget_all(self) -> list[do.Instruction]:
        """The node is leaving."""
        return [forgotten for batch in list(self._builds) for forgotten in self.forget(batch)]

    def _in(self, batch: BatchId, phase: BuildPhase) -> BatchBuild | None:
        build = self._builds.get(batch)
        return build if build is not None and build.phase is phase else None
