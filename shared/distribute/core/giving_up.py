"""Find out which attempts may be taken from a node that is silent for too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.core.fold_job import why_given_up
from distribute.core.state import JobKey, Status

if TYPE_CHECKING:
    from distribute.core.indexes import Indexes


def is_forsaken(agenda: Indexes, key: JobKey) -> bool:
    """Is the attempt's node silent for so long that another node may take it?"""
    return _is_overdue(agenda, key) and not _is_last_death(agenda, key)


def is_hopeless(agenda: Indexes, key: JobKey) -> bool:
    """Is the attempt's node silent for too long, and would the job not be tried again after that?"""
    return _is_overdue(agenda, key) and _is_last_death(agenda, key)


def _is_overdue(agenda: Indexes, key: JobKey) -> bool:
    batch = agenda.state.batches[key.batch]
    attempt = batch.active.get(key.row)
    node = agenda.state.nodes.get(attempt.node) if attempt is not None else None
    if attempt is None or node is None or batch.end is not None or batch.kill_wanted(key.row):
        return False
    if node.presence != "lost" or key in node.dropped:
        return False  # wait for its `lost` in the log; dropped attempts are released at once
    return agenda.now >= agenda.liveness.given_up_at(node, attempt, agenda.now)


def _is_last_death(agenda: Indexes, key: JobKey) -> bool:
    """Have nodes gone down with the job so often that it would not be tried again?"""
    batch = agenda.state.batches[key.batch]
    deaths = [*batch.deaths.get(key.row, []), batch.active[key.row].node]
    return batch.status[key.row] == Status.RUNNING and why_given_up(deaths) is not None
