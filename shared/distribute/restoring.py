"""How a service that folds the whole log begins: from the scheduler's snapshot, if that is of this log."""

from __future__ import annotations

import logging

from distribute.core.errors import IntegrityError
from distribute.core.state import State
from distribute.ports import Cluster
from distribute.snapshot import load

SNAPSHOT = "scheduler"
"""The name under which the scheduler saves its state."""

_log = logging.getLogger(__name__)


async def restore(cluster: Cluster) -> State:
    """The state to fold on from: the last snapshot's, or an empty one if there is none that can be used."""
    try:
        data = await cluster.store.get_snapshot(SNAPSHOT)
        if data is None:
            return State()
        state = load(data)
    except IntegrityError as error:
        _log.warning("the snapshot can't be used, the whole log is folded instead: %s", error)
        return State()
    if not await _is_of_this_log(cluster, state):
        _log.warning("the snapshot is of another log; the whole log is folded instead")
        return State()
    _log.info("restored the state at event %d", state.seq)
    return state


async def _is_of_this_log(cluster: Cluster, state: State) -> bool:
    """Does the log have the event that the state ends with? It may have been restored, or begun anew."""
    try:
        return state.seq == 0 or (await cluster.log.get(state.seq)).time == state.time
    except KeyError:
        return False
