"""What the scheduler notices by its own clock: silent nodes, and jobs that are not claimed.

Silence counts only while the listener could hear: after it was cut off, stopped or suspended, or its clock
jumped, every node gets a whole new lease. So no node is declared lost for beats that the listener missed.
Times are in seconds since 1970, by the listener's clock; `log_clock` converts those of the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from distribute.core.ids import AttemptId, BatchId
from distribute.core.log.log_clock import LogClock
from distribute.core.state.state import Attempt, JobKey, NodeState, State, Status

MAX_GAP_S = 5.0
"""If more time passes between two ticks, the listener was away, or its clock jumped."""

CLAIM_WITHIN_S = 60.0
"""A node must claim a job within this time, or the job goes elsewhere."""

ABSENT_AFTER_S = 60.0
"""If a node's heartbeats do not name an attempt for this long, the node does not have it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """How many seconds a node may be silent before it gets no new jobs, is lost, and loses its attempts.

    Patience grows with what would be lost: an attempt may be given to another node after `lost_after_s`, or
    after `patience_growth` times its run time if that is longer, but at the latest after
    `longest_patience_s`.
    """

    out_of_touch_s: float = 15.0
    lost_after_s: float = 60.0
    patience_growth: float = 0.1
    longest_patience_s: float = 1800.0

    def patience_s(self, ran_s: float) -> float:
        """For how long an attempt that had run for `ran_s` seconds waits for its silent node."""
        grown_s = min(self.patience_growth * ran_s, self.longest_patience_s)
        return max(self.lost_after_s, grown_s)


def ran_s(node: NodeState, attempt: Attempt) -> float:
    """For how long the attempt had run when its node fell silent, without pauses. 0 while it is not lost."""
    return 0.0 if node.silent_from is None else run_s(node, attempt, node.silent_from)


def run_s(node: NodeState, attempt: Attempt, until: float) -> float:
    """For how long the attempt ran until a moment of the log's clock, without the pauses of its node."""
    return max(0.0, until - attempt.since) - paused_s(node.pauses, attempt.since, until)


def paused_s(pauses: Iterable[tuple[float, float]], since: float, until: float) -> float:
    """For how long a node with these pauses was paused between two moments of the log's clock."""
    return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in pauses)


class Liveness:
    """When each node was last heard, and when each attempt was last known to be at its node."""

    def __init__(self, lease: Lease, now: float) -> None:
        self.lease = lease
        self.log_clock = LogClock()
        self._heard: dict[str, float] = {}
        self._listening_since = now
        self._ticked_at = now
        self._assigned_at: dict[JobKey, float] = {}
        self._absent_since: dict[JobKey, float] = {}
        self._suspected_at: dict[str, float] = {}

    # --- nodes ---------------------------------------------------------------------------------------

    def heard(self, node: str, now: float) -> None:
        """Note a sign of life of the node."""
        self._heard[node] = now

    def forget_node(self, node: str) -> None:
        """Forget the node."""
        self._heard.pop(node, None)
        self._suspected_at.pop(node, None)

    def suspected(self, node: str, now: float) -> None:
        """Note that a job failed fast at the node."""
        self._suspected_at[node] = now

    def suspected_at(self, node: str) -> float:
        """When a job last failed fast at the node; if unknown, when this listener began to listen."""
        return self._suspected_at.get(node, self._listening_since)

    def heard_at(self, node: str) -> float | None:
        """The time of the node's last sign of life; None: this listener has heard none."""
        return self._heard.get(node)

    def was_deaf(self, now: float) -> None:
        """Note that the listener could hear nothing until now, so earlier silence does not count."""
        self._listening_since = now
        self._assigned_at = dict.fromkeys(self._assigned_at, now)
        self._suspected_at = dict.fromkeys(self._suspected_at, now)
        self._absent_since.clear()

    def tick(self, now: float) -> bool:
        """Let time pass. Call this about every second. Returns True if the listener was away meanwhile."""
        was_away = not 0 <= now - self._ticked_at <= MAX_GAP_S
        self._ticked_at = now
        if was_away:
            self.was_deaf(now)
        return was_away

    def silent_since(self, node: NodeState, now: float) -> float:
        """Since when the node has been silent while we listened. A paused node does not count as silent."""
        since = max(self._heard.get(node.name, self._listening_since), self._listening_since)
        if node.paused_until is None:
            return since
        return max(since, min(self.log_clock.own_time(node.paused_until), now))

    def is_silent(self, node: NodeState, now: float) -> bool:
        """Is the node out of touch? Then it gets no new jobs."""
        return now - self.silent_since(node, now) >= self.lease.out_of_touch_s

    def given_up_at(self, node: NodeState, attempt: Attempt, now: float) -> float:
        """When the attempt may be given to another node, if its own is lost and stays silent.

        Silence is measured by the listener's clock, and the attempt's run time by the log's. The two may
        differ by hours, so we never compare a time of one with a time of the other.
        """
        return self.silent_since(node, now) + self.lease.patience_s(ran_s(node, attempt))

    # --- attempts ------------------------------------------------------------------------------------

    def assigned(self, key: JobKey, now: float) -> None:
        """Note that the job was assigned, and its node must claim it."""
        self._assigned_at[key] = now

    def settled(self, batch: BatchId, row: int) -> None:
        """Note that the job's attempt was claimed, or is over."""
        key: Any = (batch, row)  # a plain tuple finds it, and costs a tenth of a `JobKey`
        self._assigned_at.pop(key, None)
        if self._absent_since:
            self._absent_since.pop(key, None)

    def forget(self, batch: BatchId) -> None:
        """Forget a deleted batch."""
        for noted in (self._assigned_at, self._absent_since):
            for key in [key for key in noted if key.batch == batch]:
                del noted[key]

    def to_be_claimed_by(self, key: JobKey) -> float:
        """When the job goes elsewhere if its node has not claimed it."""
        return self._assigned_at.get(key, self._listening_since) + CLAIM_WITHIN_S

    def named(
        self, running: Iterable[AttemptId], attempts: Iterable[tuple[JobKey, AttemptId]], now: float
    ) -> None:
        """Note which of a node's claimed `attempts` its beat names. `running`: those that it names."""
        has = set(running)
        for key, attempt in attempts:
            if attempt in has:
                self._absent_since.pop(key, None)
            else:
                self._absent_since.setdefault(key, now)

    def gone_at(self, key: JobKey) -> float | None:
        """When an attempt counts as gone because its node's beats do not name it; None if they name it."""
        since = self._absent_since.get(key)
        return None if since is None else since + ABSENT_AFTER_S


def claimed_by(state: State, node: NodeState) -> list[tuple[JobKey, AttemptId]]:
    """The attempts that the node has claimed. Its heartbeats must name them."""
    attempts = ((key, state.batches[key.batch]) for key in node.attempts)
    return [
        (key, batch.attempt_id(key.row))
        for key, batch in attempts
        if batch.status[key.row] != Status.ASSIGNED
    ]
