"""The scheduler's process in the simulated world, and what is checked whenever it reads or decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from distribute.core.checking.invariants import check, check_agenda
from distribute.core.explaining.explain import obstacle_at
from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.beats import Beat
from distribute.core.log.recorded import Append, Recorded
from distribute.core.scheduling.matching import never
from distribute.core.state.state import State, Status
from distribute_services.scheduler.logic import Scheduler
from distribute_services.scheduler.service import SchedulerService

from .patience import LEASE, Ears
from .process import ServiceProcess
from .stories import Broken, require

if TYPE_CHECKING:
    from .truth import Truth
    from .world import World

SNAPSHOT_EVERY_EVENTS = 80
LOOK_EVERY_S = 2.0
"""Half as often as in life: most of the time there is nothing to see."""
CHECK_AGENDA_EVERY = 60


class IdleNode(NamedTuple):
    """A node, how many jobs it was given so far, when its last pause was to end, and the batch that waits."""

    node: str
    given: int
    paused_until: float | None
    batch: BatchId


class WatchedScheduler(Scheduler):
    """The scheduler's logic, which checks itself against the truth."""

    def __init__(self, truth: Truth, ears: Ears, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._truth = truth
        self._ears = ears
        self._decisions = 0
        self._packed: set[BatchId] = set()

    def deliver(self, records: Iterable[Recorded], now: float) -> list[Recorded]:
        news = []
        for recorded in records:
            news += super().deliver([recorded], now)
            self._truth.agrees(self.state)
        packed = set(self.state.packed)
        self._truth.happened["a batch is packed"] += len(packed - self._packed)
        self._truth.happened["a packed batch changes"] += len(self._packed - packed)
        self._packed = packed
        return news

    def hear(self, beat: Beat, now: float) -> None:
        self._ears.hear(beat)
        super().hear(beat, now)

    def decide(self, now: float) -> list[Append]:
        made = super().decide(now)
        for append in made:
            self._ears.judge(append.event, self.state)
        self._check_priorities(made)
        self._check_limits(made)
        self._check_changes(made)
        self._decisions += 1
        if self._decisions % CHECK_AGENDA_EVERY == 0:
            self.check()
        return made

    def check(self) -> None:
        """The state is sound, and the agenda is what that and the pending events make it."""
        check(self.state)
        check_agenda(self.agenda)

    def idle_and_waited_for(self) -> Iterator[IdleNode]:
        """Nodes that have nothing to do, with a batch that waits and could run there."""
        if not self.caught_up:
            return
        agenda = self.agenda
        nodes = agenda.state.nodes.values()
        idle = [node for node in nodes if not node.attempts and node.name not in agenda.pending.held]
        for batch_id, groups in agenda.waiting.items():
            batch = agenda.state.batches[batch_id]
            for waiting in groups if batch.end is None else ():
                row = waiting.first()
                free = [
                    node for node in idle if row is not None and obstacle_at(agenda, batch, row, node) is None
                ]
                for node in free:
                    given = self._truth.given[node.name]
                    yield IdleNode(node.name, given, node.paused_until, batch_id)

    def _check_priorities(self, made: Sequence[Append]) -> None:
        """No job was given to a node that a job of higher priority, which waits still, could use even now."""
        agenda = self.agenda
        given = [append.event for append in made if isinstance(append.event, ev.Assigned)]
        for event in given:
            priority = agenda.state.batches[event.batch_id].priority
            node = agenda.state.nodes[event.node]
            higher = [
                agenda.waiting[batch_id][number]
                for key in agenda.queues.by_priority
                for queue in agenda.queues.by_priority[key].values()
                for lane in queue.lanes.values()
                for _, batch_id, number in lane
                if key > priority
            ]
            for waiting in higher:
                row = waiting.first()
                if row is not None and obstacle_at(agenda, waiting.batch, row, node) is None:
                    job = waiting.batch.job_id(row)
                    raise Broken(f"{event.scope} went to {node.name}, which {job} is waiting for")

    def _check_limits(self, made: Sequence[Append]) -> None:
        """No job begins, by what this scheduler knows, that its batch holds back."""
        for append in made:
            event = append.event
            self._truth.holds.check(event, self.state.seq)
            batch = self.state.batch_of(event) if isinstance(event, ev.Assigned) else None
            if batch is None or not isinstance(event, ev.Assigned) or batch.rows[event.job] in batch.active:
                continue
            last = batch.last_row
            if batch.rows[event.job] == last:
                continue
            failed = batch.status.count(Status.FAILED)
            failed -= last is not None and batch.status[last] == Status.FAILED
            failed -= len(batch.forgiven)
            is_allowed = batch.limits.max_failures is None or failed < batch.limits.max_failures
            self._truth.happened["a batch with max_failures goes on"] += batch.limits.max_failures is not None
            require(is_allowed, f"{event.scope} begins, and {failed} jobs of its batch have failed")

    def _check_changes(self, made: Sequence[Append]) -> None:
        """Jobs are given what they ask for, and moved ones stay away from the nodes that they left."""
        if self._truth.holds.is_torn:
            return
        for append in made:
            event = append.event
            if not isinstance(event, ev.Assigned):
                continue
            self._truth.happened["an edited job begins"] += self._truth.edits.check(event, self.state.seq)
            story = self._truth.stories.of.get(event.scope)
            if story is None or story.left_node is None or event.attempt != story.attempt + 1:
                continue
            batch = self.agenda.state.batches[event.batch_id]
            shape = batch.group_of(batch.rows[event.job]).shape
            able = [
                node.name
                for node in self.agenda.state.nodes.values()
                if node.name not in {event.node, *batch.build_failed}
                and never(node, shape) is None
                and self.agenda.obstacle_of(node) is None
            ]
            self._truth.happened["a moved job goes elsewhere"] += event.node != story.left_node
            is_right = event.node != story.left_node or not able
            require(is_right, f"{event.scope} was moved away from {event.node}, and goes back, not to {able}")


class SchedulerProcess(ServiceProcess):
    """A scheduler, from its start to its end."""

    def __init__(self, world: World, name: str, *, clock_offset_s: float) -> None:
        self.scheduler: WatchedScheduler | None = None
        super().__init__(world, name, clock_offset_s=clock_offset_s)

    async def service(self) -> None:
        service = SchedulerService(
            self.cluster,
            LEASE,
            clock=self.clock,
            new_id=self.new_id,
            logic=self._watched,
            snapshot_every_events=SNAPSHOT_EVERY_EVENTS,
            pack_after_s=self.world.scenario.pack_after_s,
            look_every_s=LOOK_EVERY_S,
        )
        try:
            await service.run(self.stop)
        finally:
            self.scheduler = None  # what it knew counts no more

    @property
    def state(self) -> State | None:
        return self.scheduler.state if self.scheduler is not None else None

    def _watched(self, *args: Any, now: float, **kwargs: Any) -> WatchedScheduler:
        # Else the silence of nodes would count from a moment at which this scheduler could hear nobody.
        require(now == self.clock(), f"{self.name} begins {self.clock() - now:.1f} s late")
        self.scheduler = WatchedScheduler(self.world.truth, Ears(self.loop), *args, now=now, **kwargs)
        self.note(f"goes on from event {self.scheduler.state.seq}")
        return self.scheduler
