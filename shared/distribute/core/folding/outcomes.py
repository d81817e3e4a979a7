"""When attempts started, and how they ended, with the log's times, in the columns of their batch."""

from __future__ import annotations

from datetime import datetime

from pydantic import TypeAdapter

from distribute.core.log import events as ev
from distribute.core.log.recorded import LATE_S
from distribute.core.state.state import NO_EXIT_CODE, Attempt, BatchState, Outcomes

_EPOCH: datetime = TypeAdapter(datetime).validate_json('"1970-01-01T00:00:00Z"')
"""What `datetime.timestamp` counts from, in the time zone that pydantic gives to the times of events: between
times that share the zone's object, a difference takes a third of the time."""


def note_claim(attempt: Attempt, time: float, event: ev.Claimed) -> None:
    """Note that a node has taken an attempt."""
    attempt.lag_s, attempt.cause = lag_s(time, event), event.id


def note_start(attempt: Attempt, time: float, event: ev.Started) -> None:
    """Note that the process of an attempt runs."""
    lag, least = lag_s(time, event), attempt.lag_s
    came_at_once = lag - least < LATE_S  # as nearly all do: then `written_at` need not be asked
    attempt.started_at = time if came_at_once else written_at(time, event, least, attempt.assigned_at)
    attempt.lag_s = min(least, lag)
    attempt.cause = event.id


def allocated(batch: BatchState) -> Outcomes:
    """The outcomes of a batch, with room for all of its jobs."""
    if not len(batch.outcomes.node):
        batch.outcomes.allocate(len(batch.names))
    return batch.outcomes


def record_outcome(
    batch: BatchState, row: int, time: float, event: ev.Ending, assigned_at: float, started_at: float | None
) -> None:
    """Note how an attempt ended. `time` and `started_at` are as `process_start` takes them."""
    outcomes = allocated(batch)
    node, exit_code = event.node, event.exit_code
    number = batch.node_numbers.get(node)
    if number is None:
        number = batch.node_numbers[node] = len(batch.node_names)
        batch.node_names.append(node)
    outcomes.node[row] = number
    outcomes.exit_code[row] = NO_EXIT_CODE if exit_code is None else exit_code
    outcomes.signal[row] = event.signal or 0
    outcomes.started_at[row] = process_start(time, event, assigned_at, started_at) or 0.0
    outcomes.finished_at[row] = process_end(time, event, assigned_at)
    outcomes.wall_s[row] = event.wall_s
    outcomes.cpu_s[row] = event.cpu_s
    outcomes.paused_s[row] = event.paused_s
    outcomes.max_rss_bytes[row] = event.max_rss_bytes


def lag_s(time: float, event: ev.JobEvent) -> float:
    """The seconds for which an event of a node was under way to the log, plus what the node's clock is slow.

    So one lag says nothing, but of two events, the one with the greater lag was under way for longer.
    """
    return time - (event.time - _EPOCH).total_seconds()


def written_at(time: float, event: ev.JobEvent, least_lag_s: float, assigned_at: float) -> float:
    """When a node wrote an event that the log stored at `time`, by the log's clock.

    A node that can't reach the log goes on, and sends what it wrote when it can, which may be hours later.

    Args:
        time: when the log stored it.
        event: of an attempt.
        least_lag_s: the least `lag_s` of the events before it in this attempt.
        assigned_at: when the attempt began. What it reports can't be older; nor can its end come before the
            process had so much time as it took, even if somebody has set the node's clock back meanwhile.
    """
    waited_s = lag_s(time, event) - least_lag_s
    if waited_s < LATE_S:
        return time
    earliest = assigned_at
    if isinstance(event, ev.Finished):
        earliest += event.wall_s + event.paused_s
    return min(time, max(earliest, time - waited_s))


def process_start(
    time: float, event: ev.Ending, assigned_at: float, started_at: float | None
) -> float | None:
    """When the process started of an attempt, by the log's clock; None: it never did.

    `time` is when the node reported that the attempt had ended (`written_at`), and `started_at` when it
    reported the start. The node's clock may be wrong, but not by much between two of its own readings.
    """
    if event.started_at is None:
        return started_at
    before_s = (event.time - event.started_at).total_seconds()
    return min(time, max(assigned_at, time - max(0.0, before_s)))


def process_end(time: float, event: ev.Ending, assigned_at: float = 0.0) -> float:
    """When the process of an attempt ended, by the log's clock. `time` is as `process_start` takes it."""
    if event.ended_at is None:
        return time
    before_s = (event.time - event.ended_at).total_seconds()
    return min(time, max(assigned_at, time - max(0.0, before_s)))
