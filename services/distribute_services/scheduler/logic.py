"""What the scheduler does with events, beats and time, with no I/O: the simulator runs this very code."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from distribute.core.agenda import Agenda
from distribute.core.beats import Beat
from distribute.core.decide import decide
from distribute.core.events import Append, Joined, Recorded
from distribute.core.liveness import Lease, Liveness
from distribute.core.state import State


class Scheduler:
    """The state, what is pending, and who is alive.

    It decides nothing before it has folded everything up to `catch_up_to`: an old state makes
    decisions that the guards would only refuse.
    """

    def __init__(
        self, state: State, *, lease: Lease, new_id: Callable[[], str], monotonic: float, catch_up_to: int
    ) -> None:
        self.agenda = Agenda(state)
        self.liveness = Liveness(lease, monotonic)
        self.beats: dict[str, Beat] = {}
        self.catch_up_to = catch_up_to
        self._new_id = new_id
        self._expired: dict[str, float] = {}

    @property
    def state(self) -> State:
        return self.agenda.state

    @property
    def caught_up(self) -> bool:
        return self.state.seq >= self.catch_up_to

    def deliver(self, records: Iterable[Recorded], monotonic: float) -> None:
        """Events came from the log."""
        for recorded in records:
            if recorded.seq <= self.state.seq:
                continue
            self.agenda.fold(recorded)
            if isinstance(recorded.event, Joined):
                self.liveness.heard(recorded.event.node, monotonic)

    def hear(self, beat: Beat, monotonic: float) -> None:
        """A node beat. One of an earlier incarnation than joined last says nothing."""
        node = self.state.nodes.get(beat.node)
        if node is None or node.incarnation == beat.incarnation:
            self.beats[beat.node] = beat
            self.liveness.heard(beat.node, monotonic)

    def was_deaf(self, monotonic: float) -> None:
        """The connection was away and is back."""
        self.liveness.deaf_until(monotonic)

    def look(self, monotonic: float) -> None:
        """Look who is silent. Called every second or so."""
        here = [name for name, node in self.state.nodes.items() if node.presence == "here"]
        out_of_touch, self._expired = self.liveness.look(here, monotonic)
        self.agenda.observe(out_of_touch)

    def decide(self, now: float) -> list[Append]:
        """What to append now. `now` is in seconds since 1970."""
        if not self.caught_up:
            return []
        expired, self._expired = self._expired, {}
        return decide(self.agenda, now, expired, self._new_id)

    def refused(self, append: Append) -> None:
        """An append lost its race. What beat it comes, or came, by the log."""
        pending = self.agenda.pending.get(append.event.scope)
        if pending is not None and pending.id == append.event.id:
            self.agenda.drop(append.event.scope)
