"""Whether a node can run a job, and if not, why: one predicate for `decide` and for `explain`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from distribute.core.state import NodeState, Shape


class Obstacle(Enum):
    """Why a node does not take a job of some shape now. The first few are there for good."""

    CAPABILITIES = "lacks capabilities"
    CPUS = "has too few cpus"
    MEMORY = "has too little memory"
    GPUS = "has too few GPUs"
    GONE = "is not there"
    OUT_OF_TOUCH = "is out of touch"
    LEAVING = "is ending"
    PAUSED = "is paused"
    DRAINING = "is draining"
    QUARANTINED = "is in quarantine"
    BUSY = "is busy"
    BUILD_FAILED = "could not build this batch"
    KEPT_FOR_GPU_WORK = "keeps its GPUs for GPU work that waits"
    RESERVED = "is kept for a job that comes first"


LEAVING_REASON = "its node-runner ends, once it has stored what its last jobs left"


@dataclass(slots=True)
class Held:
    """What assignments that are under way to a node will take of it."""

    jobs: int = 0
    cpus: int = 0
    memory_bytes: int = 0
    gpus: set[int] = field(default_factory=set)


NOTHING_HELD = Held()

Lack = tuple[int, int, int]
"""GPUs, cpus and bytes of memory that are missing."""

NOTHING: Lack = (0, 0, 0)


def never(node: NodeState, shape: Shape) -> Obstacle | None:
    """What keeps this node from ever running such a job, whatever it does now."""
    if not shape.capabilities <= node.capabilities:
        return Obstacle.CAPABILITIES
    if shape.cpus > node.cpus:
        return Obstacle.CPUS
    if shape.memory_bytes > node.memory_bytes:
        return Obstacle.MEMORY
    if shape.gpus > len(node.gpus):
        return Obstacle.GPUS
    return None


def unavailable(node: NodeState, out_of_touch: bool) -> Obstacle | None:
    """What keeps this node from taking any job now."""
    if node.presence != "here":
        return Obstacle.GONE
    if out_of_touch:
        return Obstacle.OUT_OF_TOUCH
    if node.keeps is not None:
        return Obstacle.LEAVING
    if node.paused_until is not None:
        return Obstacle.PAUSED
    if node.draining is not None:
        return Obstacle.DRAINING
    if node.quarantined is not None:
        return Obstacle.QUARANTINED
    return None


def lack(node: NodeState, shape: Shape, held: Held) -> Lack:
    """How far what the node has free is from fitting such a job."""
    if shape.whole_node:
        return (
            len(node.used_gpus) + len(held.gpus),
            node.used_cpus + held.cpus,
            node.used_memory_bytes + held.memory_bytes,
        )
    return (
        max(0, shape.gpus - (len(node.gpus) - len(node.used_gpus) - len(held.gpus))),
        max(0, shape.cpus - (node.cpus - node.used_cpus - held.cpus)),
        max(0, shape.memory_bytes - (node.memory_bytes - node.used_memory_bytes - held.memory_bytes)),
    )


def busy(node: NodeState, shape: Shape, held: Held) -> Obstacle | None:
    """Whether what the node does already leaves too little for such a job."""
    return None if lack(node, shape, held) == NOTHING else Obstacle.BUSY


def grant(node: NodeState, shape: Shape, held: Held) -> tuple[int, int, tuple[int, ...]]:
    """The cpus, memory in bytes and GPU indices that a job of this shape gets of a node that fits it."""
    if shape.whole_node:
        return node.cpus, node.memory_bytes, tuple(range(len(node.gpus)))
    taken = node.used_gpus | held.gpus
    free = [gpu for gpu in range(len(node.gpus)) if gpu not in taken]
    return shape.cpus, shape.memory_bytes, tuple(free[: shape.gpus])
