"""The ledger of a job as JSON for people and scripts. The keys are a contract."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

from distribute.core.words import rfc3339

if TYPE_CHECKING:
    from distribute.core.projections.ledger import Ledger


class EntryDocument(TypedDict):
    """So many seconds of a job's life, as `projections.ledger.Phase` names them.

    `since` is when the first of them began. `attempt`: of this one, or of the wait for it. `node` is where
    that was, if it was at a node.
    """

    phase: str
    seconds: float
    since: str | None
    attempt: int
    node: str | None


class LedgerDocument(TypedDict):
    """A job's life from its submission to its end or, if it is not over, to the moment of the answer.

    The entries add up to `total_s`, to the millisecond.
    """

    submitted_at: str | None
    until: str | None
    over: bool
    total_s: float
    entries: list[EntryDocument]


def ledger_document(ledger: Ledger) -> LedgerDocument:
    """The ledger as JSON."""
    return {
        "submitted_at": rfc3339(ledger.submitted_at),
        "until": rfc3339(ledger.until),
        "over": ledger.is_over,
        "total_s": ledger.total_ms / 1000,
        "entries": [
            {
                "phase": entry.phase.value,
                "seconds": entry.took_ms / 1000,
                "since": rfc3339(entry.since),
                "attempt": entry.attempt,
                "node": entry.node,
            }
            for entry in ledger.entries
        ],
    }


def log_time(asked_at: str) -> float:
    """The log's time of an answer that says it as `asked_at`: a ledger is as of then."""
    return datetime.fromisoformat(asked_at).timestamp()
