"""Whether a scheduler is patient with silent nodes, by what it heard itself, without `Liveness`."""

from __future__ import annotations

from distribute.core.log import events as ev
from distribute.core.log.beats import Beat
from distribute.core.log.events import Event
from distribute.core.scheduling.liveness import Lease
from distribute.core.state.state import State
from distribute.sim.loop import VirtualLoop

from .stories import require

LEASE = Lease(patience_growth=2.0, longest_patience_s=300.0)
"""Patience grows fast, since the jobs of this world are short."""
SLACK_S = 0.5


class Ears:
    """When one scheduler last heard each node, in seconds of virtual time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._begun_at = loop.now
        self._heard: dict[tuple[str, str], float] = {}

    def hear(self, beat: Beat) -> None:
        """A heartbeat has come."""
        self._heard[beat.node, beat.incarnation] = self._loop.now

    def judge(self, event: Event, state: State) -> None:
        """Raise `Broken` where the scheduler declares a node lost, or takes a job from one, too early."""
        match event:
            case ev.Lost():
                silence_s = self._silence_s(event.node, state)
                require(silence_s >= LEASE.lost_after_s, f"{event.node} is lost after {silence_s:.1f} s")
                told = f"{event.node} was silent for {silence_s:.1f} s, not {event.silent_s:.1f} s"
                require(event.silent_s <= silence_s, told)
            case ev.Released(reason="node_lost"):
                self._is_patient(event, state)
            case _:
                pass

    def _is_patient(self, released: ev.Released, state: State) -> None:
        """A job is taken from its silent node only when that was silent for long, for what would be lost."""
        node, batch = state.nodes[released.node], state.batches[released.batch_id]
        attempt = batch.active[batch.rows[released.job]]
        until = node.silent_from or 0.0
        paused_s = sum(max(0.0, min(end, until) - max(begin, attempt.since)) for begin, end in node.pauses)
        ran_s = max(0.0, until - attempt.since) - paused_s
        patience_s = max(LEASE.lost_after_s, min(LEASE.patience_growth * ran_s, LEASE.longest_patience_s))
        silence_s = self._silence_s(node.name, state)
        told = f"it had run for {ran_s:.1f} s when it fell silent for {silence_s:.1f} s"
        require(silence_s >= patience_s, f"{released.scope} was taken from {node.name}: {told}")

    def _silence_s(self, node: str, state: State) -> float:
        heard_at = self._heard.get((node, state.nodes[node].incarnation), self._begun_at)
        return self._loop.now - heard_at + SLACK_S
