"""An estimate of when a waiting job begins, from what runs and what comes first, with its uncertainty.

We place the jobs ahead, and then the job, on the nodes that could run it, as these become free. How long jobs
take we judge by the jobs of their batch that have ended. This is done three times: with all of them short (of
ten jobs, one is shorter), as usual, and long. `docs/why.md` says how far off it is.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from typing import NamedTuple

from distribute.core.explaining.job_lengths import LONG, SHORT, USUAL, Lengths
from distribute.core.explaining.queue_place import Place
from distribute.core.ids import BatchId
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.liveness import run_s
from distribute.core.scheduling.matching import Obstacle, never
from distribute.core.state.state import BatchState, NodeState, Shape

MOST_PLACED = 2000
"""So many jobs ahead are placed one by one: that takes 50 ms. If there are more, we extrapolate."""


LONGEST_S = 100 * 365 * 86400.0
"""A hundred years stand for any longer time: what jobs report of themselves may be anything."""

MOMENTS_A_SLICE = 20
"""After so many moments at which something becomes free, other work may go on."""


class Estimate(NamedTuple):
    """When a job begins: at the earliest, most likely, and at the latest. In seconds from now.

    `ended`: by so many ended jobs of its batch and those ahead; 0: only by how long jobs run already.
    """

    earliest_s: float
    likely_s: float
    latest_s: float
    ended: int


def estimate_start(
    agenda: Agenda, batch: BatchState, row: int, place: Place
) -> Generator[None, None, Estimate | None]:
    """Estimate when the job in this row begins, in slices.

    None: nothing is known of a batch that comes first, or no node that could run it becomes free by itself.
    """
    scene = _Scene(agenda, batch, row, place)
    if scene.unknown:
        return None
    begins: list[float] = []
    for share in (SHORT, USUAL, LONG):
        begin_s = yield from _begin(scene, share)
        if begin_s is None:
            return None
        begins.append(min(begin_s, LONGEST_S))
    earliest_s, likely_s, latest_s = sorted(begins)
    return Estimate(earliest_s, likely_s, latest_s, scene.ended)


class _Needs(NamedTuple):
    """What a job takes of a node. `cpus` 0: all of it."""

    cpus: int
    memory_bytes: int
    gpus: int


class _Held(NamedTuple):
    """What one job holds of a node, by its place in the list. It stands still for `stands_s`."""

    node: int
    needs: _Needs
    ran_s: float
    stands_s: float
    lengths: Lengths


class _Group(NamedTuple):
    """Jobs that come first, and the nodes that can't run them."""

    needs: _Needs
    jobs: int
    lengths: Lengths
    barred: frozenset[int]


class _Scene:
    """The nodes that could run the job, what holds them, and what comes first, copied at one moment."""

    def __init__(self, agenda: Agenda, batch: BatchState, row: int, place: Place) -> None:
        shape = batch.group_of(row).shape
        nodes = [
            node
            for node in agenda.state.nodes.values()
            if never(node, shape) is None and node.name not in batch.build_failed
        ]
        self.opens_s = [_opens_s(agenda, node) for node in nodes]
        """In how many seconds each takes jobs; None: not by itself."""
        self.whole = [_Needs(node.cpus, node.memory_bytes, len(node.gpus)) for node in nodes]
        self._lengths: dict[BatchId, Lengths] = {}
        self._unable: dict[Shape, frozenset[int]] = {}
        """The nodes that could never run a job of a shape."""
        self.held = list(self._held(agenda, nodes))
        self.wanted = _needs(shape)
        self.ahead = [
            _Group(
                _needs(found.waiting.group.shape),
                found.jobs,
                self._lengths_of(agenda, found.waiting.batch),
                self._barred(nodes, found.waiting.batch, found.waiting.group.shape),
            )
            for found in place.ahead
        ]
        self.unknown = any(group.lengths.whole_s(USUAL) is None for group in self.ahead)
        """Nothing is known of how long some job takes that comes first."""
        self.ended = sum(len(lengths.ended) for lengths in self._lengths.values())

    def _held(self, agenda: Agenda, nodes: list[NodeState]) -> Iterator[_Held]:
        now = agenda.log_now
        for place, node in enumerate(nodes):
            stands_s = max(0.0, (node.paused_until or now) - now)
            for key in node.attempts:
                batch = agenda.state.batches[key.batch]
                attempt = batch.active[key.row]
                needs = _Needs(attempt.cpus, attempt.memory_bytes, len(attempt.gpus))
                yield _Held(
                    place, needs, run_s(node, attempt, now), stands_s, self._lengths_of(agenda, batch)
                )
        places = {node.name: place for place, node in enumerate(nodes)}
        for event in agenda.pending.assignments():
            found = agenda.state.batches.get(event.batch_id)
            if event.node in places and found is not None:
                needs = _Needs(event.cpus, event.memory_bytes, len(event.gpus))
                yield _Held(places[event.node], needs, 0.0, 0.0, self._lengths_of(agenda, found))

    def _barred(self, nodes: list[NodeState], batch: BatchState, shape: Shape) -> frozenset[int]:
        """The nodes that can't run jobs of this shape and batch."""
        if shape not in self._unable:
            unable = (place for place, node in enumerate(nodes) if never(node, shape) is not None)
            self._unable[shape] = frozenset(unable)
        if not batch.build_failed:
            return self._unable[shape]
        failed = (place for place, node in enumerate(nodes) if node.name in batch.build_failed)
        return self._unable[shape].union(failed)

    def _lengths_of(self, agenda: Agenda, batch: BatchState) -> Lengths:
        if batch.id not in self._lengths:
            self._lengths[batch.id] = Lengths(agenda, batch)
        return self._lengths[batch.id]


def _needs(shape: Shape) -> _Needs:
    return _Needs(shape.cpus, shape.memory_bytes, shape.gpus)


def _opens_s(agenda: Agenda, node: NodeState) -> float | None:
    """In how many seconds the node takes jobs; None: not by itself."""
    match agenda.obstacle_of(node):
        case None:
            return 0.0
        case Obstacle.PAUSED:
            until = node.paused_until
        case Obstacle.DRAINING:
            until = node.drained_until
        case Obstacle.QUARANTINED:
            until = node.quarantined_until
        case _:
            until = None
    return None if until is None else max(0.0, until - agenda.log_now)


def _begin(scene: _Scene, share: float) -> Generator[None, None, float | None]:
    """In how many seconds the job begins if all jobs are so long; None: never."""
    run = _Run(scene, share)
    looked = 0
    while run.fresh or run.pass_time():
        if run.place():
            return run.now_s
        if run.is_long:
            return run.extrapolated_s
        looked += 1
        if not looked % MOMENTS_A_SLICE:
            yield
    return None


class _Run:
    """The nodes over time, if all jobs take as long as this share says."""

    def __init__(self, scene: _Scene, share: float) -> None:
        self._scene = scene
        self.now_s = 0.0
        self._free = list(scene.whole)
        self._ends: list[tuple[float, int, _Needs]] = []
        """A heap: when what becomes free at which node. Nothing: the node takes jobs from then on."""
        self._open = {place for place, opens_s in enumerate(scene.opens_s) if opens_s == 0.0}
        self._left = [group.jobs for group in scene.ahead]
        self._lengths_s = [group.lengths.whole_s(share) or 0.0 for group in scene.ahead]
        self._first = 0
        """All groups before this one are placed."""
        self._placed = 0
        self.fresh = sorted(self._open)
        """The nodes at which something became free."""
        for place, opens_s in enumerate(scene.opens_s):
            if opens_s:
                heapq.heappush(self._ends, (opens_s, place, _Needs(0, 0, 0)))
        for held in scene.held:
            left_s = held.stands_s + held.lengths.left_s(held.ran_s, share)
            self._take(held.node, held.needs, left_s)

    @property
    def is_long(self) -> bool:
        """Are so many jobs placed that we extrapolate?"""
        return self._placed >= MOST_PLACED

    @property
    def extrapolated_s(self) -> float:
        """When the job begins if what is left of the jobs ahead keeps as many cores busy as are now."""
        usual = sum(node.cpus for node in self._scene.whole) / len(self._scene.whole)
        left_core_s = sum(
            jobs * (group.needs.cpus or usual) * length_s
            for jobs, group, length_s in zip(self._left, self._scene.ahead, self._lengths_s, strict=True)
        )
        return self.now_s + left_core_s / sum(needs.cpus for _, _, needs in self._ends)

    def pass_time(self) -> bool:
        """Let time pass until something becomes free. Returns False if nothing does."""
        if not self._ends:
            return False
        self.now_s = self._ends[0][0]
        fresh = set()
        while self._ends and self._ends[0][0] <= self.now_s:
            _, place, needs = heapq.heappop(self._ends)
            free = self._free[place]
            self._free[place] = _Needs(*(had + more for had, more in zip(free, needs, strict=True)))
            if needs.cpus == 0:
                self._open.add(place)
            fresh.add(place)
        self.fresh = sorted(fresh & self._open)
        return True

    def place(self) -> bool:
        """Place what fits where something became free. Returns True if the job itself fits."""
        ahead, fresh, too_large = self._scene.ahead, self.fresh, set[_Needs]()
        while self._first < len(ahead) and not self._left[self._first]:
            self._first += 1
        for number in range(self._first, len(ahead)):
            fresh = [place for place in fresh if self._free[place].cpus > 0]
            if not fresh:
                break
            needs = ahead[number].needs
            if self._left[number] and needs not in too_large and not self._place(number, fresh):
                too_large.add(needs)
        fits = any(self._fits(place, self._scene.wanted) for place in fresh)
        self.fresh = []
        return fits

    def _place(self, number: int, fresh: list[int]) -> bool:
        """Place jobs of a group at these nodes. Returns False if none of them has room for such a job."""
        group, has_room = self._scene.ahead[number], False
        for place in fresh:
            while self._left[number] and self._fits(place, group.needs):
                has_room = True
                if place in group.barred:
                    break
                needs = group.needs if group.needs.cpus else self._scene.whole[place]
                self._take(place, needs, self.now_s + self._lengths_s[number])
                self._left[number] -= 1
                self._placed += 1
        return has_room

    def _fits(self, place: int, needs: _Needs) -> bool:
        free = self._free[place]
        if not needs.cpus:
            return free == self._scene.whole[place]
        return all(wanted <= had for wanted, had in zip(needs, free, strict=True))

    def _take(self, place: int, needs: _Needs, until_s: float) -> None:
        free = self._free[place]
        self._free[place] = _Needs(*(had - less for had, less in zip(free, needs, strict=True)))
        heapq.heappush(self._ends, (until_s, place, needs))
