"""The fields that every event has, and the bounds of fields.

Fields have bounds because anyone on the network can publish. An event that decodes can do no harm.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from distribute.core.ids import (
    MAX_NAME_BYTES,
    AttemptId,
    AttemptNumber,
    BatchId,
    BuildId,
    JobId,
    NodeId,
    StoredAuthor,
    StoredName,
)
from distribute.core.spec.specs import EARLIEST as EARLIEST
from distribute.core.spec.specs import LATEST as LATEST
from distribute.core.spec.specs import EventId, Frozen
from distribute.core.spec.specs import Time as Time

MAX_KEPT = 10_000
"""Max. attempts that a node can list as its own: more than any node can run."""

Seconds = Annotated[float, Field(ge=0, le=1e10)]
"""A duration: up to 300 years."""

Id = EventId

MAX_TEXT = 10_000
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
"""A reason, in words."""

MAX_LINES, MAX_LINE = 10, 200
"""Max. lines of output that an event quotes, and max. characters of each."""

LastLines = Annotated[
    tuple[Annotated[str, StringConstraints(max_length=MAX_LINE)], ...],
    Field(max_length=MAX_LINES, fail_fast=True),
]
"""The end of what a failed job or build printed, for people. Output in full is in the archive."""

BatchName = Annotated[str, StringConstraints(max_length=2 * MAX_NAME_BYTES + 1)]
"""`NAMESPACE/BATCH`, for people: the batch may be deleted."""

Kept = Annotated[tuple[AttemptId, ...], Field(max_length=MAX_KEPT, fail_fast=True)]
"""The attempts that a node still has: they run, are frozen, or have ended and are not reported yet."""

MAX_RETRIED = 1000
RetriedJobs = Annotated[tuple[StoredName, ...], Field(max_length=MAX_RETRIED, fail_fast=True)]
"""Jobs that a person names in one retry. Even with the longest names, they fit into one message."""

ReleaseReason = Literal[
    "node_lost",
    "node_left",
    "node_restarted",
    "node_rebooted",
    "killed",
    "build_failed",
    "unclaimed",
    "not_there",
    "moved",
]
"""`node_rebooted`: its computer started anew, so nothing runs on. `node_restarted`: only its runner did, and
does not have the job. `unclaimed`: the node did not claim the job in time. `not_there`: its beats do not name
the attempt. `moved`: a person moves the job, and the node has not claimed it."""


class EventBase(Frozen):
    """The fields of every event.

    Code that runs for each event of a replay looks at `about` or the exact class: pydantic makes `isinstance`
    with a base class several times as slow.
    """

    id: Id
    time: Time
    author: StoredAuthor
    causation: Id | None = None


class BatchEvent(EventBase):
    """Something happened to a batch."""

    about: ClassVar[Literal["batch"]] = "batch"

    namespace: StoredName
    batch: StoredName

    @property
    def scope(self) -> BatchId:
        return BatchId(self.namespace, self.batch)

    @property
    def batch_id(self) -> BatchId:
        return BatchId(self.namespace, self.batch)


class SubmissionEvent(BatchEvent):
    """Something happened to a batch after it was submitted.

    `submission` is the id of its `submitted`: the event may come late, when another batch has the name. None:
    version 1 lacks it.
    """

    submission: Id | None = None


class JobEvent(EventBase):
    """Something happened to an attempt of a job. `node` is the attempt's node, whoever the author is."""

    about: ClassVar[Literal["job"]] = "job"

    namespace: StoredName
    batch: StoredName
    job: StoredName
    attempt: AttemptNumber
    node: StoredAuthor

    @property
    def scope(self) -> JobId:
        return JobId(self.namespace, self.batch, self.job)

    @property
    def batch_id(self) -> BatchId:
        return BatchId(self.namespace, self.batch)


class BuildEvent(EventBase):
    """Something happened to the build of a batch at a node."""

    about: ClassVar[Literal["build"]] = "build"

    namespace: StoredName
    batch: StoredName
    node: StoredAuthor

    @property
    def scope(self) -> BuildId:
        return BuildId(self.batch_id, self.node)

    @property
    def batch_id(self) -> BatchId:
        return BatchId(self.namespace, self.batch)


class NodeEvent(EventBase):
    """Something happened to a node."""

    about: ClassVar[Literal["node"]] = "node"

    node: StoredAuthor

    @property
    def scope(self) -> NodeId:
        return NodeId(self.node)
