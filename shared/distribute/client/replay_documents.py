"""The documents that `replay` answers with. As those of queries, their keys are a contract."""

from __future__ import annotations

from typing import TypedDict

from distribute.client.documents import BatchesDocument, IgnoredDocument, NodesDocument


class PastDocument(BatchesDocument, NodesDocument):
    """All batches and nodes at a `time`, behind the event at `seq`."""

    seq: int
    time: str | None


class BreakDocument(TypedDict):
    """The first event behind which something does not hold, and `what` that is."""

    seq: int
    time: str | None
    type: str
    author: str
    scope: str
    what: str


class MisfitsDocument(TypedDict):
    """Events that did not fit, and changed nothing: how many, and what the first was."""

    count: int
    first: str | None


class ComparisonDocument(TypedDict):
    """The scheduler's state as of the event at `seq` beside that of the log, and the parts that differ.

    `compared` is false if the scheduler is of a version whose states can't be compared with ours.
    """

    seq: int
    compared: bool
    differs: list[str]


class VerifiedDocument(TypedDict):
    """What was found in a log. `scheduler` is None if no scheduler answered; a saved log has none."""

    saved: bool

    events: int
    first_seq: int
    last_seq: int
    last_time: str | None
    sound: bool
    broken: BreakDocument | None
    misfits: MisfitsDocument
    garbage: IgnoredDocument
    scheduler: ComparisonDocument | None
