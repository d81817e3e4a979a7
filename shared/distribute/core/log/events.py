"""All events, as one documented union.

An event is about one scope: a batch, a job, a build or a node. It has an `author`, the `time` by the author's
clock, and in `causation` the id of the event that made the author act. The log adds a sequence and its own
time; the fold uses those, not the author's clock (see `recorded`).

How to add or change a type: `CONTRIBUTING.md`. `tests/compat` holds samples of every version.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter

from distribute.core.files.manifest import Outputs
from distribute.core.frozen import LATER
from distribute.core.ids import StoredAuthor
from distribute.core.log.build_events import BuildCollected as BuildCollected
from distribute.core.log.build_events import BuildFinished as BuildFinished
from distribute.core.log.build_events import BuildStarted as BuildStarted
from distribute.core.log.change_events import Edited as Edited
from distribute.core.log.change_events import EditedTimeout
from distribute.core.log.change_events import Held as Held
from distribute.core.log.change_events import HoldReleased as HoldReleased
from distribute.core.log.change_events import KillRequested as KillRequested
from distribute.core.log.change_events import MoveRequested as MoveRequested
from distribute.core.log.change_events import Reprioritized as Reprioritized
from distribute.core.log.change_events import RetryRequested as RetryRequested
from distribute.core.log.event_base import BatchEvent as BatchEvent
from distribute.core.log.event_base import BuildEvent as BuildEvent
from distribute.core.log.event_base import EventBase, Id, LastLines, Seconds, Text, Time
from distribute.core.log.event_base import JobEvent as JobEvent
from distribute.core.log.event_base import NodeEvent as NodeEvent
from distribute.core.log.event_base import ReleaseReason as ReleaseReason
from distribute.core.log.event_base import SubmissionEvent as SubmissionEvent
from distribute.core.log.node_events import DrainRequested as DrainRequested
from distribute.core.log.node_events import Forgotten as Forgotten
from distribute.core.log.node_events import Joined as Joined
from distribute.core.log.node_events import Leaving as Leaving
from distribute.core.log.node_events import Left as Left
from distribute.core.log.node_events import Listed as Listed
from distribute.core.log.node_events import Lost as Lost
from distribute.core.log.node_events import Paused as Paused
from distribute.core.log.node_events import PauseRequested as PauseRequested
from distribute.core.log.node_events import Quarantined as Quarantined
from distribute.core.log.node_events import Resumed as Resumed
from distribute.core.log.node_events import ResumeRequested as ResumeRequested
from distribute.core.log.node_events import Superseded as Superseded
from distribute.core.log.node_events import Undrained as Undrained
from distribute.core.log.notified import Notified as Notified
from distribute.core.spec.specs import MAX_CPUS, MAX_GPUS, BatchSpec, Bytes, Frozen, Sha256

SCHEDULER = "scheduler"
ARCHIVER = "archiver"
NOTIFIER = "notifier"


# --- batches ---------------------------------------------------------------------------------------


class RanAt(Frozen):
    """Where a batch ran that this cluster did not run.

    `folder` is the SHA-256 of the file that describes the batch in the folder of its results: it tells this
    run from others of the same batch.
    """

    system: Literal["slurm"]
    folder: Sha256


class Submitted(BatchEvent):
    """A person submitted a batch. This is its whole specification.

    `ran_at`: it ran elsewhere. Nothing here will run it; the person brings in what became of its jobs
    (`collected`). None: this cluster runs it.
    `replaces`: the id of the submission of the batch that has its name, is over or held, and goes. Of that,
    the jobs stay that are `kept`, with how they ended and what they left; those of them that run go on.
    """

    type: Literal["submitted"] = "submitted"
    v: Literal[1] = 1
    user: StoredAuthor
    spec: BatchSpec
    ran_at: RanAt | None = None
    replaces: Id | None = None


class Completed(SubmissionEvent):
    """The scheduler found that the batch has ended. With a `reason`, queued jobs failed for that reason."""

    type: Literal["completed"] = "completed"
    v: Literal[2] = 2
    state: Literal["completed", "failed", "killed"]
    reason: Text | None = None


class BatchArchived(SubmissionEvent):
    """All results of a batch that is over are in the archive, except those that are missing."""

    type: Literal["batch_archived"] = "batch_archived"
    v: Literal[2] = 2


class Compacted(SubmissionEvent):
    """The archiver saved all events of this name in an archive, and removes those before this one.

    `by` is the person who wanted it. `archive` is the digest of the file, a saved log, in the store of
    inputs. It holds `events`, the first at `first_seq` and the last at `last_seq`. The batch is closed for
    good: it can be read and deleted, and not changed.
    """

    type: Literal["compacted"] = "compacted"
    v: Literal[1] = 1
    by: StoredAuthor
    archive: Sha256
    events: int = Field(ge=1, le=2**63 - 1)
    first_seq: int = Field(ge=1, le=2**63 - 1)
    last_seq: int = Field(ge=1, le=2**63 - 1)


class Deleted(SubmissionEvent):
    """A person deleted a batch that is over. Its name is free again."""

    type: Literal["deleted"] = "deleted"
    v: Literal[2] = 2


# --- jobs ------------------------------------------------------------------------------------------


class Assigned(JobEvent):
    """The scheduler assigned the job to `node`, with these resources. `gpus` are the node's own indices.

    `submission` is the id of the batch's `submitted`, because a deleted batch may have had the same name.
    That event is at `submitted_seq`, unless the log has lost its end since. None: version 1 lacks these
    fields. `limited`: the batch has `max_running`, so the guard covers all its assignments (`guard_scope`).
    `last`: the job runs when all others of its batch are over, so the guard covers everything under it.
    `timeout_s`: a person's, instead of that of the specification; 0: the job has none.
    `beside`: earlier submissions of the batch, of which attempts go on: it replaced them while they ran.
    """

    type: Literal["assigned"] = "assigned"
    v: Literal[2] = 2
    submission: Id | None = None
    submitted_seq: int = Field(default=0, ge=0, le=2**63 - 1)
    cpus: int = Field(ge=1, le=MAX_CPUS)
    memory_bytes: Bytes = 0
    gpus: Annotated[tuple[Annotated[int, Field(ge=0, lt=MAX_GPUS)], ...], Field(max_length=MAX_GPUS)] = ()
    limited: Literal[True] | None = None
    last: Literal[True] | None = None
    timeout_s: EditedTimeout | None = None
    beside: tuple[Id, ...] | None = None


class Claimed(JobEvent):
    """The node took the job. It belongs to this node alone until it is finished, yielded or released."""

    type: Literal["claimed"] = "claimed"
    v: Literal[1] = 1


class Started(JobEvent):
    """The job's process runs. Left out if the process ended within 100 ms."""

    type: Literal["started"] = "started"
    v: Literal[1] = 1


class StopOrdered(JobEvent):
    """The scheduler told `node` to end the attempt, and to report what it left: `finished` follows.

    A person killed the job (`by`), or its batch is over (None). `whole_batch`: so is every other job of the
    batch, so a build of it is of no use any more. `submission`: as `assigned` has it.
    `moved`: the person (`by`) did not kill the job but moves it. So the node gives it back (`yielded`),
    unless it has succeeded by then.
    """

    type: Literal["stop_ordered"] = "stop_ordered"
    v: Literal[1] = 1
    submission: Id | None = None
    by: StoredAuthor | None = None
    whole_batch: bool = False
    moved: Literal[True] | None = None


class Finished(JobEvent):
    """The job's process ended, and its outputs are in the results bucket, not checked yet.

    `exit_code` and `signal` are those of the job's own process; `reason` explains a failure. `started_at` is
    when the process started, by the node's clock (None: it never did), and `ended_at` when it ended, if that
    was not just now: the node could not report it earlier. `wall_s` excludes pauses. `last_lines`
    are those that a failed job printed last. `outputs` None: the job left nothing, not even a line of output,
    and nothing will be archived.
    """

    type: Literal["finished"] = "finished"
    v: Literal[1] = 1
    succeeded: bool
    exit_code: int | None = Field(default=None, ge=0, le=255)
    signal: int | None = Field(default=None, ge=1, le=255)
    reason: Text | None = None
    last_lines: LastLines | None = None
    started_at: Time | None = None
    ended_at: Time | None = None
    wall_s: Seconds = 0.0
    cpu_s: Seconds = 0.0
    paused_s: Seconds = 0.0
    max_rss_bytes: Bytes = 0
    outputs: Outputs | None = None


class Yielded(JobEvent):
    """The node gave the job back unfinished, for `reason`. This is no failure of the job.

    `outputs` are in the results bucket, as those of `finished`. None: the job left nothing, or never ran.
    """

    type: Literal["yielded"] = "yielded"
    v: Literal[1] = 1
    reason: Text
    outputs: Outputs | None = None


class Released(JobEvent):
    """The scheduler took the job from `node`, and ignores the node's later events about this attempt.

    `submission`: as `assigned` has it.
    """

    type: Literal["released"] = "released"
    v: Literal[3] = 3
    submission: Id | None = None
    reason: ReleaseReason


class Excused(JobEvent):
    """The scheduler took this failure back, because the node may be to blame. The job runs elsewhere.

    `submission`: as `assigned` has it.
    """

    type: Literal["excused"] = "excused"
    v: Literal[2] = 2
    submission: Id | None = None


class Collected(JobEvent):
    """A person brought in how a job ended that ran elsewhere, and its outputs, not checked yet.

    This fits only a job of a batch that has `ran_at`, by the person who submitted the batch. `node` is the
    computer on which it ran there, and `submission` the id of the batch's `submitted`. `exit_code` to
    `outputs` are as `finished` has them. `killed`: a person ended it there.
    """

    type: Literal["collected"] = "collected"
    v: Literal[1] = 1
    submission: Id
    state: Literal["succeeded", "failed", "killed"]
    exit_code: int | None = Field(default=None, ge=0, le=255)
    signal: int | None = Field(default=None, ge=1, le=255)
    reason: Text | None = None
    last_lines: LastLines | None = None
    started_at: Time | None = None
    ended_at: Time
    wall_s: Seconds = 0.0
    cpu_s: Seconds = 0.0
    paused_s: Seconds = 0.0
    max_rss_bytes: Bytes = 0
    outputs: Outputs | None = None

    @property
    def succeeded(self) -> bool:
        """Did the job succeed?"""
        return self.state == "succeeded"


Ending = Finished | Collected
"""An event that says how an attempt ended."""

AttemptEnd = Finished | Yielded | Collected
"""An event that ends an attempt, and lists what it left."""


class JobArchived(JobEvent):
    """The outputs of this attempt are complete and can be pulled; or `missing` says what is lost."""

    type: Literal["job_archived"] = "job_archived"
    v: Literal[1] = 1
    missing: Text | None = None


BuildEnd = BuildFinished | BuildCollected
"""An event that says how a build ended, and lists what it printed."""


Event = Annotated[
    Submitted
    | KillRequested
    | RetryRequested
    | Reprioritized
    | Held
    | HoldReleased
    | Edited
    | MoveRequested
    | Completed
    | BatchArchived
    | Compacted
    | Deleted
    | Notified
    | Assigned
    | Claimed
    | Started
    | StopOrdered
    | Finished
    | Yielded
    | Collected
    | Released
    | Excused
    | JobArchived
    | BuildStarted
    | BuildFinished
    | BuildCollected
    | Joined
    | Leaving
    | Left
    | Lost
    | Forgotten
    | Listed
    | PauseRequested
    | ResumeRequested
    | Paused
    | Resumed
    | DrainRequested
    | Undrained
    | Quarantined
    | Superseded,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event, config=LATER)
"""Reads an event of any type. Its first use makes the validators of all of them."""

KINDS: tuple[type[Event], ...] = get_args(get_args(Event)[0])
"""The class of each type of event."""


def type_of(kind: type[EventBase]) -> str:
    """The type of the events of a class: `submitted` of `Submitted`."""
    found: str = kind.model_fields["type"].default
    return found


def types_of(base: type[EventBase]) -> frozenset[str]:
    """The types of all events of this base: of `NodeEvent`, those about nodes."""
    return frozenset(type_of(kind) for kind in KINDS if issubclass(kind, base))
