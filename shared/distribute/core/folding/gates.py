"""Whether a batch may begin jobs now, whatever the nodes could take.

A person may hold it. A batch may ask for that itself: to begin not before a time, to have only so many jobs
with nodes at once, to begin no more after so many failures. `decide` and `explain` share these predicates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from distribute.core.folding.waits import is_waiting, waits_in_words
from distribute.core.state.last_job import (
    are_others_over,
    failures_of_others,
    has_given_up,
    others_left,
    others_to_archive,
)
from distribute.core.state.state import QUEUED, BatchState, Group, Holding, State
from distribute.core.state.statuses import others_with
from distribute.core.words import counted, rfc3339


class Hold(Enum):
    """Why a batch begins no job now."""

    HELD = "a person holds it"
    EARLY = "it is too early"
    AFTER = "it waits for another batch"
    GIVEN_UP = "too many of its jobs have failed"
    FULL = "as many of its jobs are with nodes as may be"
    OTHERS = "the other jobs of its batch are not over"


def why_given_up(batch: BatchState) -> str:
    """Why a batch that has given up ends."""
    since = " since its retry" if batch.forgiven else ""
    failed = f"{failures_of_others(batch)} of its jobs failed{since}"
    return f"{failed}, and its max_failures is {batch.limits.max_failures}"


def failed_with_batch(batch: BatchState, row: int, end_reason: str | None) -> str | None:
    """Why a job failed that failed only because its batch ended for `end_reason`. None: that says nothing.

    Mostly it never began. But if its batch gives up while a node has it, and the node gives it back or is
    lost, it would have to begin again.
    """
    if end_reason is None or batch.limits.max_failures is None or not batch.attempts[row]:
        return end_reason
    return f"attempt {batch.attempts[row]} was given back or lost, and its batch began no more: {end_reason}"


@dataclass(slots=True, eq=False)
class Gate:
    """What all groups of a batch share.

    `is_early`: the time is not here at which its jobs may begin. `is_waiting`: the batch waits for another.
    """

    batch: BatchState
    is_early: bool = False
    is_waiting: bool = False
    taken: set[int] = field(default_factory=set)
    """Rows whose assignment is pending."""
    line: dict[str, None] = field(default_factory=dict)
    """The ids of the pending assignments of a batch with `max_running`, in order."""
    groups: tuple[Group, ...] = ()
    """The groups of the batch as they are indexed. An edit may just have changed those of the batch."""
    numbers: list[int] = field(default_factory=list)
    """For each of them, the number of the waiting jobs that ask for the same."""

    @property
    def hold(self) -> Hold | None:
        """Why no further job of the batch may begin now. None: one may.

        A job that a silent node has does not begin when another node takes it over. Only what a person holds
        is not taken over either.
        """
        batch = self.batch
        if batch.holding is not None:
            return Hold.HELD
        if self.is_waiting:
            return Hold.AFTER
        if self.is_early:
            return Hold.EARLY
        if batch.limits.max_failures is not None and has_given_up(batch):
            return Hold.GIVEN_UP
        most = batch.limits.max_running
        if most is None:
            return None
        with_nodes, taken = len(batch.active), len(self.taken)
        if with_nodes < most <= with_nodes + taken:  # count, which takes long, only if it matters
            taken = len(self.taken.difference(batch.active))
        return Hold.FULL if with_nodes + taken >= most else None

    def hold_of(self, row: int) -> Hold | None:
        """Why a job in the group of this row may not begin now. None: it may."""
        hold = self.hold
        if not self.batch.limits.has_last_job or row != self.batch.last_row:
            return hold
        if hold is None or hold is Hold.GIVEN_UP:
            is_open = are_others_over(self.batch) and not self.taken - {row}
            return None if is_open else Hold.OTHERS
        return hold


def gate_at(state: State | None, batch: BatchState, now: float | None) -> Gate:
    """The gate of a batch as of `now`, in seconds since 1970 by the log's clock, if nothing is pending.

    `now` None: unknown. `state` None: nothing is known of other batches.
    """
    begin = batch.limits.not_before
    is_early = now is not None and begin is not None and now < begin
    return Gate(batch, is_early, state is not None and is_waiting(state, batch.id))


def why_held(state: State | None, batch: BatchState, hold: Hold) -> str:
    """Why the batch begins no further job now, in words. `state` None: nothing is known of other batches."""
    match hold:
        case Hold.HELD:
            assert batch.holding is not None, "somebody holds it"
            return held_by(batch.holding)
        case Hold.AFTER:
            return waits_in_words(state, batch.id) if state is not None else "it waits for another batch"
        case Hold.EARLY:
            return f"none of its jobs begins before {rfc3339(batch.limits.not_before)}"
        case Hold.GIVEN_UP:
            return f"no further job of it begins: {why_given_up(batch)}"
        case Hold.FULL:
            return f"as many of its jobs run as its max_running allows: {batch.limits.max_running}"
        case Hold.OTHERS:
            return _why_others(batch)


def held_by(holding: Holding) -> str:
    """Who holds a batch, since when and why, in words."""
    because = f": {holding.reason}" if holding.reason else ""
    return f"held by {holding.by} since {rfc3339(holding.since)}{because}"


def _why_others(batch: BatchState) -> str:
    """For which others the last job waits."""
    if left := others_left(batch):
        return f"it runs last, and waits for {counted(left, 'other job')}"
    if left := others_to_archive(batch):
        return f"it runs last, and waits until the results of {counted(left, 'other job')} are archived"
    return "it runs last, and waits for the others"


def held_in_words(state: State | None, batch: BatchState, now: float | None) -> str | None:
    """Why a batch with waiting jobs begins none of them; None: it does. Else as `batch_document` has it.

    A person's hold is told also if no job waits: it will keep back those that are tried again.
    """
    if batch.holding is not None:
        return held_by(batch.holding)
    if batch.end is not None or not others_with(batch, QUEUED):
        return None
    hold = gate_at(state, batch, now).hold
    return None if hold is None else why_held(state, batch, hold)
