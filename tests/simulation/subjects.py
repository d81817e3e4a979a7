"""What an event is about, and what it may be tried on."""

from __future__ import annotations

from copy import deepcopy

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.state.state import State


def subject(event: ev.Event) -> BatchId | str:
    """The batch or the node that an event is about."""
    return event.node if isinstance(event, ev.NodeEvent) else event.batch_id


def copy_for(event: ev.Event, state: State) -> State:
    """A copy that the event may be applied to. It shares the batches that the event is not about."""
    if isinstance(event, ev.NodeEvent):
        return deepcopy(state)
    return deepcopy(
        state, {id(other): other for name, other in state.batches.items() if name != event.batch_id}
    )
