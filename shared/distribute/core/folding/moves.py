"""Moving a job: a person has its node give it back, and it runs again, at another node if one can take it."""

from __future__ import annotations

from distribute.core.log.change_events import MoveRequested
from distribute.core.state.last_job import has_given_up
from distribute.core.state.state import BatchState


def request_move(batch: BatchState, event: MoveRequested) -> str | None:
    """Note that a person wants an attempt given back. Returns why that does not fit, or None.

    Of two requests, the first counts.
    """
    if batch.end is not None:
        return "the batch is over"
    row = batch.rows.get(event.job)
    if row is None:
        return f"there is no job {event.job!r}"
    attempt = batch.active.get(row)
    if attempt is None or attempt.number != event.attempt or batch.kill_wanted(row):
        return None  # the attempt ended, or a person killed it, while the request was on its way
    if row != batch.last_row and has_given_up(batch):
        return None  # it would not begin again
    attempt.moved_by = attempt.moved_by or event.author
    return None
