"""The scheduler's process in the simulated world: `service`, with simulated hands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from distribute.core import events as ev
from distribute.core.beats import Beat
from distribute.core.events import Append, Recorded
from distribute.core.explain import obstacle_at
from distribute.core.ids import BatchId
from distribute.core.invariants import check_agenda
from distribute.core.liveness import Lease
from distribute.core.state import State
from distribute.ports import Only
from distribute.snapshot import dump, load
from distribute_services.scheduler.logic import Scheduler

from .process import SimulatedProcess
from .stories import Broken

if TYPE_CHECKING:
    from .world import World

LEASE = Lease(out_of_touch_s=15.0, lost_s=60.0)
LOOK_EVERY_S = 1.0
SNAPSHOT_EVERY_EVENTS = 40
CHECK_AGENDA_EVERY = 10


class IdleNode(NamedTuple):
    """A node, how many jobs it was given so far, and the batch that waits."""

    node: str
    given: int
    batch: BatchId


class SchedulerProcess(SimulatedProcess):
    """A scheduler, from its start to its death."""

    def __init__(self, world: World, name: str, *, clock_offset_s: float) -> None:
        super().__init__(world, name, clock_offset_s=clock_offset_s)
        self.scheduler: Scheduler | None = None
        self._snapshot_seq = 0
        self._decisions = 0
        self.log.ask(lambda stored: stored.last_seq, self._begin)

    def _begin(self, last_seq: int) -> None:
        if not self.alive:
            return
        state = load(self.world.snapshot) if self.world.snapshot else State()
        self.note(f"goes on from event {state.seq} of {last_seq}")
        self._snapshot_seq = state.seq
        self.scheduler = Scheduler(
            state,
            lease=LEASE,
            new_id=self.world.timeline.new_id,
            monotonic=self.world.timeline.now,
            catch_up_to=last_seq,
        )
        self.link.on_return.append(lambda: self._scheduler.was_deaf(self.world.timeline.now))
        self.follow(state.seq, Only(), self._deliver)
        self.every(LOOK_EVERY_S, self._look)

    @property
    def _scheduler(self) -> Scheduler:
        assert self.scheduler is not None, "it has begun"
        return self.scheduler

    def hear(self, beat: Beat) -> None:
        """A beat comes in, late and in whatever order."""
        if self.scheduler is not None and self.link.connected:
            self.scheduler.hear(beat, self.world.timeline.now)

    def _deliver(self, records: Sequence[Recorded]) -> None:
        for recorded in records:
            self._scheduler.deliver([recorded], self.world.timeline.now)
            self.world.truth.agrees(self._scheduler.state)
        self._decide()
        if self._scheduler.state.seq - self._snapshot_seq >= SNAPSHOT_EVERY_EVENTS:
            self._snapshot_seq = self._scheduler.state.seq
            self.world.snapshot = dump(self._scheduler.state)

    def _look(self) -> None:
        if self.link.connected:
            self._scheduler.look(self.world.timeline.now)
            self._decide()

    def _decide(self) -> None:
        made = self._scheduler.decide(self.wall())
        self._check_priorities(made)
        self._decisions += 1
        if self._decisions % CHECK_AGENDA_EVERY == 0:
            self.check()
        for append in made:
            self._append(append)

    def check(self) -> None:
        """The agenda is what the state and the pending events make it."""
        check_agenda(self._scheduler.agenda)

    def idle_and_waited_for(self) -> Iterator[IdleNode]:
        """Nodes that have nothing to do, with a batch that waits and could run there."""
        if self.scheduler is None or not self.scheduler.caught_up:
            return
        agenda = self.scheduler.agenda
        idle = [
            node for node in agenda.state.nodes.values() if not node.attempts and node.name not in agenda.held
        ]
        for batch_id, groups in agenda.waiting.items():
            batch = agenda.state.batches[batch_id]
            for waiting in groups if batch.end is None else ():
                if waiting.first() is not None:
                    shape = waiting.group.shape
                    free = [node for node in idle if obstacle_at(agenda, batch, shape, node) is None]
                    yield from (
                        IdleNode(node.name, self.world.truth.given[node.name], batch_id) for node in free
                    )

    def _append(self, append: Append) -> None:
        def answered(seq: int | None) -> None:
            if seq is None and self.alive:
                self._scheduler.refused(append)
                self._decide()

        self.log.append(append.event, append.guard, answered)

    def _check_priorities(self, made: Sequence[Append]) -> None:
        """No job was given to a node that a job of higher priority, which waits still, could use even now."""
        agenda = self._scheduler.agenda
        given = [append.event for append in made if isinstance(append.event, ev.Assigned)]
        for event in given:
            priority = agenda.state.batches[event.batch_id].priority
            node = agenda.state.nodes[event.node]
            higher = [key for key in agenda.queues.by_priority if key > priority]
            waiting = [
                (shape, batch_id)
                for key in higher
                for queue in agenda.queues.by_priority[key].values()
                for shape, lane in queue.lanes.items()
                for _, batch_id, _ in lane
                # A node with GPUs was kept for the job that got it, if that is the last to want them.
                if shape.gpus or not event.gpus
            ]
            for shape, batch_id in waiting:
                if obstacle_at(agenda, agenda.state.batches[batch_id], shape, node) is None:
                    raise Broken(f"{event.scope} went to {node.name}, which {batch_id} is waiting for")
