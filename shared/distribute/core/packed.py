"""A packed batch: one that is over and archived, kept as its two records. It takes a seventh of the memory.

Packed or not, a batch has the same digest and folds every event in the same way. The fold unpacks a batch
before it folds an event under it. The holder of the state decides when to pack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from distribute.core.ids import BatchId

if TYPE_CHECKING:
    from distribute.core.limits import Limits
    from distribute.core.state import BatchEnd, Kill


class Record(NamedTuple):
    """Compressed pieces, and the SHA-256 of the uncompressed ones. See `batch_record`."""

    digest: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """The two records of a batch, and the fields that lists show. The fields are those of `BatchState`."""

    id: BatchId
    seq: int
    first_seq: int
    submission: str
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
    fixed: Record
    changing: Record

    archived: Literal[True] = True
