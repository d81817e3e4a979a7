"""Whether a waiting job must keep away from a node, because it shall run elsewhere if it can."""

from __future__ import annotations

from collections.abc import Collection

from distribute.core.scheduling.matching import never, unavailable
from distribute.core.state.state import BatchState, State


def can_run_elsewhere(
    state: State, batch: BatchState, row: int, names: Collection[str | None], now: float
) -> bool:
    """Can a node other than these soon run the job? `now` is by the log's clock (`Agenda.log_now`)."""
    shape = batch.group_of(row).shape
    return any(
        unavailable(other, now, is_silent=False) is None and other.name not in batch.build_failed
        for other in state.nodes.values()
        if other.name not in names and never(other, shape) is None
    )


def must_leave(state: State, batch: BatchState, row: int, name: str, now: float) -> bool:
    """Did a person move the job away from this node, and can another one take it soon?"""
    return batch.moved_from.get(row) == name and can_run_elsewhere(state, batch, row, {name}, now)
