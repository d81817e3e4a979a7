"""An attempt at this node, as the machine knows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, TypedDict

from distribute.core.ids import AttemptId, JobId
from distribute.core.log import events as ev
from distribute.core.log.events import SCHEDULER
from distribute.core.log.recorded import Recorded
from distribute.core.spec.recipe import Share
from distribute.host import Record
from distribute_services.node_runner.machine.outbox import Outbox


class Phase(Enum):
    """How far an attempt is at this node. `course` has the diagram."""

    __hash__ = object.__hash__  # that of Enum is in Python, and each job takes it 40 times

    KEPT = auto()
    """An earlier runner left it. This one reads in the log whose it is by now."""
    WAITING = auto()
    CLAIMING = auto()
    CLAIMED = auto()
    LAUNCHING = auto()
    RUNNING = auto()
    ENDING = auto()
    COLLECTING = auto()
    REPORTING = auto()
    STOPPING = auto()


ENDED = frozenset({Phase.ENDING, Phase.COLLECTING, Phase.REPORTING})
"""The process of the attempt has ended, or is being ended, and that is not reported yet."""

NOT_BEGUN = frozenset({Phase.WAITING, Phase.CLAIMING, Phase.CLAIMED})
"""Nothing has been started for the attempt."""


class SubmissionRef(NamedTuple):
    """One batch of a name: that of the `submitted` event with this id and this sequence in the log.

    `id` None: the last batch of the name (version 1 of `assigned` has no id). `seq` 0: unknown.
    """

    id: str | None = None
    seq: int = 0


class Names(TypedDict):
    """The fields by which an attempt's events name it."""

    namespace: str
    batch: str
    job: str
    attempt: int
    node: str


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt at this node.

    `assigned_id` and `assigned_at` are the id of its `assigned` event and the log's time of it. `failure` is
    the reason for which it must fail as soon as it is claimed.
    """

    job: JobId
    number: int
    share: Share
    submission: SubmissionRef
    assigned_id: str
    assigned_at: float
    assigned_seq: int
    outbox: Outbox
    phase: Phase = Phase.WAITING
    failure: str | None = None
    timeout_s: float | None = None
    """A person's, instead of that of the specification. 0: none."""
    given_back_for: str | None = None
    """The reason for which this node ends it, and gives it back."""
    is_detached: bool = False
    """The log was replaced, and may lack the assignment. Until that is known, nothing is appended."""
    kept: Record | None = None
    """What an earlier runner noted of it. None: this runner began it."""

    @classmethod
    def of(cls, recorded: Recorded, event: ev.Assigned) -> Attempt:
        """Make the attempt of an assignment."""
        share = Share(event.cpus, event.memory_bytes, event.gpus)
        outbox = Outbox(event.id, recorded.seq)
        submission = submission_of(event)
        attempt = cls(
            event.scope, event.attempt, share, submission, event.id, recorded.time, recorded.seq, outbox
        )
        attempt.timeout_s = event.timeout_s
        return attempt

    @classmethod
    def of_record(cls, record: Record) -> Attempt:
        """Make an attempt that an earlier runner began. What the log has of it is not known yet."""
        *job, number = record.attempt
        submission = SubmissionRef(record.submission_id, record.submission_seq)
        assigned = record.assigned_id, record.assigned_at, record.assigned_seq
        outbox = Outbox(record.assigned_id, None)
        attempt = cls(JobId(*job), number, record.share, submission, *assigned, outbox, Phase.KEPT)
        attempt.kept = record
        return attempt

    def __str__(self) -> str:
        return str(self.id)

    @property
    def id(self) -> AttemptId:
        return AttemptId(*self.job, self.number)

    @property
    def record(self) -> Record:
        """What the host notes beside it."""
        assigned = self.assigned_id, self.assigned_seq, self.assigned_at
        return Record(self.id, self.share, *assigned, self.submission.id, self.submission.seq)

    def names(self, node: str) -> Names:
        """The fields by which the attempt's events name it."""
        return {
            "namespace": self.job.namespace,
            "batch": self.job.batch,
            "job": self.job.job,
            "attempt": self.number,
            "node": node,
        }

    def is_of(self, event: ev.Assigned) -> bool:
        """Is this the attempt's own assignment, or the same one, appended again to a log that had lost it?

        The number is not enough: a deleted batch of the same name may have had an attempt with it.
        """
        given = event.submission, event.attempt, Share(event.cpus, event.memory_bytes, event.gpus)
        return event.id == self.assigned_id or given == (self.submission.id, self.number, self.share)

    def is_meant_by(self, event: ev.Released | ev.StopOrdered) -> bool:
        """Whether this attempt is released or to be ended. A deleted batch may have had the same name."""
        of_this_batch = (
            None in {event.submission, self.submission.id} or event.submission == self.submission.id
        )
        return of_this_batch and event.attempt == self.number

    def goes_on_beside(self, event: ev.Assigned) -> bool:
        """Does the attempt go on in the batch of this assignment, which replaced its own while it ran?

        One that has not reported its start does not: the batch was replaced behind its assignment.
        """
        has_begun = self.phase not in NOT_BEGUN | {Phase.LAUNCHING}
        return has_begun and event.beside is not None and self.submission.id in event.beside

    def is_not_before(self, event: ev.Assigned) -> bool:
        """Whether the assignment is of this attempt, which the log has, or of an earlier one of the batch."""
        return not self.is_detached and self.is_of_batch_of(event) and event.attempt <= self.number

    def is_of_batch_of(self, event: ev.Assigned | ev.Released) -> bool:
        """Whether both name the same submission."""
        return self.submission.id is not None and event.submission == self.submission.id

    def attach(self, assignment: Recorded) -> None:
        """Take the assignment that the log has for this attempt."""
        self.is_detached = False
        self.assigned_id = assignment.event.id
        self.assigned_at = assignment.time
        self.assigned_seq = assignment.seq
        if isinstance(assignment.event, ev.Assigned):
            self.timeout_s = assignment.event.timeout_s


def submission_of(event: ev.Assigned) -> SubmissionRef:
    """The submission that an assignment names."""
    return SubmissionRef(event.submission, event.submitted_seq)


class Standing(Enum):
    """Who has an attempt, by the log."""

    HELD = auto()
    GONE = auto()
    """The scheduler released the attempt, or assigned the job again."""
    UNKNOWN = auto()
    """The log has neither its assignment nor a later one."""


class _Numbers:
    """Which assignments of one batch's job the fold accepts: see `fold_job`.

    An attempt has the number behind the one before, and begins once that is over. So an assignment that was
    appended again, behind another one that took its place, does not count. The first one follows the last of
    the batch before, if that one's went on in this, or was kept.
    """

    def __init__(self) -> None:
        self._last = 0
        self._at: str | None = None
        self._before = 0
        """The last attempt of a batch before, or 0."""

    def of_another(self, event: ev.Assigned) -> None:
        """An assignment is of another batch of the name."""
        self._before = event.attempt

    def accepts(self, event: ev.Assigned) -> bool:
        """Is this assignment the next attempt?"""
        follows = {self._last, self._last or self._before}
        if self._at is not None or event.attempt - 1 not in follows:
            return False
        self._last, self._at = event.attempt, event.node
        return True

    def end(self, event: ev.Released | ev.Finished | ev.Yielded) -> None:
        """The attempt may be over by this event."""
        if (event.attempt, event.node) == (self._last, self._at):
            self._at = None


def standing(attempt: Attempt, node: str, scope: Iterable[Recorded]) -> tuple[Standing, Recorded | None]:
    """Find out from the events of the job's scope who has an attempt, and which event decides that.

    Only the scheduler's events give and take an attempt; those of nodes say which attempts are over. An
    assignment of an earlier batch of this name does not count; if a later batch has the name, the attempt is
    gone. If assignments do not name their submission (version 1), their times tell which are earlier.
    """
    found: Standing = Standing.UNKNOWN
    decisive = None
    numbers = _Numbers()
    for recorded in scope:
        event = recorded.event
        if isinstance(event, ev.Finished | ev.Yielded):
            numbers.end(event)
        if event.author != SCHEDULER:
            continue
        if isinstance(event, ev.Released) and attempt.is_of_batch_of(event):
            numbers.end(event)
        if isinstance(event, ev.Released) and found is Standing.HELD and attempt.is_meant_by(event):
            found, decisive = Standing.GONE, recorded
        if not isinstance(event, ev.Assigned):
            continue
        of_this_batch = attempt.is_of_batch_of(event)
        if of_this_batch and not numbers.accepts(event):
            continue
        if not of_this_batch:
            numbers.of_another(event)
        if 0 < event.submitted_seq < attempt.submission.seq and event.submission != attempt.submission.id:
            continue  # late, of an earlier batch
        is_later = found is Standing.HELD or recorded.time > attempt.assigned_at
        is_later |= of_this_batch and event.attempt >= attempt.number
        if event.id == attempt.assigned_id or (is_later and event.node == node and attempt.is_of(event)):
            found, decisive = Standing.HELD, recorded
        elif is_later:
            found, decisive = Standing.GONE, recorded
    return found, decisive


def is_superseded(attempt: Attempt, by: ev.Event | None) -> bool:
    """Did this event have the attempt's job run elsewhere? A killed one does not run any more."""
    match by:
        case ev.Assigned():
            return attempt.is_of_batch_of(by)
        case ev.Released(reason=reason):
            return reason != "killed"
        case _:
            return False


def appended_before(attempt: Attempt, node: str, scope: Iterable[Recorded]) -> list[ev.Event]:
    """What an earlier runner of this node appended about its attempt, each event caused by the one before."""
    found: list[ev.Event] = []
    cause = attempt.assigned_id
    for recorded in scope:
        event = recorded.event
        if (
            isinstance(event, ev.Claimed | ev.Started | ev.Finished | ev.Yielded)
            and recorded.seq > attempt.assigned_seq
            and (event.author, event.attempt, event.causation) == (node, attempt.number, cause)
        ):
            found.append(event)
            cause = event.id
    return found


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt or a build ended. `reason` explains a failure, `last_lines` end what a failure printed.

    `started_at` and `ended_at` are when the process did, in seconds since 1970 by this node's clock.
    """

    succeeded: bool
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    last_lines: tuple[str, ...] = ()
    started_at: float | None = None
    ended_at: float | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    paused_s: float = 0.0
    max_rss_bytes: int = 0

    @property
    def why(self) -> str | None:
        """Why it failed, in words. None: it succeeded."""
        return f"exit code {self.exit_code}" if self.reason is None and self.exit_code else self.reason
