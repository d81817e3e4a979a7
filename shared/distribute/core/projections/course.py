"""How far a batch has come."""

from __future__ import annotations

from typing import NamedTuple

from distribute.core.state.last_job import has_given_up
from distribute.core.state.packed import ClosedBatch
from distribute.core.state.state import BatchEnd, BatchState


class Course(NamedTuple):
    """How far a batch has come. Times are the log's, in seconds since 1970.

    `seq` is its submission's sequence, 0 if there is no such batch, and `submission` that event's id. `end`
    says how it ended, None while it is not over; `archived`, whether everything it left can be pulled;
    `user`, whose it is; `killed_by`, who killed all of it, if somebody did; `held_by`, who holds it;
    `given_up`, whether so many jobs failed that no other begins; `ran_at`, the system that ran it, if this
    cluster did not; `first_seq`, the sequence at which its events begin (see `BatchState`); `compacted_at`,
    when its events were moved into an archive, if they were.
    """

    seq: int = 0
    submitted_at: float = 0.0
    end: BatchEnd | None = None
    reason: str | None = None
    finished_at: float | None = None
    archived: bool = False
    submission: str | None = None
    user: str = ""
    killed_by: str | None = None
    held_by: str | None = None
    given_up: bool = False
    ran_at: str | None = None
    first_seq: int = 0
    compacted_at: float | None = None

    @property
    def exists(self) -> bool:
        """Is there such a batch?"""
        return self.seq > 0

    @property
    def has_replaced(self) -> bool:
        """Did it replace a batch, of which it may have kept jobs? Their events come before its submission."""
        return self.first_seq < self.seq

    @classmethod
    def of(cls, batch: BatchState | ClosedBatch | None) -> Course:
        """The course of a batch as it stands; None: there is no such batch."""
        if batch is None:
            return cls()
        return cls(
            batch.seq,
            batch.submitted_at,
            batch.end,
            batch.end_reason,
            batch.finished_at,
            batch.archived,
            batch.submission,
            batch.user,
            batch.killed.by if batch.killed is not None else None,
            batch.holding.by if isinstance(batch, BatchState) and batch.holding is not None else None,
            isinstance(batch, BatchState) and has_given_up(batch),
            batch.ran_at,
            batch.first_seq,
            batch.compacted_at,
        )
