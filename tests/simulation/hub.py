"""The simulated broker's content, with a record of the heartbeats that arrived."""

from __future__ import annotations

from dataclasses import dataclass, field

from distribute.core.beats import Beat
from distribute.sim.cluster import Hub


@dataclass(slots=True)
class WatchedHub(Hub):
    """Records when the heartbeats of each incarnation arrived, in seconds of virtual time."""

    beat_times: dict[str, list[float]] = field(default_factory=dict)

    def beat(self, body: bytes) -> Beat:
        """As `Hub.beat`."""
        beat = Hub.beat(self, body)
        self.beat_times.setdefault(beat.incarnation, []).append(self.broker.loop.now)
        return beat
