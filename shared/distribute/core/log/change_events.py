"""The events by which a person acts on a batch that is there. `events` has the union of all."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from distribute.core.ids import AttemptNumber, StoredName
from distribute.core.log.event_base import RetriedJobs, SubmissionEvent, Text
from distribute.core.spec.specs import MAX_JOBS, MAX_TIMEOUT_S, Bytes, Cpus, GpuCount, Priority, Retries

MAX_EDITED = 1000
"""Max. jobs that one edit names: each may become a group of its own."""

EditedTimeout = Annotated[float, Field(ge=0, le=MAX_TIMEOUT_S)]
"""A timeout of jobs that a person has changed, in seconds. 0: none."""

EditedCount = Annotated[int, Field(ge=0, le=MAX_JOBS)]
"""A limit of a batch that a person has changed. 0: none."""

EditedJobs = Annotated[tuple[StoredName, ...], Field(min_length=1, max_length=MAX_EDITED, fail_fast=True)]


class KillRequested(SubmissionEvent):
    """A person wants the batch, or one `job` of it, stopped. Queued jobs are killed at once.

    `state`: only the jobs in this state. `discard`: nobody wants what running jobs leave, because the batch
    will be deleted; so the scheduler releases them.
    """

    type: Literal["kill_requested"] = "kill_requested"
    v: Literal[3] = 3
    job: StoredName | None = None
    state: Literal["queued"] | None = None
    discard: bool = False


class RetryRequested(SubmissionEvent):
    """A person wants jobs to run again that failed or were killed.

    `failed_only`, `killed_only`: only those of one kind. `jobs`: only these; None: all. `hold`: the person
    holds the batch, too, so that none of them begins before it is released.
    """

    type: Literal["retry_requested"] = "retry_requested"
    v: Literal[2] = 2
    failed_only: bool = False
    killed_only: Literal[True] | None = None
    jobs: RetriedJobs | None = None
    hold: Literal[True] | None = None


class Reprioritized(SubmissionEvent):
    """A person changed the batch's priority."""

    type: Literal["reprioritized"] = "reprioritized"
    v: Literal[2] = 2
    priority: Priority


class Held(SubmissionEvent):
    """A person holds the batch: until it is released, no job of it begins. What nodes have goes on."""

    type: Literal["held"] = "held"
    v: Literal[1] = 1
    reason: Text | None = None


class HoldReleased(SubmissionEvent):
    """A person lets jobs of a held batch begin again."""

    type: Literal["hold_released"] = "hold_released"
    v: Literal[1] = 1


class Edited(SubmissionEvent):
    """A person changed what waiting jobs ask for, or how their batch limits itself. None: it stays as it is.

    `jobs`: only these; None: all that wait. Jobs that are with a node, or over, keep what they have. Of a job
    that takes a whole node, nothing but `cpus` makes a share.
    """

    type: Literal["edited"] = "edited"
    v: Literal[1] = 1
    jobs: EditedJobs | None = None
    cpus: Cpus | None = None
    memory_bytes: Bytes | None = None
    gpus: GpuCount | None = None
    timeout_s: EditedTimeout | None = None
    retries: Retries | None = None
    max_running: EditedCount | None = None
    max_failures: EditedCount | None = None


class MoveRequested(SubmissionEvent):
    """A person wants this attempt of `job` given back. The job runs again, at another node if one can.

    If the attempt is over by then, this changes nothing.
    """

    type: Literal["move_requested"] = "move_requested"
    v: Literal[1] = 1
    job: StoredName
    attempt: AttemptNumber
