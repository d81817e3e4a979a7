"""When batches may begin: not before their time, nor before those are over that they wait for."""

from __future__ import annotations

from collections import Counter

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.state import State

from .stories import require

CLOCKS_ARE_WRONG_BY_S = 301.0
"""The schedulers' clocks are, by up to so much."""


class Beginnings:
    """What submissions say of their beginning, and how they ended, whatever the log loses of that."""

    def __init__(self, happened: Counter[str]) -> None:
        self._happened = happened
        self._specs: dict[str, BatchSpec] = {}
        """By the id of the submission."""
        self._ends: dict[str, set[str]] = {}
        """How each submission has ended, ever."""
        self._before: dict[str, str] = {}
        """Of each that replaced a batch that was not over: that one's, which goes on in it."""

    def submitted(self, event: ev.Submitted, before: State) -> None:
        """A batch came into the log."""
        self._specs[event.id] = event.spec
        found = before.batches.get(event.scope)
        if event.replaces is not None and found is not None and found.end is None:
            self._before[event.id] = event.replaces

    def completed(self, event: ev.Completed) -> None:
        """A batch is over."""
        submission = event.submission
        while submission is not None:
            self._ends.setdefault(submission, set()).add(event.state)
            submission = self._before.get(submission)
        self._happened["a batch gives up"] += "max_failures" in (event.reason or "")
        self._happened["a batch ends with another"] += "to run after" in (event.reason or "")

    def begins(self, event: ev.Assigned, time: float, before: State, *, is_torn: bool) -> None:
        """A job is given to a node at this time of the log. `is_torn`: the log has lost its end, ever."""
        spec = self._specs.get(event.submission or "")
        if spec is None:
            return
        if spec.not_before is not None:
            is_early = time < spec.not_before.timestamp() - CLOCKS_ARE_WRONG_BY_S
            require(not is_early, f"{event.scope} begins before {spec.not_before}")
            self._happened["a batch waits for its time"] += 1
        for after in spec.after or ():
            ends = self._ends.get(after.submission, set())
            is_met = "completed" in ends
            if after.when == "any":
                found = before.find(BatchId(after.namespace, after.batch))
                is_met = bool(ends) or found is None or after.submission not in found.submissions
            require(is_met or is_torn, f"{event.scope} begins before {after.batch} is over: {ends}")
            self._happened["a batch begins after another"] += 1
