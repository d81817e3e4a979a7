"""Every fact there is, as one documented union.

An event is about one scope: a batch, a job or a node. It says who wrote it (`author`), when by that
author's clock (`time`), and which event made it happen (`causation`). The stream adds a sequence and
its own time; those, not the author's clock, are what the fold uses (see `Recorded`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, Field, TypeAdapter

from distribute.core.ids import BatchId, BuildId, JobId, NodeId, Scope, Under
from distribute.core.manifest import Outputs
from distribute.core.specs import MAX_CPUS, MAX_GPUS, BatchSpec, Bytes, Capabilities, Frozen

SCHEDULER = "scheduler"
ARCHIVER = "archiver"
MAX_ATTEMPTS = 2**31 - 1


class EventBase(Frozen):
    """What every event carries."""

    id: str
    time: datetime
    author: str
    causation: str | None = None


class BatchEvent(EventBase):
    """Something happened to a batch."""

    namespace: str
    batch: str

    @property
    def scope(self) -> BatchId:
        return BatchId(self.namespace, self.batch)


class JobEvent(EventBase):
    """Something happened to an attempt of a job. `node` is its node, whoever writes the event."""

    namespace: str
    batch: str
    job: str
    attempt: int = Field(ge=1, le=MAX_ATTEMPTS)
    node: str

    @property
    def scope(self) -> JobId:
        return JobId(self.namespace, self.batch, self.job)

    @property
    def batch_id(self) -> BatchId:
        return BatchId(self.namespace, self.batch)


class BuildEvent(EventBase):
    """Something happened to the build of a batch on a node."""

    namespace: str
    batch: str
    node: str

    @property
    def scope(self) -> BuildId:
        return BuildId(self.namespace, self.batch, self.node)

    @property
    def batch_id(self) -> BatchId:
        return BatchId(self.namespace, self.batch)


class NodeEvent(EventBase):
    """Something happened to a node."""

    node: str

    @property
    def scope(self) -> NodeId:
        return NodeId(self.node)


# --- batches ---------------------------------------------------------------------------------------


class Submitted(BatchEvent):
    """A person handed in a batch: the whole of it."""

    type: Literal["submitted"] = "submitted"
    v: Literal[1] = 1
    user: str
    spec: BatchSpec


class KillRequested(BatchEvent):
    """A person wants the batch, or one `job` of it, stopped. What is queued ends at once as killed."""

    type: Literal["kill_requested"] = "kill_requested"
    v: Literal[1] = 1
    job: str | None = None


class RetryRequested(BatchEvent):
    """A person wants what failed (and, unless `failed_only`, what was killed) to run again."""

    type: Literal["retry_requested"] = "retry_requested"
    v: Literal[1] = 1
    failed_only: bool = False


class Reprioritized(BatchEvent):
    """A person changed the batch's priority."""

    type: Literal["reprioritized"] = "reprioritized"
    v: Literal[1] = 1
    priority: int = Field(ge=-100, le=100)


class Completed(BatchEvent):
    """The scheduler saw the batch's end. With a `reason`, jobs still queued failed with it."""

    type: Literal["completed"] = "completed"
    v: Literal[1] = 1
    state: Literal["completed", "failed", "killed"]
    reason: str | None = None


class BatchArchived(BatchEvent):
    """The results of every job of a batch that is over are in the archive, but for those that are missing."""

    type: Literal["batch_archived"] = "batch_archived"
    v: Literal[1] = 1


class Deleted(BatchEvent):
    """A person deleted a batch that is over. Its name is free again."""

    type: Literal["deleted"] = "deleted"
    v: Literal[1] = 1


# --- jobs ------------------------------------------------------------------------------------------

ReleaseReason = Literal[
    "node_lost", "node_left", "node_restarted", "killed", "build_failed", "quarantined", "owner"
]


class Assigned(JobEvent):
    """The scheduler gives the job to `node`, with these resources. `gpus` are the node's own indices."""

    type: Literal["assigned"] = "assigned"
    v: Literal[1] = 1
    cpus: int = Field(ge=1, le=MAX_CPUS)
    memory_bytes: Bytes = 0
    gpus: tuple[Annotated[int, Field(ge=0, lt=MAX_GPUS)], ...] = ()


class Claimed(JobEvent):
    """The node took the job: it is this node's, and no other's, until it is finished or released."""

    type: Literal["claimed"] = "claimed"
    v: Literal[1] = 1


class Started(JobEvent):
    """The job's process runs."""

    type: Literal["started"] = "started"
    v: Literal[1] = 1


class Finished(JobEvent):
    """The job's process ended, and its outputs are in the results bucket, not yet checked.

    `exit_code` and `signal` are of the job's own process; `reason` says in words why a failure is one.
    `wall_s` counts no pauses. `outputs` None: nothing was left, not even a line of output.
    """

    type: Literal["finished"] = "finished"
    v: Literal[1] = 1
    succeeded: bool
    exit_code: int | None = Field(default=None, ge=0, le=255)
    signal: int | None = Field(default=None, ge=1, le=255)
    reason: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    paused_s: float = 0.0
    max_rss_bytes: Bytes = 0
    outputs: Outputs | None = None


class Released(JobEvent):
    """The scheduler took the job from `node`. What the node still says of this attempt is fenced."""

    type: Literal["released"] = "released"
    v: Literal[1] = 1
    reason: ReleaseReason


class JobArchived(JobEvent):
    """The outputs of this attempt are whole and can be pulled; or `missing` says what is gone for good."""

    type: Literal["job_archived"] = "job_archived"
    v: Literal[1] = 1
    missing: str | None = None


# --- nodes -----------------------------------------------------------------------------------------


class Joined(NodeEvent):
    """A node-runner started, or came back. What it was doing before, it does no longer.

    `incarnation` is new with every start of the runner. `gpus` names each GPU, in order of index.
    """

    type: Literal["joined"] = "joined"
    v: Literal[1] = 1
    incarnation: str
    capabilities: Capabilities
    cpus: int = Field(ge=1, le=MAX_CPUS)
    memory_bytes: Bytes
    gpus: tuple[str, ...] = Field(default=(), max_length=MAX_GPUS)
    version: str


class Leaving(NodeEvent):
    """A node-runner ends: it takes nothing more, and of its jobs still reports those it `keeps`, by name."""

    type: Literal["leaving"] = "leaving"
    v: Literal[1] = 1
    keeps: tuple[str, ...]


class Left(NodeEvent):
    """A node-runner ended in good order."""

    type: Literal["left"] = "left"
    v: Literal[1] = 1


class Lost(NodeEvent):
    """The scheduler gave the node up: it was silent for longer than its lease."""

    type: Literal["lost"] = "lost"
    v: Literal[1] = 1
    silent_s: float


class PauseRequested(NodeEvent):
    """A person wants the node to lend nothing until `until`."""

    type: Literal["pause_requested"] = "pause_requested"
    v: Literal[1] = 1
    until: AwareDatetime


class Paused(NodeEvent):
    """The node stands still until `until` at the latest."""

    type: Literal["paused"] = "paused"
    v: Literal[1] = 1
    until: AwareDatetime
    reason: str


class Resumed(NodeEvent):
    """The node lends again."""

    type: Literal["resumed"] = "resumed"
    v: Literal[1] = 1


class DrainRequested(NodeEvent):
    """A person wants the node to take no new jobs."""

    type: Literal["drain_requested"] = "drain_requested"
    v: Literal[1] = 1
    reason: str = ""


class Undrained(NodeEvent):
    """A person lets the node take jobs again. Lifts a quarantine, too."""

    type: Literal["undrained"] = "undrained"
    v: Literal[1] = 1


class BuildStarted(NodeEvent):
    """The node builds a batch, before its first job there."""

    type: Literal["build_started"] = "build_started"
    v: Literal[1] = 1
    namespace: str
    batch: str


class BuildFinished(NodeEvent):
    """The build ended. `outputs` holds its output, `<batch>_build_output-<node>.txt`."""

    type: Literal["build_finished"] = "build_finished"
    v: Literal[1] = 1
    namespace: str
    batch: str
    succeeded: bool
    reason: str | None = None
    wall_s: float = 0.0
    outputs: Outputs | None = None

    @property
    def batch_id(self) -> BatchId:
        return BatchId(self.namespace, self.batch)


class Quarantined(NodeEvent):
    """The scheduler gives the node no more jobs: it failed several fast, one after another."""

    type: Literal["quarantined"] = "quarantined"
    v: Literal[1] = 1
    reason: str


Event = Annotated[
    Submitted
    | KillRequested
    | RetryRequested
    | Reprioritized
    | Completed
    | BatchArchived
    | Deleted
    | Assigned
    | Claimed
    | Started
    | Finished
    | Released
    | JobArchived
    | Joined
    | Leaving
    | Left
    | Lost
    | PauseRequested
    | Paused
    | Resumed
    | DrainRequested
    | Undrained
    | BuildStarted
    | BuildFinished
    | Quarantined,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class Guard(NamedTuple):
    """The condition of an append: the last event of the event's `guard_scope` is at `last_seq` (0: none).

    `since` is the sequence the scope's story begins after: events of the scope at or before it belong
    to a deleted batch of the same name, and count as none.
    """

    last_seq: int
    since: int = 0

    def holds(self, found_seq: int) -> bool:
        """Does the guard let an event pass, where the scope's last event is at `found_seq`?"""
        return found_seq == self.last_seq or (self.last_seq <= self.since and found_seq <= self.since)

    @property
    def behind(self) -> int:
        """An event that passed the guard is the first of its scope behind this sequence."""
        return max(self.last_seq, self.since)


class Recorded(NamedTuple):
    """An event in the log: its sequence, and the log's own time, in seconds since 1970."""

    seq: int
    time: float
    event: Event


class Append(NamedTuple):
    """An event to be appended, under a guard. What pure code returns instead of writing."""

    event: Event
    guard: Guard


def guard_scope(event: Event) -> Scope | Under:
    """Whose last event the event's guard speaks of: for what ends a batch, everything under it."""
    if isinstance(event, Completed | BatchArchived | Deleted):
        return Under(event.scope)
    return event.scope
