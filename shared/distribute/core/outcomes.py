"""How attempts ended, in the columns of their batch, with the log's times."""

from __future__ import annotations

from distribute.core import events as ev
from distribute.core.state import NO_EXIT_CODE, BatchState, Outcomes


def allocated(batch: BatchState) -> Outcomes:
    """The outcomes of a batch, with room for all of its jobs."""
    if not len(batch.outcomes.node):
        batch.outcomes.allocate(len(batch.names))
    return batch.outcomes


def record_outcome(
    batch: BatchState, row: int, time: float, event: ev.Ending, assigned_at: float, started_at: float | None
) -> None:
    """Note how an attempt ended. `started_at` is as `process_start` takes it."""
    outcomes = allocated(batch)
    number = batch.node_numbers.get(event.node)
    if number is None:
        number = batch.node_numbers[event.node] = len(batch.node_names)
        batch.node_names.append(event.node)
    outcomes.node[row] = number
    outcomes.exit_code[row] = NO_EXIT_CODE if event.exit_code is None else event.exit_code
    outcomes.signal[row] = event.signal or 0
    outcomes.started_at[row] = process_start(time, event, assigned_at, started_at) or 0.0
    outcomes.finished_at[row] = process_end(time, event, assigned_at)
    outcomes.wall_s[row] = event.wall_s
    outcomes.cpu_s[row] = event.cpu_s
    outcomes.paused_s[row] = event.paused_s
    outcomes.max_rss_bytes[row] = event.max_rss_bytes


def process_start(
    time: float, event: ev.Ending, assigned_at: float, started_at: float | None
) -> float | None:
    """When the process started of an attempt that finished at `time`, by the log's clock; None: it never did.

    `started_at` is the time of the event that says so. The node's clock may be wrong, but not by much between
    two of its own readings.
    """
    if event.started_at is None:
        return started_at
    before_s = (event.time - event.started_at).total_seconds()
    return min(time, max(assigned_at, time - max(0.0, before_s)))


def process_end(time: float, event: ev.Ending, assigned_at: float = 0.0) -> float:
    """When the process ended of an attempt that finished at `time`, by the log's clock."""
    if event.ended_at is None:
        return time
    before_s = (event.time - event.ended_at).total_seconds()
    return min(time, max(assigned_at, time - max(0.0, before_s)))
