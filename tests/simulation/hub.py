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

    def last_beats(self, incarnation: str, heard_by: float) -> list[float]:
        """When a runner was heard last, and when it was heard last up to `heard_by`; 0.0: never.

        If that was not yet, it has just started anew: then the runners before it were heard last.
        """
        own = self.beat_times.get(incarnation) or [0.0]
        heard = [beat_at for beat_at in own if beat_at <= heard_by]
        if not heard:
            folder, _, _ = incarnation.rpartition("/")
            others = [times for name, times in self.beat_times.items() if name.rpartition("/")[0] == folder]
            heard = sorted(beat_at for times in others for beat_at in times if beat_at < own[0])
        return [own[-1], *heard[-1:]]
