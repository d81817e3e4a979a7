"""The archiver's process in the simulated world: `service`, with simulated hands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.core import events as ev
from distribute.core.events import Recorded
from distribute_services.archiver.logic import Absences, Task, without_outputs

from .process import SimulatedProcess

if TYPE_CHECKING:
    from .world import World

COMMIT_WITHIN_S = 1.0


class ArchiverProcess(SimulatedProcess):
    """An archiver, from its start to its death. What it has not acknowledged comes again."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "archiver")
        self._absences = Absences()
        world.consumer.attach(self.link, self._deliver)

    def _deliver(self, recorded: Recorded) -> None:
        task = self.world.parts.task_of(recorded, self.wall(), self.world.timeline.new_id)
        self.soon(COMMIT_WITHIN_S, lambda: self._work(recorded, task))

    def _work(self, recorded: Recorded, task: Task) -> None:
        results = self.world.truth.results
        committed = [results.commit(stored.name) for stored in task.objects]
        if not all(committed):
            self._unless_deleted(recorded, task)
            return
        if task.delete is not None:
            self.note(f"deletes the results of {task.delete}")
            results.delete(task.delete, task.delete_before)
        self._append(recorded, task)

    def _unless_deleted(self, recorded: Recorded, task: Task) -> None:
        """Results are missing: fine if the batch is deleted; else nothing is acknowledged, so that it comes
        again, until it is settled that they are gone."""
        event = recorded.event
        assert isinstance(event, ev.Finished | ev.BuildFinished), "only these have outputs"

        def decide(last: Recorded | None) -> None:
            if not self.alive:
                return
            if last is not None and isinstance(last.event, ev.Deleted):
                self._append(recorded, task)
            elif self._absences.settled(recorded.seq):
                self._append(recorded, without_outputs(task, "gone"))

        self.log.ask(lambda stored: stored.last_of(event.batch_id), decide)

    def _append(self, recorded: Recorded, task: Task) -> None:
        if task.append is None:
            self.world.consumer.ack(recorded.seq)
            return

        def answered(_: int | None) -> None:
            if self.alive:  # a conflict: the job moved on, or it was said already
                self.world.consumer.ack(recorded.seq)

        self.log.append(task.append.event, task.append.guard, answered)
