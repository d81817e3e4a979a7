"""The batches that a node has jobs of: read from the log once, kept while they last."""

from __future__ import annotations

import asyncio

from distribute.core.ids import BatchId
from distribute.ports import EventLog
from distribute_services.node_runner.work.submission import Submission


class Batches:
    """The submissions in use."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._batches: dict[BatchId, Submission] = {}

    def __getitem__(self, batch_id: BatchId) -> Submission:
        return self._batches[batch_id]

    async def load(self, batch_id: BatchId) -> Submission:
        """The last submission of this name.

        Raises:
            KeyError: there is none, or it is deleted.
            UnreadableEvent: it is damaged.
        """
        raw, deleted = await asyncio.gather(
            self._log.last_raw(batch_id, "submitted"), self._log.last(batch_id, "deleted")
        )
        if raw is None or (deleted is not None and deleted.seq > raw.seq):
            raise KeyError(batch_id)
        found = await Submission.read(raw.payload)
        self._batches[batch_id] = found
        return found

    def forget(self, batch_id: BatchId) -> None:
        """Drop a batch that is over."""
        self._batches.pop(batch_id, None)
