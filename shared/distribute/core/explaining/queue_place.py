"""A waiting job's place among those that wait for the same nodes, in the order of `placing`.

The order changes with each job that ends, because shares do. So this is the order as of now: as if places
became free one after another, and nothing else happened.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal, NamedTuple

from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.matching import never
from distribute.core.scheduling.queues import Queue, Waiting
from distribute.core.state.state import QUEUED, BatchState, NodeState, Shape
from distribute.core.state.usage import ONE_CORE

Why = Literal["priority", "share", "submission"]


class Ahead(NamedTuple):
    """So many jobs of one group come first, and why: by priority, by their person's lesser share of the lab,
    or because the same person submitted them before."""

    waiting: Waiting
    jobs: int
    why: Why

    @property
    def user(self) -> str:
        """Whose they are."""
        return self.waiting.batch.user


class Place(NamedTuple):
    """A job's place: 1 is first. `ahead` has the jobs that come first, the next one first."""

    place: int
    ahead: tuple[Ahead, ...]


def place_of(agenda: Agenda, batch: BatchState, row: int) -> Place | None:
    """The place of the queued job in this row. None: its batch holds it, or no node could ever run it."""
    waiting = agenda.waiting.of(batch, row) if batch.id in agenda.waiting else None
    if waiting is None or waiting.listed_at is None or batch.status[row] != QUEUED:
        return None
    if waiting.gate.hold_of(row) is not None or row in waiting.taken:
        return None
    order = _Order(agenda, waiting, row)
    if not order.able:
        return None
    ahead = tuple(found for found in order.all() if found.jobs)
    return Place(1 + sum(found.jobs for found in ahead), ahead)


class _Order:
    """Who comes before one job."""

    def __init__(self, agenda: Agenda, waiting: Waiting, row: int) -> None:
        self._agenda = agenda
        self._waiting = waiting
        self._row = row
        self.able = [node for node in agenda.state.nodes.values() if never(node, waiting.group.shape) is None]
        """The nodes that could run the job."""
        self._cores: dict[Shape, int] = {}
        agenda.shares.pass_time(agenda.now)

    def all(self) -> Iterator[Ahead]:
        """The jobs that come first."""
        queues, own = self._agenda.queues.by_priority, self._waiting.batch
        for priority in sorted(queues, reverse=True):
            if priority < own.priority:
                return
            if priority > own.priority:
                for queue in queues[priority].values():
                    for other in self._groups(queue):
                        yield Ahead(other, _jobs(other), "priority")
                continue
            own_queue = queues[priority][own.user]
            mine = list(self._own(own_queue))
            cores = sum(found.jobs * self._cores_of(found.waiting) for found in mine)
            turn = self._agenda.shares[own.user] + cores * ONE_CORE
            for queue in queues[priority].values():
                if queue is not own_queue:
                    yield from self._of_another(queue, turn, ties_first=queue.first < own_queue.first)
            yield from mine

    def _own(self, queue: Queue) -> Iterator[Ahead]:
        """The same person's jobs that come first."""
        for other in self._groups(queue):
            if other is self._waiting:
                yield Ahead(other, _jobs(other, before=self._row), "submission")
                return
            yield Ahead(other, _jobs(other), "submission")

    def _of_another(self, queue: Queue, turn: int, *, ties_first: bool) -> Iterator[Ahead]:
        """Another person's jobs that begin before that person's share is as large as `turn`."""
        share = self._agenda.shares[queue.user]
        for other in self._groups(queue):
            weight = self._cores_of(other) * ONE_CORE
            left = turn - share
            begin = left // weight + 1 if ties_first else -(-left // weight)
            jobs = max(0, min(_jobs(other), begin))
            yield Ahead(other, jobs, "share")
            if jobs < _jobs(other):
                return
            share += jobs * weight

    def _groups(self, queue: Queue) -> Iterator[Waiting]:
        """The groups of a queue that could run on a node that could run our job, in order."""
        entries = sorted((entry, shape) for shape, lane in queue.lanes.items() for entry in lane)
        for (_, batch_id, number), shape in entries:
            if self._cores_of_shape(shape):
                yield self._agenda.waiting[batch_id][number]

    def _cores_of(self, waiting: Waiting) -> int:
        return self._cores_of_shape(waiting.group.shape)

    def _cores_of_shape(self, shape: Shape) -> int:
        """The cores that a job takes, at least, on a node that could run our job. 0: on none."""
        found = self._cores.get(shape)
        if found is None:
            cpus = [_cores_at(node, shape) for node in self.able if never(node, shape) is None]
            found = self._cores[shape] = min(cpus, default=0)
        return found


def _cores_at(node: NodeState, shape: Shape) -> int:
    return shape.cpus or node.cpus


def _jobs(waiting: Waiting, before: int | None = None) -> int:
    """How many of the jobs wait; `before`: of the rows before this one."""
    status, found = waiting.batch.status, 0
    pending = sorted(row for row in waiting.taken if status[row] == QUEUED)
    for group in waiting.groups:
        stop = group.stop if before is None else min(before, group.stop)
        if stop > group.start:
            taken = bisect_left(pending, stop) - bisect_left(pending, group.start)
            found += status.count(QUEUED, group.start, stop) - taken
    return found
