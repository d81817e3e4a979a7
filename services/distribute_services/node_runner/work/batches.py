"""The submissions of the batches at this node. Each is read once, and kept until its batch is over."""

from __future__ import annotations

import asyncio

from distribute.core.errors import UnreadableEvent
from distribute.core.ids import BatchId
from distribute.lazy_submission import Submission
from distribute.ports import EventLog
from distribute_services.node_runner.machine.attempts import SubmissionRef


async def load_submission(log: EventLog, batch: BatchId, wanted: SubmissionRef) -> Submission:
    """The submission that the scheduler named.

    We don't trust a message just because it is on the batch's subject: anyone may have written it.

    Raises:
        KeyError: the log does not have it, or the batch is deleted.
        UnreadableEvent: it is damaged.
    """
    # A job waits for both answers of the broker, so we ask at the same time.
    (found, seq), deleted = await asyncio.gather(_find(log, batch, wanted), log.last(batch, "deleted"))
    if deleted is not None and await _is_over(log, batch, seq, deleted.seq):
        raise KeyError(batch)
    return found


async def _find(log: EventLog, batch: BatchId, wanted: SubmissionRef) -> tuple[Submission, int]:
    """The submission, and its sequence."""
    if wanted.seq:
        try:
            found = await Submission.read((await log.get_raw(wanted.seq)).payload)
        except (KeyError, UnreadableEvent):
            pass  # the log has lost its end meanwhile, and has something else there
        else:
            if (found.spec.id, found.event.id) == (batch, wanted.id):
                return found, wanted.seq
    raw = await log.last_raw(batch, "submitted")
    if raw is None:
        raise KeyError(batch)
    found = await Submission.read(raw.payload)
    if found.event.id != wanted.id and wanted.id is not None:
        raise KeyError(batch)
    return found, raw.seq


async def _is_over(log: EventLog, batch: BatchId, seq: int, deleted_seq: int) -> bool:
    """Was the batch submitted at `seq` over before `deleted_seq`? Only then can that have deleted it."""
    if deleted_seq < seq:
        return False
    completed = await log.last(batch, "completed")
    return completed is not None and seq < completed.seq < deleted_seq
