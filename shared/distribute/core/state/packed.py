"""Batches that are over and archived, and take less memory.

A packed batch is kept as its two records, which take a seventh of the memory.

Packed or not, a batch has the same digest and folds every event in the same way. The fold unpacks a batch
before it folds an event under it. The holder of the state decides when to pack.

Of a compacted batch only what lists show is left. Its events say the rest: they are in an archive, and nobody
changes the batch any more.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, NamedTuple

from distribute.core.ids import BatchId

if TYPE_CHECKING:
    from distribute.core.spec.limits import Limits
    from distribute.core.state.state import BatchEnd, Kill


class Record(NamedTuple):
    """Compressed pieces, and the SHA-256 of the uncompressed ones. See `batch_record`."""

    digest: bytes
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedBatch:
    """The fields of a batch that lists show. They are those of `BatchState`."""

    id: BatchId
    seq: int
    first_seq: int
    submission: str
    continues: tuple[str, ...]
    under_seq: int
    user: str
    kind: str
    priority: int
    submitted_at: float
    counts: tuple[int, ...]
    build_failed: dict[str, str]
    build_lines: dict[str, list[str]]
    build_kept: dict[str, str]
    killed: Kill | None
    end: BatchEnd
    end_reason: str | None
    finished_at: float
    ran_at: str | None
    limits: Limits
    compacted_at: float | None = None
    archived: Literal[True] = True

    @property
    def submissions(self) -> tuple[str, ...]:
        """As `BatchState.submissions`."""
        return (*self.continues, self.submission)


SHOWN = tuple(field.name for field in fields(ClosedBatch) if field.name != "archived")
"""The names of the fields that differ from batch to batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch(ClosedBatch):
    """A batch as its two records."""

    fixed: Record
    changing: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactedBatch(ClosedBatch):
    """A batch whose events are in an archive."""
