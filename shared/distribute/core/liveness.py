"""How long nodes have been silent, as far as the listener can tell.

Only time in which the listener could have heard counts: after it was cut off, stopped or suspended,
every node gets a whole new lease, so that nobody is given up for what the listener missed.
All times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_GAP_S = 5.0
"""Longer between two looks, and the listener itself was away."""


@dataclass(frozen=True, slots=True)
class Lease:
    """After how many seconds of silence a node is out of touch, and after how many lost."""

    out_of_touch_s: float = 15.0
    lost_s: float = 60.0


class Liveness:
    """When each node was last heard."""

    def __init__(self, lease: Lease, now: float) -> None:
        self.lease = lease
        self._heard: dict[str, float] = {}
        self._listening_since = now
        self._looked_at = now

    def heard(self, node: str, now: float) -> None:
        """The node gave a sign of life."""
        self._heard[node] = now

    def deaf_until(self, now: float) -> None:
        """The listener heard nothing until now: silence before counts for nobody."""
        self._listening_since = now

    def silent_s(self, node: str, now: float) -> float:
        """For how many seconds the node has said nothing while somebody listened."""
        return now - max(self._heard.get(node, self._listening_since), self._listening_since)

    def look(self, nodes: Iterable[str], now: float) -> tuple[frozenset[str], dict[str, float]]:
        """The nodes out of touch, and those beyond their lease with their seconds of silence."""
        if now - self._looked_at > MAX_GAP_S:
            self.deaf_until(now)
        self._looked_at = now
        silence = {node: self.silent_s(node, now) for node in nodes}
        return (
            frozenset(node for node, silent_s in silence.items() if silent_s > self.lease.out_of_touch_s),
            {node: silent_s for node, silent_s in silence.items() if silent_s > self.lease.lost_s},
        )
