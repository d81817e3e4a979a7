"""Words that several verbs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.client.words import printable
from distribute.core.os_words import signal_name

if TYPE_CHECKING:
    from distribute.client.documents import AttemptDocument, BatchDocument, JobDocument

NOTHING = "-"

NOT_BEGUN = frozenset({"queued", "assigned", "building", "retrying"})
"""The states of a job whose command does not run yet."""

WAITS = {
    "batch": "waits for its batch",
    "node": "waits for a node",
    "owner": "waits for a paused node",
    "turn": "waits for its turn",
}
"""What a job waits for, by the word that `waits_for` has."""

MOST_FAILURES = 5
"""So many failed jobs of a batch, and failed builds, are named with what they printed last."""


def exit_text(job: JobDocument | AttemptDocument) -> str:
    """How a job's process ended: its exit code, or the signal's name."""
    if job["signal"]:
        return signal_name(job["signal"])
    return NOTHING if job["exit_code"] is None else str(job["exit_code"])


def named(job: JobDocument, batch: BatchDocument) -> str:
    """A job that is over, and how: `re100 (exit 1 on ws07)`. If it ended with its batch, only its name."""
    return f"{printable(job['job'])}{'' if ended_with(job, batch) else _how(job)}"


def ended_with(job: JobDocument, batch: BatchDocument) -> bool:
    """Did the job fail only because its batch did?"""
    return job["node"] is None and job["reason"] == batch["reason"]


def _how(job: JobDocument) -> str:
    """` (exit 1 on ws07)`, ` (SIGTERM on ws07: ran for longer than its timeout of 2 h)`."""
    reason = printable(job["reason"] or "")
    if job["node"] is None:
        return f" ({reason})" if reason else ""
    how = exit_text(job)
    is_told = job["signal"] is not None and reason == f"ended by {how}"
    how = f"exit {how}" if how.isdigit() else "failed" if how == NOTHING else how
    return f" ({how} on {printable(job['node'])}{f': {reason}' if reason and not is_told else ''})"
