"""Nodes in order of how well they fit jobs of one shape."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, KeysView
from typing import TYPE_CHECKING

from distribute.core.scheduling.matching import Held, lack, never
from distribute.core.spec.shape import is_gpu_work
from distribute.core.state.state import NodeState, Shape

if TYPE_CHECKING:
    from distribute.core.scheduling.indexes import Indexes

Standing = tuple[int, int, int, bool, int, str]
"""How well a node fits a shape: the GPUs, cpus and bytes of memory that it lacks, whether its GPUs would lie
idle, its free cpus, and its name.

The smallest comes first: a node that lacks nothing, without GPUs if none are needed, and with the fewest free
cpus, so that large gaps stay. Behind those that fit, the node that lacks least will probably fit soonest.
"""


class NodeOrder:
    """The nodes that could run jobs of a shape, now or later."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._is_gpu_work = is_gpu_work(shape)
        self._standings: dict[str, Standing] = {}
        self._order: list[Standing] = []

    def __contains__(self, name: str) -> bool:
        return name in self._standings

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeOrder) and (self.shape, self._order) == (other.shape, other._order)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"NodeOrder({self.shape}, {self._order})"

    @property
    def names(self) -> KeysView[str]:
        """The names of all nodes, in any order."""
        return self._standings.keys()

    def put(self, node: NodeState, held: Held) -> None:
        """Put a node in its place. Call this again whenever its free resources change."""
        name = node.name
        idle_gpus = bool(node.gpus) and not self._is_gpu_work
        free_cpus = node.cpus - node.used_cpus - held.cpus
        standing = (*lack(node, self.shape, held), idle_gpus, free_cpus, name)
        before = self._standings.get(name)
        if standing == before:
            return
        if before is not None:
            del self._order[bisect_left(self._order, before)]
        self._standings[name] = standing
        insort(self._order, standing)

    def remove(self, name: str) -> None:
        """Remove a node that takes no such jobs."""
        before = self._standings.pop(name, None)
        if before is not None:
            del self._order[bisect_left(self._order, before)]

    def fitting(self) -> Iterator[str]:
        """The nodes that fit now, the best first."""
        for gpus, cpus, memory_bytes, _, _, name in self._order:
            if gpus or cpus or memory_bytes:
                return
            yield name

    def nearest(self) -> Iterator[str]:
        """All nodes, beginning with the one that lacks least."""
        for *_, name in self._order:
            yield name


class NodeOrders(dict[Shape, NodeOrder]):
    """For each shape of waiting jobs, an order of nodes."""

    def put(self, node: NodeState, held: Held) -> None:
        """Put a node that takes jobs in its place, for each shape that it could ever run."""
        for shape, order in self.items():
            if never(node, shape) is None:
                order.put(node, held)
            else:
                order.remove(node.name)

    def move(self, node: NodeState, held: Held) -> None:
        """Update the node's places, because its free resources changed."""
        for order in self.values():
            if node.name in order:
                order.put(node, held)

    def remove(self, name: str) -> None:
        """Remove a node that takes no jobs."""
        for order in self.values():
            order.remove(name)


def index_shape(agenda: Indexes, shape: Shape) -> None:
    """Make an order of nodes for a shape with waiting jobs. Remove it if no job waits."""
    if shape not in agenda.queues.shapes:
        agenda.nodes_for.pop(shape, None)
    elif shape not in agenda.nodes_for:
        order = agenda.nodes_for[shape] = NodeOrder(shape)
        for node in agenda.state.nodes.values():
            if agenda.obstacle_of(node) is None and never(node, shape) is None:
                order.put(node, agenda.pending.held_of(node.name))
