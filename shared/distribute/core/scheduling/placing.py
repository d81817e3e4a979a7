"""Assign jobs to nodes.

The order is by priority, then the person with the least share of the lab, then submission. If a job could run
on nodes that are all too busy now, the first such job reserves one, so that small jobs can't starve a large
one. At each priority, jobs that have waited for too long also reserve one (`overdue`). GPUs are kept for
waiting GPU work (`gpu_work`). A node that has built a batch takes jobs of that batch first. A job whose node
is silent for too long is taken from it here, at the moment when another node can take it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from distribute.core.folding.replacing import beside
from distribute.core.log import events as ev
from distribute.core.log.recorded import Guard
from distribute.core.scheduling.choosy import less_choosy
from distribute.core.scheduling.decisions import Decisions
from distribute.core.scheduling.elsewhere import must_leave
from distribute.core.scheduling.gpu_work import keeps_from
from distribute.core.scheduling.matching import grant
from distribute.core.scheduling.overdue import Waiter
from distribute.core.scheduling.queues import Lane, Queue, Waiting
from distribute.core.scheduling.reservations import Reservation, kept_from
from distribute.core.scheduling.trials import avoids, is_probe
from distribute.core.spec.shape import is_gpu_work
from distribute.core.state.state import BatchState, Shape


class Choice(NamedTuple):
    """A job, by its group and row, and its node."""

    waiting: Waiting
    row: int
    node: str


def place_jobs(decisions: Decisions) -> None:
    """Assign jobs until no waiting job can be placed, or the decisions are full."""
    is_done = False
    while not is_done and not decisions.is_full:
        this_round = _Round(decisions)
        is_done = this_round.run()
        decisions.agenda.reserved = this_round.reserved


class _Round:
    """A pass over the queues in order. Nodes only fill up meanwhile, so a shape that did not fit never will.

    If placing a job makes room for others, because it ends a reservation or needs no more room kept for GPU
    work, or for others of its batch, another round begins.
    """

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions
        self._agenda = decisions.agenda
        self.reserved: dict[str, Reservation] = {}
        """The nodes that are kept, each for jobs of a shape."""
        self._reserved_by: Queue | None = None
        """The queue whose first job has reserved a node by its rank."""
        self._overdue_for: set[Waiter] = set()
        """The waiters for which nodes are kept because they are overdue."""
        self._priority = 0
        self._open = list(self._agenda.nodes_for)

    def run(self) -> bool:
        """Place what can be placed. Returns False if another round is necessary."""
        agenda = self._agenda
        shares = agenda.shares
        shares.pass_time(agenda.now)
        for self._priority in sorted(agenda.queues.by_priority, reverse=True):
            self._reserve_for_what_is_overdue()
            if self._decisions.is_full or not self._has_room():
                continue
            people = agenda.queues.by_priority[self._priority]
            ranking = [(shares[user], queue.first, queue) for user, queue in people.items()]
            heapq.heapify(ranking)
            while ranking:
                _, _, queue = heapq.heappop(ranking)
                placed = self._serve(queue)
                if placed is not None and self._begins_anew_after(queue, *placed):
                    return False
                has_more = placed is not None and bool(queue.lanes)
                if self._decisions.is_full or not (ranking or has_more) or not self._has_room():
                    break
                if has_more:
                    # The person has a larger share now.
                    heapq.heappush(ranking, (shares[queue.user], queue.first, queue))
        return True

    def _begins_anew_after(self, queue: Queue, shape: Shape, choice: Choice) -> bool:
        """Does the job that was just placed make room for others, or need a node kept for others?

        If it took a node that was kept for its shape, others of the shape need another one.
        """
        was_overdue = self._note_served((queue.user, shape))
        was_kept = self._is_kept_for(shape, choice.node) or queue is self._reserved_by
        return was_overdue or was_kept or is_gpu_work(shape) or self._is_kept_in_vain_for(choice)

    def _has_room(self) -> bool:
        """Could any waiting shape be placed?"""
        while self._open:
            shape = self._open[-1]
            if shape in self._agenda.nodes_for and next(self._usable(shape), None) is not None:
                return True
            self._open.pop()
        return False

    def _is_kept_in_vain_for(self, choice: Choice) -> bool:
        """Is the batch full now (`max_running`), so that nothing is to be kept for its other jobs?"""
        batch, gate = choice.waiting.batch, choice.waiting.gate
        if batch.limits.max_running is None or gate.hold is None:
            return False
        groups = self._agenda.waiting[batch.id]
        kept_for = {reservation.shape for reservation in self.reserved.values()}
        shapes = (waiting.group.shape for waiting in groups)
        return any(shape in kept_for or is_gpu_work(shape) for shape in shapes)

    def _serve(self, queue: Queue) -> tuple[Shape, Choice] | None:
        """Place the first job of the queue that can run. Returns its shape, too; None if no job can."""
        for shape, lane in queue.in_order():
            choice = self._choose(shape, lane)
            if choice is not None:
                self._assign(choice)
                return shape, choice
            if self._reserved_by is None and self._reserve(shape, lane) is not None:
                self._reserved_by = queue
        return None

    def _reserve_for_what_is_overdue(self) -> None:
        """At this priority, keep a node for the waiter that has waited longest and can have one."""
        people = self._agenda.queues.by_priority[self._priority]
        for user, shape in self._agenda.overdue.get(self._priority, ()):
            lane = people[user].lanes.get(shape) if user in people else None
            name = self._reserve(shape, lane, is_overdue=True) if lane else None
            if name is not None:
                claims = self.reserved[name].claims | {(self._priority, user)}
                self.reserved[name] = Reservation(shape, claims)
                self._overdue_for.add((user, shape))
                self._open.append(shape)  # it may use what is kept for GPU work now
                return

    def _note_served(self, waiter: Waiter) -> bool:
        """Note that the waiter was served, so it is not overdue. Returns True if a node was kept for it."""
        for overdue in self._agenda.overdue.values():
            if waiter in overdue:
                overdue.remove(waiter)
        return waiter in self._overdue_for

    def _usable(self, shape: Shape, user: str | None = None) -> Iterator[str]:
        """The nodes that fit the shape and may be used for this person's jobs of it, the best first.

        `user` None: that may be used for anybody's.
        """
        nodes, quarantines = self._agenda.state.nodes, self._agenda.pending.quarantines
        for name in self._agenda.nodes_for[shape].fitting():
            if name in quarantines:
                continue
            if kept_from(self._agenda, self.reserved, nodes[name], shape, self._priority, user) is None:
                yield name

    def _is_kept_for(self, shape: Shape, name: str) -> bool:
        return name in self.reserved and self.reserved[name].shape == shape

    def _reserve(self, shape: Shape, lane: Lane, *, is_overdue: bool = False) -> str | None:
        """Keep the node that will fit the shape soonest, among those on which a job of the lane can run.

        Returns its name; None if there is no such node. Only overdue jobs take from GPU work that waits, and
        not from that of a higher priority.
        """
        waits = [self._agenda.waiting[batch_id][group] for _, batch_id, group in lane]
        for name in self._agenda.nodes_for[shape].nearest():
            node = self._agenda.state.nodes[name]
            if (
                (name not in self.reserved or self._is_kept_for(shape, name))
                and any(self._has_work_for(name, waiting) for waiting in waits)
                and not keeps_from(self._agenda, node, shape, self._priority + is_overdue).jobs
            ):
                self.reserved.setdefault(name, Reservation(shape))
                return name
        return None

    def _runs_at(self, name: str, batch: BatchState) -> bool:
        """Does the node take jobs of the batch, apart from its free resources?"""
        return name not in batch.build_failed and batch.id not in self._agenda.held_back.get(name, ())

    def _has_work_for(self, name: str, waiting: Waiting) -> bool:
        """Is there a job in the group that the node could take, apart from its free resources?"""
        batch = waiting.batch
        if not self._runs_at(name, batch):
            return False
        return not batch.moved_from or any(not self._must_leave(name, batch, row) for row in waiting.rows())

    def _must_leave(self, name: str, batch: BatchState, row: int) -> bool:
        return must_leave(self._agenda.state, batch, row, name, self._agenda.log_now)

    def _choose(self, shape: Shape, lane: Lane) -> Choice | None:
        """The next job of the lane, and its node.

        The first batch gets a node that has built it, or else the best node. If that one has built another
        batch of the lane, it takes that batch instead.
        """
        for _, batch_id, group in lane:
            waiting = self._agenda.waiting[batch_id][group]
            choice = self._choose_of(shape, waiting)
            if choice is None:
                continue
            name = choice.node
            if waiting.batch.needs_build and not self._has_built(name, waiting.batch):
                builds = self._agenda.state.nodes[name].builds
                for _, other_id, other_group in lane if builds else ():
                    other = self._agenda.waiting[other_id][other_group]
                    row = other.first()
                    if other_id in builds and row is not None and self._takes(name, other.batch, row):
                        return Choice(other, row, name)
            return choice
        return None

    def _choose_of(self, shape: Shape, waiting: Waiting) -> Choice | None:
        """The next job of a group that a node can take now. Others run while it keeps away from a node."""
        batch = waiting.batch
        row = waiting.first()
        assert row is not None, "a group stands in a lane only while a job of it waits"
        if (name := self._best(shape, batch, row)) is not None:
            return Choice(waiting, row, name)
        for other in less_choosy(waiting, row):
            if (name := self._best(shape, batch, other)) is not None:
                return Choice(waiting, other, name)
        return None

    def _best(self, shape: Shape, batch: BatchState, row: int) -> str | None:
        best = None
        for name in self._usable(shape, batch.user):
            if not self._takes(name, batch, row):
                continue
            if not batch.built_on or self._has_built(name, batch):
                return name
            if best is None:
                best = name
        return best

    def _takes(self, name: str, batch: BatchState, row: int) -> bool:
        """May this job go to this node? A probe must not go to its suspect, nor a moved job back."""
        if batch.moved_from and self._must_leave(name, batch, row):
            return False
        if is_probe(batch, row):
            is_barred = avoids(self._agenda.state, batch, row, name, self._agenda.log_now)
            return name not in batch.build_failed and not is_barred
        return self._runs_at(name, batch)

    def _has_built(self, name: str, batch: BatchState) -> bool:
        return batch.id in self._agenda.state.nodes[name].builds

    def _assign(self, choice: Choice) -> None:
        """Assign the job to the node. If another, silent node has it, release it from there first."""
        agenda, decisions = self._agenda, self._decisions
        waiting, row, name = choice
        batch = waiting.batch
        behind: list[str] = []
        if row in batch.active:
            cause = agenda.state.nodes[batch.active[row].node].cause
            behind.append(decisions.release(batch, row, "node_lost", cause))
        is_last, is_limited = row == batch.last_row, batch.limits.max_running is not None
        if is_limited and waiting.gate.line:
            behind.append(next(reversed(waiting.gate.line)))
        cpus, memory_bytes, gpus = grant(
            agenda.state.nodes[name], waiting.group.shape, agenda.pending.held_of(name)
        )
        decisions.add(
            ev.Assigned(
                **decisions.stamp(),
                namespace=batch.id.namespace,
                batch=batch.id.batch,
                job=batch.names[row],
                attempt=batch.attempts[row] + 1,
                node=name,
                cpus=cpus,
                memory_bytes=memory_bytes,
                gpus=gpus,
                submission=batch.submission,
                submitted_seq=batch.seq,
                beside=beside(batch),
                limited=(is_limited and not is_last) or None,
                last=is_last or None,
                timeout_s=waiting.group.timeout_s,
            ),
            Guard(_guarded_seq(batch, row), batch.seq),
            tuple(behind),
        )


def _guarded_seq(batch: BatchState, row: int) -> int:
    """The last sequence of what guards an assignment of this job: see `guard_scope`."""
    if row == batch.last_row:
        return batch.under_seq
    return batch.assigned_seq if batch.limits.max_running is not None else batch.job_seq[row]
