"""The waiting jobs: a queue for each priority and person, with a lane for each shape.

A decision looks only at the first entry of a lane, so its cost does not depend on how many jobs wait.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from distribute.core.folding.gates import Gate, Hold
from distribute.core.ids import BatchId
from distribute.core.state.columns import NO_ROW
from distribute.core.state.state import QUEUED, BatchState, Group, Shape

LaneEntry = tuple[int, BatchId, int]
"""The sequence of a batch's submission, the batch, and the number of its waiting group."""

_START = attrgetter("start")

Lane = list[LaneEntry]
"""The waiting groups of one person, priority and shape, by submission."""


@dataclass(slots=True, eq=False)
class Waiting:
    """The waiting jobs of a batch that ask for the same, the lowest row first. Of a batch that ran elsewhere,
    none waits for us.

    They are those of `groups`: if a person has edited some jobs, these may be many, so nothing here looks at
    each of them. We have not looked at rows from `cursor` on yet. Rows before it that wait again are in
    `returned`.
    """

    batch: BatchState
    gate: Gate
    number: int
    groups: list[Group]
    cursor: int
    returned: list[int] = field(default_factory=list)
    """A heap. It may hold rows that do not wait any more, and rows twice."""
    forsaken: set[int] = field(default_factory=set)
    """Rows whose attempts may be given to another node, because their own is silent for too long."""
    listed_at: int | None = None
    """The priority of the lane in which the group is; None: it is in no lane."""

    @property
    def group(self) -> Group:
        """The first of its groups, which says what the jobs of all of them ask for."""
        return self.groups[0]

    @property
    def taken(self) -> set[int]:
        """Rows of the batch whose assignment is pending."""
        return self.gate.taken

    @property
    def entry(self) -> LaneEntry:
        return self.batch.seq, self.batch.id, self.number

    def first(self) -> int | None:
        """The next job to assign; None if none waits.

        It is the lowest queued row or, if none is queued, the lowest forsaken one. Forsaken rows come last,
        because their nodes may still return.
        """
        batch, gate = self.batch, self.gate
        if batch.ran_at is not None:
            return None
        hold = gate.hold_of(self.groups[0].start)
        if hold is not None:
            return None if hold is Hold.HELD else self._first_forsaken()
        status, taken = batch.status, gate.taken
        while self.returned:
            row = self.returned[0]
            if status[row] == QUEUED and row not in taken:
                return row
            heapq.heappop(self.returned)
        row = self.queued_from(self.cursor)
        while row != NO_ROW and row in taken:
            row = self.queued_from(row + 1)
        self.cursor = self.groups[-1].stop if row == NO_ROW else row
        return self._first_forsaken() if row == NO_ROW else row

    def _first_forsaken(self) -> int | None:
        return min(self.forsaken - self.taken, default=None) if self.forsaken else None

    def rows(self) -> Iterator[int]:
        """All waiting rows, in the order of `first`."""
        if self.batch.ran_at is not None:
            return
        hold = self.gate.hold_of(self.group.start)
        if hold is Hold.HELD:
            return
        if hold is None:
            yield from self._queued()
        yield from sorted(self.forsaken - self.taken)

    def _queued(self) -> Iterator[int]:
        """The rows that wait for a first node, or for another one."""
        status = self.batch.status
        yield from sorted(
            {
                row
                for row in self.returned
                if row < self.cursor and status[row] == QUEUED and row not in self.taken
            }
        )
        row = self.queued_from(self.cursor)
        while row != NO_ROW:
            if row not in self.taken:
                yield row
            row = self.queued_from(row + 1)

    def queued_from(self, row: int) -> int:
        """The first queued row from this one on; `NO_ROW`: there is none."""
        status, groups = self.batch.status, self.groups
        if len(groups) == 1:
            return status.find(QUEUED, row, groups[0].stop)
        for place in range(max(0, bisect_right(groups, row, key=_START) - 1), len(groups)):
            group = groups[place]
            found = status.find(QUEUED, max(row, group.start), group.stop)
            if found != NO_ROW:
                return found
        return NO_ROW

    def came_back(self, row: int) -> None:
        """Note that a row before the cursor waits again."""
        if row < self.cursor:
            heapq.heappush(self.returned, row)

    def look_again(self) -> None:
        """Look at all rows again, because any of them may wait."""
        self.cursor = self.group.start
        self.returned.clear()


class WaitingGroups(dict[BatchId, list[Waiting]]):
    """The waiting jobs of each batch, by what they ask for. The one that runs last stands alone, the last."""

    def all_of(self, batch: BatchState) -> list[Waiting]:
        """The groups of a batch, which may be new."""
        found = self.get(batch.id)
        if found is None:
            self.regroup(batch, Gate(batch))
            found = self[batch.id]
        return found

    def regroup(self, batch: BatchState, gate: Gate) -> None:
        """Make the groups of a batch anew, for an edit has changed them. They share its gate as before."""
        made: dict[tuple[Shape, int, float | None, bool], Waiting] = {}
        gate.groups, gate.numbers = batch.groups, []
        for group in batch.groups:
            needs = (group.shape, group.retries, group.timeout_s, group.start == batch.last_row)
            waiting = made.get(needs)
            if waiting is None:
                waiting = made[needs] = Waiting(batch, gate, len(made), [], group.start)
            waiting.groups.append(group)
            gate.numbers.append(waiting.number)
        self[batch.id] = list(made.values())

    def of(self, batch: BatchState, row: int) -> Waiting:
        """The waiting jobs among which a row belongs."""
        found = self[batch.id]
        if len(found) == 1:
            return found[0]
        gate = found[0].gate
        return found[gate.numbers[bisect_right(gate.groups, row, key=_START) - 1]]


@dataclass(slots=True)
class Queue:
    """The waiting groups of one person at one priority. `first`: sequence of the earliest submission."""

    user: str
    lanes: dict[Shape, Lane] = field(default_factory=dict)
    first: int = 0

    def in_order(self) -> list[tuple[Shape, Lane]]:
        """The lanes, by the submission of the first entry in each."""
        return sorted(self.lanes.items(), key=lambda item: item[1][0])

    def add(self, shape: Shape, entry: LaneEntry) -> None:
        """Put a group into its lane."""
        insort(self.lanes.setdefault(shape, []), entry)
        self._note_first()

    def remove(self, shape: Shape, entry: LaneEntry) -> None:
        """Take a group out of its lane."""
        lane = self.lanes[shape]
        del lane[bisect_left(lane, entry)]
        if not lane:
            del self.lanes[shape]
        self._note_first()

    def _note_first(self) -> None:
        self.first = min((lane[0][0] for lane in self.lanes.values()), default=0)


@dataclass(slots=True)
class Queues:
    """All queues, by priority and person, and the groups that wait with each shape."""

    by_priority: dict[int, dict[str, Queue]] = field(default_factory=dict)
    shapes: dict[Shape, set[LaneEntry]] = field(default_factory=dict)

    def keep(self, waiting: Waiting) -> bool:
        """Put the group into its lane if a job of it waits, else remove it. Returns True if that changed."""
        batch = waiting.batch
        wanted = batch.priority if batch.end is None and waiting.first() is not None else None
        if waiting.listed_at == wanted:
            return False
        self.remove(waiting)
        if wanted is not None:
            people = self.by_priority.setdefault(wanted, {})
            queue = people.setdefault(batch.user, Queue(batch.user))
            shape = waiting.group.shape
            queue.add(shape, waiting.entry)
            self.shapes.setdefault(shape, set()).add(waiting.entry)
            waiting.listed_at = wanted
        return True

    def remove(self, waiting: Waiting) -> None:
        """Take the group out of its lane, if it is in one."""
        if waiting.listed_at is None:
            return
        shape = waiting.group.shape
        people = self.by_priority[waiting.listed_at]
        queue = people[waiting.batch.user]
        queue.remove(shape, waiting.entry)
        if not queue.lanes:
            del people[queue.user]
            if not people:
                del self.by_priority[waiting.listed_at]
        self.shapes[shape].remove(waiting.entry)
        if not self.shapes[shape]:
            del self.shapes[shape]
        waiting.listed_at = None
