"""An attempt at this node, as the machine knows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, TypedDict

from distribute.core import events as ev
from distribute.core.events import SCHEDULER
from distribute.core.ids import AttemptId, JobId
from distribute.core.recipe import Share
from distribute.core.recorded import Recorded
from distribute_services.node_runner.machine.outbox import Outbox


class Phase(Enum):
    """How far an attempt is at this node. `course` has the diagram."""

    WAITING = auto()
    CLAIMING = auto()
    CLAIMED = auto()
    LAUNCHING = auto()
    RUNNING = auto()
    COLLECTING = auto()
    REPORTING = auto()
    STOPPING = auto()


ENDED = frozenset({Phase.COLLECTING, Phase.REPORTING})
"""The process of the attempt has ended, and the end is not reported yet."""

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
    is_detached: bool = False
    """The log was replaced, and may lack the assignment. Until that is known, nothing is appended."""

    @classmethod
    def of(cls, recorded: Recorded, event: ev.Assigned) -> Attempt:
        """Make the attempt of an assignment."""
        share = Share(event.cpus, event.memory_bytes, event.gpus)
        outbox = Outbox(event.id, recorded.seq)
        submission = submission_of(event)
        seq, time = recorded.seq, recorded.time
        return cls(event.scope, event.attempt, share, submission, event.id, time, seq, outbox)

    def __str__(self) -> str:
        return str(self.id)

    @property
    def id(self) -> AttemptId:
        return AttemptId(*self.job, self.number)

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

    def is_taken_by(self, event: ev.Released) -> bool:
        """Whether this attempt is released. A deleted batch may have had the same name."""
        of_this_batch = (
            None in {event.submission, self.submission.id} or event.submission == self.submission.id
        )
        return of_this_batch and event.attempt == self.number

    def attach(self, assignment: Recorded) -> None:
        """Take the assignment that the log has for this attempt."""
        self.is_detached = False
        self.assigned_id = assignment.event.id
        self.assigned_at = assignment.time
        self.assigned_seq = assignment.seq


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


def standing(attempt: Attempt, node: str, scope: Iterable[Recorded]) -> tuple[Standing, Recorded | None]:
    """Find out from the events of the job's scope who has an attempt, and which event decides that.

    Only the scheduler's events count. Events older than the assignment may belong to a deleted batch of the
    same name.
    """
    found: Standing = Standing.UNKNOWN
    decisive = None
    for recorded in scope:
        event = recorded.event
        if event.author != SCHEDULER:
            continue
        if isinstance(event, ev.Released) and found is Standing.HELD and attempt.is_taken_by(event):
            found, decisive = Standing.GONE, recorded
        if not isinstance(event, ev.Assigned):
            continue
        is_later = found is Standing.HELD or recorded.time > attempt.assigned_at
        if event.id == attempt.assigned_id or (is_later and event.node == node and attempt.is_of(event)):
            found, decisive = Standing.HELD, recorded
        elif is_later:
            found, decisive = Standing.GONE, recorded
    return found, decisive


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt or a build ended. `reason` explains a failure.

    `started_at` is when the process started, in seconds since 1970 by this node's clock.
    """

    succeeded: bool
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    started_at: float | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    paused_s: float = 0.0
    max_rss_bytes: int = 0
