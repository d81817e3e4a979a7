"""Restore the state from the scheduler's snapshot, for services that fold the whole log."""

from __future__ import annotations

import logging

from distribute.core.errors import IntegrityError
from distribute.core.log.events import Compacted
from distribute.core.state.state import State
from distribute.ports import Cluster, EventLog, Only
from distribute.snapshot import load

SNAPSHOT = "scheduler"
"""The name under which the scheduler saves its state."""

_log = logging.getLogger(__name__)


async def restore(cluster: Cluster) -> State:
    """The state of the last snapshot, to go on folding from; an empty one if no snapshot can be used."""
    try:
        data = await cluster.store.get_snapshot(SNAPSHOT)
        if data is None:
            return State()
        state = load(data)
    except IntegrityError as error:
        _log.warning("the snapshot can't be used, so the whole log is folded: %s", error)
        return State()
    if not await _is_of_this_log(cluster, state):
        _log.warning("the snapshot is of another log, so the whole log is folded")
        return State()
    _log.info("restored the state at event %d", state.seq)
    return state


async def _is_of_this_log(cluster: Cluster, state: State) -> bool:
    """Does the log have the last event of the state? The log may have been restored, or begun again."""
    try:
        return state.seq == 0 or (await cluster.log.get(state.seq)).time == state.time
    except KeyError:
        return False


async def unread_compaction(log: EventLog, seq: int) -> int | None:
    """The sequence of the last compaction behind `seq` that moved events up to `seq`; None: there is none.

    A reader that is at `seq` may have missed those events: they may have been removed just before it came to
    them. It notices that when it folds the compaction. Whoever restored its state at `seq` would not: they
    look for later events only, in the archive, too.
    """
    found = None
    only = Only(types=frozenset({"compacted"}))
    async for records in log.follow(after=seq, only=only, until=await log.last_seq()):
        for recorded in records:
            if isinstance(recorded.event, Compacted) and recorded.event.first_seq <= seq:
                found = recorded.seq
    return found
