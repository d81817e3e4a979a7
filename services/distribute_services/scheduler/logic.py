"""The scheduler's reaction to events, heartbeats and time, without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from distribute.core.folding.live_fold import LiveFold
from distribute.core.ids import Scope
from distribute.core.log.beats import Beat
from distribute.core.log.recorded import Append, Recorded
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decide import decide
from distribute.core.scheduling.liveness import Lease, Liveness
from distribute.core.state.state import State

MOST_AT_ONCE = 200
"""Max. events that we decide on and append in one turn of the event loop: 30 ms with 1,000 idle nodes."""

MAX_UNKNOWN = 1000
"""Max. nodes that have not joined whose last heartbeats we keep. We drop heartbeats of others."""


class Scheduler:
    """Knows the state, the pending events, and which nodes are silent.

    `now` is in seconds since 1970, by this computer's clock. The scheduler decides nothing before it has
    folded everything up to `catch_up_to`, because guards would refuse decisions from an old state.
    """

    def __init__(
        self, state: State, *, lease: Lease, new_id: Callable[[], str], now: float, catch_up_to: int
    ) -> None:
        self.agenda = Agenda(state, Liveness(lease, now), now=now)
        self.beats: dict[str, Beat] = {}
        self.catch_up_to = catch_up_to
        self._fold = LiveFold(state, catch_up_to, self.agenda.fold)
        self._new_id = new_id
        self._refused: dict[Scope, int] = {}
        """The scopes of refused appends, each with the sequence of the event that came first. Until we have
        folded that event, we would only decide the same again."""

    @property
    def state(self) -> State:
        return self.agenda.state

    @property
    def caught_up(self) -> bool:
        return self.state.seq >= self.catch_up_to

    def deliver(self, records: Iterable[Recorded], now: float) -> list[Recorded]:
        """Fold events from the log. Returns those that are news: they fit, and come behind `catch_up_to`.

        Raises:
            LogReplaced: as `LiveFold`.
        """
        self.agenda.pass_time(now)
        news: list[Recorded] = []
        for recorded in records:
            if recorded.seq > self.state.seq:
                misfit = self._fold(recorded)
                if misfit is None and recorded.seq > self.catch_up_to:
                    news.append(recorded)
        self._drop_what_was_beaten()
        return news

    def hear(self, beat: Beat, now: float) -> None:
        """Take a heartbeat. Ignores one of an earlier incarnation than the one that joined last."""
        node = self.state.nodes.get(beat.node)
        if node is None and len(self.beats) >= len(self.state.nodes) + MAX_UNKNOWN:
            return
        if node is None or node.incarnation == beat.incarnation:
            self.beats[beat.node] = beat
            self.agenda.pass_time(now)
            self.agenda.hear(beat)

    def was_deaf(self, now: float) -> None:
        """Call this when the connection is back. While it was lost, we heard no node."""
        self.agenda.pass_time(now)
        self.agenda.was_deaf()

    def tick(self, now: float) -> None:
        """Let time pass. Call this about every second."""
        self.agenda.tick(now)

    @property
    def has_more(self) -> bool:
        """Are there attempts left to check for release?"""
        return self.caught_up and bool(self.agenda.to_release)

    def decide(self, now: float) -> list[Append]:
        """The events to append now. If there are `MOST_AT_ONCE` or more, call this again soon."""
        return decide(self.agenda, now, self._new_id, most=MOST_AT_ONCE) if self.caught_up else []

    def refused(self, append: Append, beaten_by: int) -> None:
        """Call this when a guard refused an append because of the event at sequence `beaten_by`."""
        if self.agenda.pending.has(append.event):
            self._refused[append.event.scope] = beaten_by
            self._drop_what_was_beaten()

    def _drop_what_was_beaten(self) -> None:
        for scope in [scope for scope, seq in self._refused.items() if seq <= self.state.seq]:
            del self._refused[scope]
            self.agenda.drop(scope)
