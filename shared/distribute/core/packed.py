"""A batch that is over and archived, held as the bytes that a snapshot has of it: a seventh of the memory.

Packed or not, it is the same batch: it has the same digest, and answers every event in the same way. Whoever
folds an event under it unpacks it first. When to pack it is left to whoever holds the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from distribute.core.ids import BatchId

if TYPE_CHECKING:
    from distribute.core.state import BatchEnd


class Record(NamedTuple):
    """Compressed pieces, and the SHA-256 of them as they were. See `batch_record`."""

    digest: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """The two records of a batch, and what lists show of it: the fields mean what they do in `BatchState`."""

    id: BatchId
    seq: int
    under_seq: int
    user: str
    kind: str
    priority: int
    submitted_at: float
    counts: tuple[int, ...]
    build_failed: dict[str, str]
    end: BatchEnd
    end_reason: str | None
    finished_at: float
    fixed: Record
    changing: Record

    archived: Literal[True] = True
