"""What a queued job waits for, in one word, by the predicates of `decide`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from distribute.core.folding.gates import Hold, gate_at
from distribute.core.scheduling.matching import Obstacle, never, unavailable
from distribute.core.state.state import BatchState, NodeState, Shape, State


class WaitsFor(StrEnum):
    """What a queued job waits for.

    `BATCH`: its batch begins no job now. `NODE`: no node that could run it is there and takes jobs. `OWNER`:
    those that are there are paused. `TURN`: one is there, but others have it, or come first.
    """

    BATCH = "batch"
    NODE = "node"
    OWNER = "owner"
    TURN = "turn"


def waits_for(state: State, batch: BatchState, row: int, now: float) -> WaitsFor:
    """What the queued job in this row waits for. `now` is in seconds since 1970, by the log's clock."""
    if hold_at(state, batch, row, now) is not None:
        return WaitsFor.BATCH
    return _of_shape(batch.group_of(row).shape, _obstacles(state, batch, now))


def hold_at(state: State, batch: BatchState, row: int, now: float) -> Hold | None:
    """Why the batch does not let the job in this row begin now; None: it does."""
    return gate_at(state, batch, now).hold_of(row)


class WaitsAsOf:
    """What each queued job of a batch waits for, as of the moment at which this is made."""

    def __init__(self, state: State, batch: BatchState, now: float) -> None:
        self._batch = batch
        self._nodes = list(_obstacles(state, batch, now))
        rows = {group.start for group in (batch.groups[0], batch.groups[-1])}
        self._held = {row for row in rows if hold_at(state, batch, row, now) is not None}
        """Of the first group and of the last, which may be the job that runs last: those that are held."""
        self._found: dict[Shape, WaitsFor] = {}

    def of(self, row: int) -> WaitsFor:
        """What the queued job in this row waits for."""
        group = self._batch.group_of(row)
        if (group.start if row == self._batch.last_row else self._batch.groups[0].start) in self._held:
            return WaitsFor.BATCH
        if group.shape not in self._found:
            self._found[group.shape] = _of_shape(group.shape, self._nodes)
        return self._found[group.shape]


def _obstacles(state: State, batch: BatchState, now: float) -> Iterator[tuple[NodeState, Obstacle | None]]:
    """What keeps each node from taking any job now, but for those that could not build the batch."""
    for node in state.nodes.values():
        if node.name not in batch.build_failed:
            yield node, unavailable(node, now, is_silent=False)


def _of_shape(shape: Shape, nodes: Iterable[tuple[NodeState, Obstacle | None]]) -> WaitsFor:
    """What a job of this shape waits for if its batch lets it begin."""
    found = WaitsFor.NODE
    for node, obstacle in nodes:
        if never(node, shape) is not None:
            continue
        if obstacle is None:
            return WaitsFor.TURN
        if obstacle is Obstacle.PAUSED:
            found = WaitsFor.OWNER
    return found
