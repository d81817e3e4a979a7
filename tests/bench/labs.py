"""The largest labs, to measure decisions: 1,000 nodes, 1,000 batches, a million jobs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from time import process_time_ns

from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.log.recorded import Append
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decide import decide
from distribute.core.scheduling.liveness import Lease, Liveness
from distribute.core.spec.specs import Resources
from distribute.core.state.state import JobKey, State

from .streams import GIB, SECOND_OF_START, Writer, sweep

USERS = 40
NEVER_SILENT = Lease(out_of_touch_s=1e9, lost_after_s=1e9)


class Lab:
    """A scheduler's agenda, and a log that delivers decided events at once."""

    def __init__(self) -> None:
        liveness = Liveness(NEVER_SILENT, SECOND_OF_START)  # nobody beats here
        self.agenda = Agenda(State(), liveness, now=SECOND_OF_START)
        self.writer = Writer()
        self.random = random.Random(2)

    def happen(self, event: Event) -> None:
        self.agenda.fold(self.writer.record(event))

    def join(self, nodes: int, cpus: Sequence[int], gpus_of_each_tenth: int = 0) -> None:
        """Let nodes join. They have these numbers of cpus in turn, and each tenth has GPUs."""
        for number in range(nodes):
            name = f"node{number:04}"
            self.happen(
                ev.Joined(
                    **self.writer.stamp(name),
                    node=name,
                    incarnation="1",
                    boot_id="1",
                    capabilities=frozenset({"python"}),
                    cpus=cpus[number % len(cpus)],
                    memory_bytes=64 * GIB,
                    gpus=("gpu",) * (gpus_of_each_tenth if number % 10 == 0 else 0),
                    version="1",
                )
            )

    def submit(self, batches: int, jobs: int, shapes: Sequence[Resources | None]) -> None:
        """Submit batches of `USERS` people, with these resources and three priorities in turn."""
        work = sweep(0, jobs).work
        for number in range(batches):
            user = f"user{number % USERS}"
            resources = shapes[number // USERS % len(shapes)]
            one = sweep(number, 1, resources=resources, priority=number % 3)
            spec = one.model_copy(update={"work": work})
            self.happen(ev.Submitted(**self.writer.stamp(user), **spec.id._asdict(), user=user, spec=spec))

    def decide(self) -> tuple[list[Append], float]:
        """Decide. Returns the events, and the time in microseconds."""
        ids = iter(range(1_000_000))
        now = SECOND_OF_START + self.writer.seq / 1000
        since = process_time_ns()
        made = decide(self.agenda, now, lambda: f"{next(ids)}")
        return made, (process_time_ns() - since) / 1e3

    def run(self, made: Iterable[Append]) -> None:
        """Deliver decided events, and let the nodes start the jobs assigned to them."""
        for append in made:
            event = append.event
            self.happen(event)
            if isinstance(event, ev.Assigned):
                job = {**event.scope._asdict(), "attempt": event.attempt, "node": event.node}
                self.happen(ev.Claimed(**self.writer.stamp(event.node), **job))
                self.happen(ev.Started(**self.writer.stamp(event.node), **job))

    def finish(self, key: JobKey) -> None:
        """Let a running job succeed."""
        batch = self.agenda.state.batches[key.batch]
        attempt = batch.active[key.row]
        job = {**batch.job_id(key.row)._asdict(), "attempt": attempt.number, "node": attempt.node}
        self.happen(ev.Finished(**self.writer.stamp(attempt.node), **job, succeeded=True, wall_s=60.0))

    def finish_one(self) -> None:
        """Let any one running job succeed."""
        nodes = self.agenda.state.nodes
        busy = [name for name in self.random.sample(sorted(nodes), 20) if nodes[name].attempts]
        self.finish(min(nodes[busy[0]].attempts))
