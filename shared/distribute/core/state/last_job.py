"""The job of a batch that runs when all others are over, and finds what they left. It is in the last row.

The others are over once none of them runs or waits, and what they left is archived. If the batch has given up
(`max_failures`), those that wait are over, too: they never begin. Only the batch's own events decide that.
"""

from __future__ import annotations

from distribute.core.state.state import ENDED, FAILED, QUEUED, RETRYING, SUCCEEDED, BatchState
from distribute.core.state.statuses import others_with, set_status


def failures_of_others(batch: BatchState) -> int:
    """How many jobs have failed for good, without the last job, and what a retry has forgiven."""
    return others_with(batch, FAILED) - len(batch.forgiven)


def has_given_up(batch: BatchState) -> bool:
    """Have so many jobs of the batch failed for good that no other may begin?"""
    most = batch.limits.max_failures
    return most is not None and failures_of_others(batch) >= most


def others_left(batch: BatchState) -> int:
    """How many of the others run, or are still to run."""
    last = batch.last_row
    left = batch.unfinished - (last is not None and batch.status[last] not in ENDED)
    if left and has_given_up(batch):
        left -= others_with(batch, QUEUED)
    return left


def others_to_archive(batch: BatchState) -> int:
    """Of how many of the others the results are still to be archived."""
    return len(batch.unarchived) - (batch.last_row in batch.unarchived)


def are_others_over(batch: BatchState) -> bool:
    """May the last job begin?"""
    return not others_to_archive(batch) and not others_left(batch)


def is_last_to_run(batch: BatchState) -> bool:
    """Has the batch a last job that is not over?"""
    return batch.last_row is not None and batch.status[batch.last_row] not in ENDED


def run_last_again(batch: BatchState) -> None:
    """Queue the last job again, because others were: it has not seen what those will leave.

    If it is in flight, it ends first. If a person killed it, it stays so.
    """
    last = batch.last_row
    if last is None or are_others_over(batch) or batch.end is not None or batch.kill_wanted(last):
        return
    if last in batch.active:
        batch.last_is_outdated = True
    elif batch.status[last] in {SUCCEEDED, FAILED}:
        requeue_last(batch, last)


def requeue_last(batch: BatchState, last: int) -> None:
    """Queue the last job, once what it left is archived."""
    set_status(batch, last, RETRYING if last in batch.unarchived else QUEUED)
    batch.last_is_outdated = False
    for forgotten in (batch.failures, batch.suspects, batch.deaths, batch.reasons, batch.last_lines):
        forgotten.pop(last, None)
