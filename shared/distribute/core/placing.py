"""Which job goes to which node, the part of the policy that gives jobs away.

By priority, then to whom has least of the lab, then by submission. The first job that could run on a node
that is now too busy reserves one, so that small jobs can't starve a large one, and so does, at each priority,
what has waited for too long (`overdue`). Nodes with GPUs are kept for GPU work that waits. A node that has
built a batch takes jobs of that batch first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from distribute.core import events as ev
from distribute.core.decisions import Decisions
from distribute.core.events import Guard
from distribute.core.ids import BatchId
from distribute.core.matching import grant
from distribute.core.overdue import Waiter
from distribute.core.queues import Lane, Queue
from distribute.core.state import BatchState, Shape


def place_jobs(decisions: Decisions) -> None:
    """Give jobs away until nothing that waits can be placed."""
    is_done = False
    while not is_done:
        this_round = _Round(decisions)
        is_done = this_round.run()
    decisions.agenda.reserved = this_round.reserved


class _Round:
    """A pass over the queues in their order. Nodes only fill up in it, so what did not fit will not.

    What is kept from whom stands at its start; where a job that was placed changes that, all is ranked anew.
    """

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions
        self._agenda = decisions.agenda
        self._kept = decisions.agenda.kept_for_gpu_work()
        self.reserved: dict[str, Shape] = {}
        """Nodes that are kept, each for jobs of a shape."""
        self._reserved_by: Queue | None = None
        """Whose first job has reserved a node by its rank."""
        self._open = list(self._agenda.nodes_for)

    def run(self) -> bool:
        """Place what can be placed. False where another round is needed."""
        agenda, now = self._agenda, self._decisions.now

        def rank(queue: Queue) -> tuple[float, int, Queue]:
            return agenda.share(queue.user, now), queue.first, queue

        for priority in sorted(agenda.queues.by_priority, reverse=True):
            if not self._has_room():
                return True
            overdue = agenda.overdue.get(priority, [])
            reserved_for = self._reserve_for_one_of(overdue, priority)
            ranking = [rank(queue) for queue in agenda.queues.by_priority[priority].values()]
            heapq.heapify(ranking)
            while ranking and self._has_room():
                _, _, queue = heapq.heappop(ranking)
                placed = self._serve(queue)
                if placed is None:
                    continue
                served = (queue.user, placed)
                if served in overdue:
                    overdue.remove(served)
                    if served == reserved_for:
                        return False
                if queue is self._reserved_by or (placed.gpus and self._kept != agenda.kept_for_gpu_work()):
                    return False
                if queue.lanes:
                    heapq.heappush(ranking, rank(queue))  # its person has more of the lab now
        return True

    def _has_room(self) -> bool:
        """Could a job of any shape that waits be placed?"""
        while self._open:
            shape = self._open[-1]
            if shape in self._agenda.nodes_for and next(self._usable(shape), None) is not None:
                return True
            self._open.pop()
        return False

    def _serve(self, queue: Queue) -> Shape | None:
        """Place the first job of the queue that can run. Its shape, or None where none can."""
        for shape, lane in queue.in_order():
            choice = self._choose(shape, lane)
            if choice is not None:
                self._assign(*choice)
                return shape
            if self._reserved_by is None and self._reserve(shape, lane):
                self._reserved_by = queue
        return None

    def _reserve_for_one_of(self, overdue: list[Waiter], priority: int) -> Waiter | None:
        """Keep a node for the first of these that one can be kept for."""
        people = self._agenda.queues.by_priority[priority]
        for user, shape in overdue:
            lane = people[user].lanes.get(shape) if user in people else None
            if lane and self._reserve(shape, lane):
                return user, shape
        return None

    def _usable(self, shape: Shape) -> Iterator[str]:
        """The nodes that fit the shape and may be used for it, the best first."""
        return self._not_kept(shape, self._agenda.nodes_for[shape].fitting())

    def _not_kept(self, shape: Shape, names: Iterator[str]) -> Iterator[str]:
        """Those of the nodes that are not kept for others: for GPU work, or by the reservation."""
        kept = frozenset[str]() if shape.gpus else self._kept
        return (name for name in names if name not in kept and self.reserved.get(name, shape) == shape)

    def _reserve(self, shape: Shape, lane: Lane) -> bool:
        """Keep the node that will fit the shape soonest, of those on which something of the lane can run.

        False where there is none.
        """
        batches = [self._agenda.state.batches[batch_id] for _, batch_id, _ in lane]
        for name in self._not_kept(shape, self._agenda.nodes_for[shape].nearest()):
            if any(name not in batch.build_failed for batch in batches):
                self.reserved[name] = shape
                return True
        return False

    def _choose(self, shape: Shape, lane: Lane) -> tuple[BatchId, int, str] | None:
        """The batch of the lane, its group, and the node for its next job.

        The first batch takes a node that has built it, or else the best; which, where it has built another
        batch of the lane, takes that one instead.
        """
        for _, batch_id, group in lane:
            batch = self._agenda.state.batches[batch_id]
            name = self._best(shape, batch)
            if name is None:
                continue
            if batch.needs_build and name not in batch.built_on:
                builds = self._agenda.state.nodes[name].builds
                for _, other_id, other_group in lane if builds else ():
                    if other_id in builds:
                        return other_id, other_group, name
            return batch_id, group, name
        return None

    def _best(self, shape: Shape, batch: BatchState) -> str | None:
        best = None
        for name in self._usable(shape):
            if name in batch.build_failed:
                continue
            if name in batch.built_on:
                return name
            if best is None:
                best = name
            if not batch.built_on:
                break
        return best

    def _assign(self, batch_id: BatchId, group_number: int, name: str) -> None:
        agenda = self._agenda
        waiting = agenda.waiting[batch_id][group_number]
        row = waiting.first()
        assert row is not None, "a group stands in a lane only while a job of it waits"
        batch = waiting.batch
        cpus, memory_bytes, gpus = grant(agenda.state.nodes[name], waiting.group.shape, agenda.held_of(name))
        self._decisions.add(
            ev.Assigned(
                **self._decisions.stamp(),
                namespace=batch_id.namespace,
                batch=batch_id.batch,
                job=batch.names[row],
                attempt=batch.attempts[row] + 1,
                node=name,
                cpus=cpus,
                memory_bytes=memory_bytes,
                gpus=gpus,
            ),
            Guard(batch.job_seq[row], batch.seq),
        )
