"""Predicates for whether a node can run a job, and if not, why. `decide` and `explain` share them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from distribute.core.spec.gpu_kind import suitable
from distribute.core.spec.shape import GPU
from distribute.core.state.state import NodeState, Shape


class Obstacle(Enum):
    """Why a node can't take a job of some shape now. The first four are permanent."""

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
    MOVED_AWAY = "gave it back, because a person moved it, and another node can take it"
    ON_TRIAL = "failed several jobs within seconds, and waits until some of them have run elsewhere"
    KEPT_FOR_GPU_WORK = "keeps what GPU work that waits needs"
    RESERVED = "is kept for a job that comes first"


LEAVING_REASON = "its node-runner ends, once it has stored what its last jobs left"


@dataclass(slots=True)
class Held:
    """What pending assignments to a node will take of it."""

    jobs: int = 0
    cpus: int = 0
    memory_bytes: int = 0
    gpus: set[int] = field(default_factory=set)

    def add(self, cpus: int, memory_bytes: int, gpus: Iterable[int]) -> None:
        """Add what one more job takes."""
        self.jobs += 1
        self.cpus += cpus
        self.memory_bytes += memory_bytes
        self.gpus.update(gpus)

    def remove(self, cpus: int, memory_bytes: int, gpus: Iterable[int]) -> None:
        """Subtract what one job took."""
        self.jobs -= 1
        self.cpus -= cpus
        self.memory_bytes -= memory_bytes
        self.gpus.difference_update(gpus)


NOTHING_HELD = Held()

Lack = tuple[int, int, int]
"""GPUs, cpus and bytes of memory that are missing."""

NOTHING: Lack = (0, 0, 0)


def never(node: NodeState, shape: Shape) -> Obstacle | None:
    """What keeps this node from ever running such a job, even if it is idle."""
    if not shape.capabilities <= node.capabilities:
        return Obstacle.CAPABILITIES
    if shape.cpus > node.cpus:
        return Obstacle.CPUS
    if shape.memory_bytes > node.memory_bytes:
        return Obstacle.MEMORY
    # Most shapes ask for no kind, and this is asked for every node whenever it changes: so no call for them.
    if shape.gpus > len(node.gpus if shape.gpu_kind is None else suitable_gpus(node, shape)):
        return Obstacle.GPUS
    return None


def unavailable(node: NodeState, now: float, *, is_silent: bool) -> Obstacle | None:
    """What keeps this node from taking any job now. `now` is by the log's clock (`Agenda.log_now`)."""
    if node.presence != "here":
        return Obstacle.GONE
    if is_paused(node, now):
        return Obstacle.PAUSED
    if is_silent:
        return Obstacle.OUT_OF_TOUCH
    if node.leaving:
        return Obstacle.LEAVING
    if is_draining(node, now):
        return Obstacle.DRAINING
    if is_quarantined(node, now):
        return Obstacle.QUARANTINED
    return None


def is_paused(node: NodeState, now: float) -> bool:
    """Is the node paused? A pause is over at its end by the log's clock, even if no event says so."""
    return node.paused_until is not None and now < node.paused_until


def is_draining(node: NodeState, now: float) -> bool:
    """Has a person drained the node?"""
    return node.draining is not None and (node.drained_until is None or now < node.drained_until)


def is_quarantined(node: NodeState, now: float) -> bool:
    """Is the node in quarantine? It ends by itself."""
    return node.quarantined is not None and now < node.quarantined_until


def ends(node: NodeState) -> Iterator[float]:
    """The moments of the log's clock at which a pause, a drain or a quarantine of the node ends by itself."""
    if node.paused_until is not None:
        yield node.paused_until
    if node.drained_until is not None:
        yield node.drained_until
    if node.quarantined is not None:
        yield node.quarantined_until


def lack(node: NodeState, shape: Shape, held: Held) -> Lack:
    """How much the free resources of the node lack for such a job."""
    if shape.whole_node:
        return (
            len(node.used_gpus) + len(held.gpus),
            node.used_cpus + held.cpus,
            node.used_memory_bytes + held.memory_bytes,
        )
    if shape.gpu_kind is None:
        gpus = shape.gpus - len(node.gpus) + len(node.used_gpus) + len(held.gpus)
    else:
        gpus = shape.gpus - len(free_gpus(node, shape, held))
    cpus = shape.cpus - node.cpus + node.used_cpus + held.cpus
    memory_bytes = shape.memory_bytes - node.memory_bytes + node.used_memory_bytes + held.memory_bytes
    # As `max(0, …)`, in a third of the time.
    return gpus if gpus > 0 else 0, cpus if cpus > 0 else 0, memory_bytes if memory_bytes > 0 else 0


def suitable_gpus(node: NodeState, shape: Shape) -> Sequence[int]:
    """The indices of the node's GPUs that suit the shape, the smallest first."""
    if shape.gpu_kind is None and not node.gpu_memory_bytes:
        return range(len(node.gpus))
    return suitable(node.gpus, node.gpu_memory_bytes, shape.gpu_kind)


def free_gpus(node: NodeState, shape: Shape, held: Held) -> list[int]:
    """Those of `suitable_gpus` that no job has."""
    return [gpu for gpu in suitable_gpus(node, shape) if gpu not in node.used_gpus and gpu not in held.gpus]


def busy(node: NodeState, shape: Shape, held: Held) -> Obstacle | None:
    """Return BUSY if the node has too little free for such a job."""
    return None if lack(node, shape, held) == NOTHING else Obstacle.BUSY


def grant(node: NodeState, shape: Shape, held: Held) -> tuple[int, int, tuple[int, ...]]:
    """The cpus, bytes of memory and GPU indices that a job of this shape gets on a node that fits it."""
    if shape.whole_node:
        return node.cpus, node.memory_bytes, tuple(range(len(node.gpus)))
    gpus = sorted(free_gpus(node, shape, held)[: shape.gpus]) if shape.gpus else ()
    return shape.cpus, shape.memory_bytes, tuple(gpus)


def takes_nothing_of(node: NodeState, shape: Shape, kept_for: Shape, held: Held) -> bool:
    """Could a job of this shape run on the node without delaying the shape for which the node is kept?"""
    cpus, memory_bytes, gpus = grant(node, shape, held)
    both = Held(held.jobs + 1, held.cpus + cpus, held.memory_bytes + memory_bytes, held.gpus.union(gpus))
    return lack(node, kept_for, both) == lack(node, kept_for, held)


def has_gpu(node: NodeState) -> bool:
    """Could GPU work want this node?"""
    return bool(node.gpus) or GPU in node.capabilities
