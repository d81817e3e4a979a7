"""The state, which only `fold.apply` changes.

A lab submits a hundred thousand jobs at a time, so a waiting job takes bytes, not objects: a batch holds its
jobs as columns, in rows sorted by group (jobs with equal needs), and only jobs in flight are objects. Times
are the log's own, in seconds since 1970.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from distribute.core.ids import AttemptId, BatchId, JobId
from distribute.core.log.event_base import BatchEvent, BuildEvent, JobEvent
from distribute.core.spec.limits import NO_LIMITS, Limits, Waits
from distribute.core.spec.shape import Shape as Shape
from distribute.core.spec.specs import NotifyOf
from distribute.core.state.acts import Edit as Edit
from distribute.core.state.acts import Holding as Holding
from distribute.core.state.acts import Kill as Kill
from distribute.core.state.columns import Outcomes as Outcomes
from distribute.core.state.packed import ClosedBatch, CompactedBatch, PackedBatch

BatchEnd = Literal["completed", "failed", "killed"]
Presence = Literal["here", "left", "lost"]

NO_EXIT_CODE = -1

MAX_FAILURES_QUOTED = 100
"""Of so many failed jobs of a batch we keep the last line that they printed: 100,000 would be 20 MB."""
MAX_BUILDS_QUOTED = 5


class Status(IntEnum):
    """The status of a job. It takes one byte per job."""

    QUEUED = 0
    ASSIGNED = 1
    CLAIMED = 2
    RUNNING = 3
    RETRYING = 4
    """The job failed, and runs again once the results of the failed attempt are archived."""
    SUCCEEDED = 5
    FAILED = 6
    KILLED = 7


QUEUED, ASSIGNED, CLAIMED, RUNNING, RETRYING, SUCCEEDED, FAILED, KILLED = Status
"""For code that runs with each event: up to Python 3.11, `Status.QUEUED` costs ten times as much."""

IN_FLIGHT = frozenset({Status.ASSIGNED, Status.CLAIMED, Status.RUNNING})
ENDED = frozenset({Status.SUCCEEDED, Status.FAILED, Status.KILLED})


class Group(NamedTuple):
    """Rows `start` to `stop` of a batch: jobs of one shape and one number of retries."""

    shape: Shape
    retries: int
    start: int
    stop: int
    timeout_s: float | None = None
    """A person's, instead of that of the specification; 0: none."""


class Unarchived(NamedTuple):
    """The `finished` event whose outputs are still to be archived: its sequence, and its id."""

    seq: int
    id: str


class Building(NamedTuple):
    """A build that runs: since when, and the id of its `build_started`."""

    since: float
    id: str


_START = attrgetter("start")


@dataclass(slots=True)
class Attempt:
    """A job in flight: what it was given, and since when. `cause` is the id of its node's last event, or of
    its assignment."""

    number: int
    node: str
    cpus: int
    memory_bytes: int
    gpus: tuple[int, ...]
    seq: int
    assigned_at: float
    cause: str
    started_at: float | None = None
    stop_at: float | None = None
    """When the scheduler told its node to end it: a person killed or moves it, or its batch is over."""
    moved_by: str | None = None
    """The person who wants its node to give it back."""
    lag_s: float = 0.0
    """The least of its node's events so far, see `outcomes.lag_s`. It is set with the first, `claimed`."""
    submission: str | None = None
    """The one under which it was assigned, if its batch was replaced since. None: the batch's own."""

    @property
    def since(self) -> float:
        """When the attempt started or, if that is unknown, when it was assigned."""
        return self.assigned_at if self.started_at is None else self.started_at


_NUMBERS = tuple(range(1 << 14))
"""The first row numbers, shared by all batches. A number of its own would cost a job 28 bytes."""


def rows_of(names: Sequence[str]) -> dict[str, int]:
    """The row of each name."""
    return dict(zip(names, chain(_NUMBERS, range(len(_NUMBERS), len(names))), strict=False))


@dataclass(slots=True)
class BatchState:
    """A batch. Only its own events, and those of its jobs and builds, change it.

    `seq` is the sequence of its submission, `last_seq` that of the last event of its scope, and `under_seq`
    that of the last event under it; guards use these. `submission` is the id of its submission, and `cause`
    that of the last event of its scope. `first_seq` is where its events begin: at the submission of the first
    of the batches that replaced one another, and may have kept jobs; `seq`, if it replaced none.
    `continues`: the submissions before its own, if it replaced a batch that was not over.
    """

    id: BatchId
    seq: int
    first_seq: int
    submission: str
    last_seq: int
    under_seq: int
    cause: str
    user: str
    kind: str
    priority: int
    matrix_user: str | None
    notify: tuple[NotifyOf, ...]
    """What its person wants to be told of it, beside its end."""
    submitted_at: float
    needs_build: bool
    groups: tuple[Group, ...]
    names: list[str]
    file_order: array[int] | None
    """The rows in the order of the user's file; None if that is the order of the rows."""
    rows: dict[str, int]
    status: bytearray
    job_seq: array[int]
    """The last sequence of each job's scope; 0: no event yet."""
    attempts: array[int]
    counts: list[int]
    """How many jobs have each `Status`."""
    limits: Limits = NO_LIMITS
    loosest_max_running: int | None = None
    """The greatest `max_running` that it has had; None: at some time it had none. An assignment may have been
    decided on before a person changed that."""
    edited: Edit | None = None
    """The last edit of it, or of jobs of it."""
    moved_from: dict[int, str] = field(default_factory=dict)
    """Waiting rows that a person moved, with the node that they shall leave."""
    last_is_outdated: bool = False
    """The last job has begun, and others were queued again since: whatever it leaves, it runs again."""
    assigned_seq: int = 0
    """The sequence of the last assignment of any of its jobs, for the guard of the next; 0: there is none."""
    able_since: float = 0.0
    """Since when a job of it could have been given to a node: it did not wait for itself."""
    ran_at: str | None = None
    """The system that ran it, if this cluster did not: then nothing here does."""
    continues: tuple[str, ...] = ()
    taken_over: set[int] = field(default_factory=set)
    """Rows whose jobs ran when it replaced the batch before it, and went on."""
    active: dict[int, Attempt] = field(default_factory=dict)
    outcomes: Outcomes = field(default_factory=Outcomes)
    node_names: list[str] = field(default_factory=list)
    node_numbers: dict[str, int] = field(default_factory=dict)
    """The place of each name in `node_names`."""
    failures: dict[int, int] = field(default_factory=dict)
    suspects: dict[int, str] = field(default_factory=dict)
    """Rows whose last attempt failed fast, with its node, which may be to blame."""
    inexcusable: set[int] = field(default_factory=set)
    """Rows whose failures are their own: they were excused once, or failed on two nodes."""
    deaths: dict[int, list[str]] = field(default_factory=dict)
    """The nodes that went down while the job ran on them, one entry each time."""
    reasons: dict[int, str] = field(default_factory=dict)
    last_lines: dict[int, str] = field(default_factory=dict)
    """The first rows that failed, with the last line that each printed; empty if it printed none. At most
    `MAX_FAILURES_QUOTED`."""
    unarchived: dict[int, Unarchived] = field(default_factory=dict)
    """Rows that have ended, whose outputs the archiver must still check."""
    missing: dict[int, str] = field(default_factory=dict)
    """Rows whose last outputs the store has lost, with what is missing."""
    killed: Kill | None = None
    """Who killed the whole batch. Later kills of it change nothing."""
    killed_rows: dict[int, Kill] = field(default_factory=dict)
    """Who killed single jobs, in flight or waiting."""
    holding: Holding | None = None
    """Who holds the batch, so that no job of it begins. Later holds of it change nothing."""
    forgiven: set[int] = field(default_factory=set)
    """Rows that failed, and do not count for `max_failures`, because a person had others run again since."""
    discards: bool = False
    """Nobody wants what its jobs in flight leave, because the batch is about to be deleted."""
    building: dict[str, Building] = field(default_factory=dict)
    """The builds that run, by node."""
    built_on: set[str] = field(default_factory=set)
    """The nodes that have built it. They may have left since: `NodeState.builds` has what is still there."""
    build_failed: dict[str, str] = field(default_factory=dict)
    build_lines: dict[str, list[str]] = field(default_factory=dict)
    """What failed builds printed last, by node. At most `MAX_BUILDS_QUOTED`."""
    build_kept: dict[str, str] = field(default_factory=dict)
    """By node: the batch of which the node has kept the same build. At most `MAX_BUILDS_QUOTED`."""
    end: BatchEnd | None = None
    end_reason: str | None = None
    finished_at: float | None = None
    archived: bool = False
    compacted_at: float | None = None
    """When its events were moved into an archive. Since then, it can only be deleted."""

    def group_of(self, row: int) -> Group:
        """The group of a row."""
        groups = self.groups
        return groups[0] if len(groups) == 1 else groups[bisect_right(groups, row, key=_START) - 1]

    def job_id(self, row: int) -> JobId:
        return JobId(self.id.namespace, self.id.batch, self.names[row])

    def attempt_id(self, row: int) -> AttemptId:
        """The last attempt at the job in this row."""
        return AttemptId(self.id.namespace, self.id.batch, self.names[row], self.attempts[row])

    def submission_of(self, row: int) -> str:
        """The submission under which the job in this row, which is in flight, was assigned."""
        return self.active[row].submission or self.submission

    def kill_of(self, row: int) -> Kill | None:
        """Who killed the job in this row, if a person did. It may have ended by itself before that."""
        return self.killed_rows.get(row) or self.killed

    def kill_wanted(self, row: int) -> bool:
        return self.killed is not None or row in self.killed_rows

    @property
    def submissions(self) -> tuple[str, ...]:
        """Its own, and those before that it continues."""
        return (*self.continues, self.submission)

    @property
    def last_row(self) -> int | None:
        """The row of the job that runs when all others are over, if there is one: the last."""
        return len(self.names) - 1 if self.limits.has_last_job else None

    @property
    def unfinished(self) -> int:
        """How many jobs have not ended."""
        return len(self.names) - sum(self.counts[status] for status in ENDED)


class JobKey(NamedTuple):
    """A job by its batch and row. This is cheaper than its name."""

    batch: BatchId
    row: int


@dataclass(slots=True)
class FailureRecord:
    """A node's record with jobs of one kind: GPU work or other work."""

    fast_failures: dict[JobKey, None] = field(default_factory=dict)
    """Jobs that failed fast here, one after another, since the last that did not; the oldest first."""
    cleared: int = 0
    """How many of them failed elsewhere, too: the jobs are to blame."""
    blamed: int = 0
    """How many of them succeeded elsewhere: this node is to blame."""
    quarantines: int = 0
    """Quarantines for jobs of this kind since one last succeeded on the node."""


@dataclass(slots=True)
class NodeState:
    """A node, its resources, and what is used of them. Times are in seconds since 1970.

    `cause` is the id of the last event of its scope.
    """

    name: str
    last_seq: int
    cause: str
    joined_seq: int
    incarnation: str
    boot_id: str
    capabilities: frozenset[str]
    """Its own, and those for which the head lists it."""
    own_capabilities: frozenset[str]
    cpus: int
    memory_bytes: int
    gpus: tuple[str, ...]
    version: str
    gpu_memory_bytes: tuple[int, ...] = ()
    """Of each GPU; 0, or nothing, if it is unknown."""
    presence: Presence = "here"
    silent_from: float | None = None
    """When the silence began, by the log's clock, for which it was declared lost; None: it is not lost."""
    pauses: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of its pauses, by the log's clock, since its oldest attempt was assigned."""
    rebooted: bool = False
    """Its computer started anew, and what it `dropped` was lost to that."""
    leaving: bool = False
    """Its runner is ending and takes no new jobs."""
    paused_until: float | None = None
    """As all ends, by the log's clock: so long after the event as its author's clock had it."""
    pause_reason: str | None = None
    paused_by: str | None = None
    """Who paused it. None: the node itself, or nobody."""
    draining: str | None = None
    drained_by: str | None = None
    drained_until: float | None = None
    """None: until a person undrains it."""
    quarantined: str | None = None
    quarantined_until: float = 0.0
    used_cpus: int = 0
    used_memory_bytes: int = 0
    used_gpus: set[int] = field(default_factory=set)
    attempts: set[JobKey] = field(default_factory=set)
    dropped: set[JobKey] = field(default_factory=set)
    """The attempts that it no longer has, by its own events. The scheduler must release them."""
    builds: set[BatchId] = field(default_factory=set)
    """The batches that it has built, and can run without building them again."""
    record: FailureRecord = field(default_factory=FailureRecord)
    gpu_record: FailureRecord = field(default_factory=FailureRecord)
    """The record with GPU work. It is separate, because a node with a broken GPU may run other work well."""

    @property
    def records(self) -> tuple[FailureRecord, FailureRecord]:
        return self.record, self.gpu_record


@dataclass(slots=True)
class Usage:
    """A person's use of the lab. It is in integers, so that equal logs give equal states on every machine.

    `core_ms` is past use in core milliseconds as of `as_of_s` (seconds since 1970), see `usage`. `cores` are
    those held now.
    """

    core_ms: int = 0
    as_of_s: int = 0
    cores: int = 0
    served: dict[Shape, float] = field(default_factory=dict)
    """The time of the last assignment of a job, by shape."""


@dataclass(slots=True)
class State:
    """Everything. `seq`, `time` and `cause` (its id) are the last event's.

    `batches` are whole, `packed` are packed; states that differ only in that have the same digest.
    `misfits` counts the events that did not fit and changed nothing.
    """

    seq: int = 0
    time: float = 0.0
    cause: str = ""
    batches: dict[BatchId, BatchState] = field(default_factory=dict)
    packed: dict[BatchId, PackedBatch] = field(default_factory=dict)
    compacted: dict[BatchId, CompactedBatch] = field(default_factory=dict)
    """Batches whose events are in an archive. They are in neither of the other two."""
    nodes: dict[str, NodeState] = field(default_factory=dict)
    listed: dict[str, frozenset[str]] = field(default_factory=dict)
    """The capabilities of the nodes that the head's nodes file names, joined or not."""
    usage: dict[str, Usage] = field(default_factory=dict)
    waits: dict[BatchId, Waits] = field(default_factory=dict)
    """What batches wait for, or waited for, that say so (`after`)."""
    misfits: int = 0
    last_misfit: str = ""

    def find(self, batch_id: BatchId) -> BatchState | ClosedBatch | None:
        """What all batches have, packed or compacted or neither; None: there is no such batch."""
        return self.batches.get(batch_id) or self.packed.get(batch_id) or self.compacted.get(batch_id)

    def batch_of(self, event: BatchEvent | JobEvent | BuildEvent) -> BatchState | None:
        """The batch that an event is about, unless it is packed. A plain tuple finds it, and costs a fifth of
        a `BatchId`."""
        key: Any = (event.namespace, event.batch)
        return self.batches.get(key)
