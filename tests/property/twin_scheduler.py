"""A scheduler of the small lab: it decides by the core, and as one that is restored from a snapshot does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from copy import deepcopy

from distribute.core.explaining.explain import obstacle_at
from distribute.core.ids import BatchId
from distribute.core.log.beats import Beat
from distribute.core.log.events import Assigned
from distribute.core.log.recorded import Append, Guard, Recorded
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decide import decide
from distribute.core.scheduling.matching import Obstacle
from distribute.core.state.state import State
from distribute.snapshot import dump, load
from distribute.testing import builders as make


class Scheduler:
    """An agenda, and the appended events that have not reached the log."""

    def __init__(self, state: State) -> None:
        self.agenda = Agenda(state)
        self.under_way: deque[Append] = deque()
        self.arrived: dict[str, Recorded] = {}
        """What arrived, and was not refused, by id."""

    def decide(self, now: float, heard: Iterable[str]) -> list[Append]:
        """Decide after these nodes have beaten. A scheduler restored from a snapshot must decide the same."""
        self.agenda.pass_time(now)
        for name in sorted(heard):
            node = self.agenda.state.nodes[name]
            has = tuple(self.agenda.state.batches[key.batch].attempt_id(key.row) for key in node.attempts)
            self.agenda.hear(Beat(node=name, incarnation=node.incarnation, load=0.0, running=has))
        self.agenda.look_for_overdue()
        twin, before = self.restored(), self.restored()
        made = decide(self.agenda, now, make.new_id)
        assert told(decide(twin, now, make.new_id)) == told(made)
        assert (twin.reserved, twin.held_back) == (self.agenda.reserved, self.agenda.held_back)
        before.held_back = self.agenda.held_back
        nothing_stood_in_the_way(before, made)
        return made

    def holds(self, batch_id: BatchId) -> bool:
        """Is the batch held, by what this scheduler has read?"""
        return self.agenda.state.batches[batch_id].holding is not None

    def restored(self) -> Agenda:
        """An agenda with the same knowledge, made from a snapshot with another order of everything."""
        state = load(dump(self.agenda.state))
        state.batches = dict(reversed(state.batches.items()))
        state.nodes = dict(reversed(state.nodes.items()))
        twin = Agenda(state, deepcopy(self.agenda.liveness), now=self.agenda.now)
        for events in reversed(self.agenda.pending.of_scope.values()):
            for event in events:
                twin.plan(event)
        twin.look_for_overdue()
        return twin


def nothing_stood_in_the_way(before: Agenda, made: list[Append]) -> None:
    """Check that `explain` had no obstacle for what was decided, one after another.

    GPU work has no claim on the one node that an overdue job gets. `explain` does not foresee which that is.
    """
    for append in made:
        event = append.event
        if isinstance(event, Assigned):
            batch, node = before.state.batches[event.batch_id], before.state.nodes[event.node]
            row = batch.rows[event.job]
            waiter = batch.user, before.waiting.of(batch, row).group.shape
            is_overdue = waiter in before.overdue.get(batch.priority, ())
            obstacle = obstacle_at(before, batch, row, node)
            may_pass = obstacle is None or (is_overdue and obstacle is Obstacle.KEPT_FOR_GPU_WORK)
            assert may_pass, f"{event.scope} goes to {node.name}: {obstacle}"
        before.plan(event)


def nothing_waits_without_reason(agenda: Agenda) -> None:
    """Check that for every waiting job, each node has a reason not to run it."""
    for groups in agenda.waiting.values():
        for waiting in groups:
            if waiting.listed_at is None:
                continue
            row = waiting.first()
            assert row is not None, "it stands in a lane"
            for node in agenda.state.nodes.values():
                obstacle = obstacle_at(agenda, waiting.batch, row, node)
                assert obstacle is not None, f"{waiting.batch.id} waits, and {node.name} could take it"


def told(made: list[Append]) -> list[tuple[dict[str, object], Guard, int]]:
    """The decisions, without the ids of the new events."""
    return [(append.event.model_dump(exclude={"id"}), append.guard, len(append.behind)) for append in made]
