"""Find out which attempts may be taken from a node that is silent for too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.core.folding.fold_job import is_unwanted, why_given_up
from distribute.core.state.state import JobKey, Status

if TYPE_CHECKING:
    from distribute.core.scheduling.indexes import Indexes


def is_forsaken(agenda: Indexes, key: JobKey) -> bool:
    """Is the attempt's node silent for so long that another node may take it?"""
    return _is_overdue(agenda, key) and not _is_hopeless(agenda, key)


def is_hopeless(agenda: Indexes, key: JobKey) -> bool:
    """Is the attempt's node silent for too long, and must no other node take the job over?"""
    return _is_overdue(agenda, key) and _is_hopeless(agenda, key)


def _is_overdue(agenda: Indexes, key: JobKey) -> bool:
    batch = agenda.state.batches[key.batch]
    attempt = batch.active.get(key.row)
    node = agenda.state.nodes.get(attempt.node) if attempt is not None else None
    if attempt is None or node is None:
        return False
    if node.presence != "lost" or key in node.dropped:
        return False  # wait for its `lost` in the log; dropped attempts are released at once
    return agenda.now >= agenda.liveness.given_up_at(node, attempt, agenda.now)


def _is_hopeless(agenda: Indexes, key: JobKey) -> bool:
    """Must no other node take it over: is it killed, does it wait for others again, or would it not be tried
    again, because nodes have gone down with it so often?"""
    batch = agenda.state.batches[key.batch]
    if is_unwanted(batch, key.row) or (batch.last_is_outdated and key.row == batch.last_row):
        return True
    deaths = [*batch.deaths.get(key.row, []), batch.active[key.row].node]
    return batch.status[key.row] == Status.RUNNING and why_given_up(deaths) is not None
