"""What nodes keep, for jobs that come first and for waiting GPU work. `decide` and `explain` share this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from distribute.core.scheduling.gpu_work import fits_beside_gpu_work
from distribute.core.scheduling.matching import Obstacle, has_gpu, takes_nothing_of
from distribute.core.spec.shape import is_gpu_work
from distribute.core.state.state import NodeState, Shape

if TYPE_CHECKING:
    from distribute.core.scheduling.indexes import Indexes

Claim = tuple[int, str]
"""A priority, and a person whose jobs of it have waited for too long."""


class Reservation(NamedTuple):
    """A node is kept for jobs of a shape. Other jobs may have what those do not need."""

    shape: Shape
    claims: frozenset[Claim] = frozenset()
    """Whose jobs of this shape do not starve: they may also take what GPU work of their priority needs."""

    def goes_before_gpu_work(self, shape: Shape, priority: int, user: str | None) -> bool:
        """May this person's jobs of a shape take what GPU work of their priority needs? None: anybody's?"""
        if shape != self.shape:
            return False
        return bool(self.claims) if user is None else (priority, user) in self.claims


def kept_from(
    agenda: Indexes,
    reserved: Mapping[str, Reservation],
    node: NodeState,
    shape: Shape,
    priority: int,
    user: str | None,
) -> Obstacle | None:
    """What keeps a job that fits the node from it, because the node is kept for others; None: nothing does.

    A job that comes first counts as if it ran already: GPU work needs its part beside that one.

    Args:
        agenda: what waits, and what is pending.
        reserved: the reservations.
        node: the node.
        shape: what the job needs.
        priority: of the job.
        user: the person whose job it is. None: ask for anybody's.
    """
    reservation = reserved.get(node.name)
    if reservation is None:
        first = None
    elif reservation.goes_before_gpu_work(shape, priority, user):
        first, priority = None, priority + 1  # only GPU work of higher priorities goes before it
    else:
        held = agenda.pending.held_of(node.name)
        first = reservation.shape if reservation.shape != shape else None
        if first is not None and not takes_nothing_of(node, shape, first, held):
            return Obstacle.RESERVED
    if first is not None and is_gpu_work(first):
        first = None  # it is a part of the GPU work that waits
    if not has_gpu(node) or fits_beside_gpu_work(agenda, node, shape, priority, first):
        return None
    return Obstacle.KEPT_FOR_GPU_WORK
