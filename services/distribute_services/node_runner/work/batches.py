"""What a node reads of its batches: the submission, once; and, if that is in doubt, whether one is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from distribute.core.errors import IntegrityError, LogReplaced, UnreadableEvent
from distribute.core.ids import BatchId
from distribute.lazy_submission import Submission
from distribute.ports import EventLog, Only
from distribute_services.node_runner.machine.attempts import SubmissionRef

if TYPE_CHECKING:
    from distribute.core.state.state import BatchState

_log = logging.getLogger(__name__)


async def load_submission(log: EventLog, batch: BatchId, wanted: SubmissionRef) -> Submission:
    """The submission that the scheduler named.

    We don't trust a message just because it is on the batch's subject: anyone may have written it.

    Raises:
        KeyError: the log does not have it, or the batch is deleted.
        UnreadableEvent: it is damaged.
    """
    while True:
        try:
            # A job waits for both answers of the broker, so we ask at the same time.
            (found, seq), deleted = await asyncio.gather(
                _find(log, batch, wanted), log.last(batch, "deleted")
            )
            if deleted is not None and seq < deleted.seq:
                # Only the fold knows if the deletion counts.
                there = await folded(log, batch, await log.last_seq())
                if there is None or found.event.id not in there.submissions:
                    raise KeyError(batch)
        except LogReplaced:
            continue  # read again, from the replaced log
        return found


async def folded(log: EventLog, batch: BatchId, until: int) -> BatchState | None:
    """The batch that has this name by the event at `until`. None: there is none.

    To fold a large batch takes seconds.

    Raises:
        LogReplaced: the log lost its end meanwhile, or what was read was compacted.
    """
    # Imported here: it takes memory, and a node seldom needs it.
    from distribute.core.folding.fold_batch import advance

    state = None
    try:
        async for records in log.follow(after=0, only=Only(batch=batch), until=until):
            for recorded in records:
                state, _ = advance(state, recorded)
            await asyncio.sleep(0)
    except IntegrityError as error:
        _log.warning("%s: it is over, as its events were moved into an archive: %s", batch, error)
        return None
    return state


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
    return await _search(log, batch, wanted)


async def _search(log: EventLog, batch: BatchId, wanted: SubmissionRef) -> tuple[Submission, int]:
    """Look through all submissions under the batch's name: any of them may be forged."""
    found: tuple[Submission, int] | None = None
    only, until = Only(types=frozenset({"submitted"}), batch=batch), await log.last_seq()
    async for raws in log.follow_raw(after=0, until=until, only=only):
        for raw in raws:
            with contextlib.suppress(UnreadableEvent):
                submission = await Submission.read(raw.payload)
                if wanted.id in {None, submission.event.id}:
                    found = submission, raw.seq
    if found is None:
        raise KeyError(batch)
    return found
