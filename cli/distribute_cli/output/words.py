"""Words that several verbs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distribute.client.documents import JobDocument

NOTHING = "-"


def exit_text(job: JobDocument) -> str:
    """How a job's process ended: its exit code, or the signal's name."""
    if job["signal"]:
        import signal

        try:
            return signal.Signals(job["signal"]).name
        except ValueError:
            return f"signal {job['signal']}"
    return NOTHING if job["exit_code"] is None else str(job["exit_code"])
