"""What a queued job waits for, in one word, by the predicates of `decide`."""

from __future__ import annotations

from enum import StrEnum

from distribute.core.gates import Gate, Hold
from distribute.core.matching import Obstacle, never, unavailable
from distribute.core.state import BatchState, Shape, State
from distribute.core.waits import is_waiting


class WaitsFor(StrEnum):
    """What a queued job waits for.

    `BATCH`: its batch begins no job now. `NODE`: no node that could run it is there and takes jobs. `OWNER`:
    those that are there are paused. `TURN`: one is there, but others have it, or come first.
    """

    BATCH = "batch"
    NODE = "node"
    OWNER = "owner"
    TURN = "turn"


WAITS_FOR_WORDS = {
    WaitsFor.BATCH: "waits for its batch",
    WaitsFor.NODE: "waits for a node",
    WaitsFor.OWNER: "waits for a paused node",
    WaitsFor.TURN: "waits for its turn",
}


def waits_for(state: State, batch: BatchState, row: int, now: float) -> WaitsFor:
    """What the queued job in this row waits for. `now` is in seconds since 1970, by the log's clock."""
    if hold_at(state, batch, row, now) is not None:
        return WaitsFor.BATCH
    return waits_for_nodes(state, batch, batch.group_of(row).shape, now)


def hold_at(state: State, batch: BatchState, row: int, now: float) -> Hold | None:
    """Why the batch does not let the job in this row begin now; None: it does."""
    begin = batch.limits.not_before
    is_early = begin is not None and now < begin
    return Gate(batch, is_early, is_waiting(state, batch.id)).hold_of(row)


def waits_for_nodes(state: State, batch: BatchState, shape: Shape, now: float) -> WaitsFor:
    """What a job of this shape waits for if its batch lets it begin."""
    found = WaitsFor.NODE
    for node in state.nodes.values():
        if never(node, shape) is not None or node.name in batch.build_failed:
            continue
        obstacle = unavailable(node, now, is_silent=False)
        if obstacle is None:
            return WaitsFor.TURN
        if obstacle is Obstacle.PAUSED:
            found = WaitsFor.OWNER
    return found
