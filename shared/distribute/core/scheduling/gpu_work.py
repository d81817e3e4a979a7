"""Nodes with GPUs keep for waiting GPU work what that work needs, and nothing more.

A job is GPU work if it asks for GPUs, or for the capability `gpu`. Other jobs of the same or a lower priority
get the rest of the node; jobs of a higher priority get whatever they need.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from distribute.core.scheduling.matching import Held, free_gpus, has_gpu
from distribute.core.scheduling.queues import Lane
from distribute.core.spec.shape import is_gpu_work
from distribute.core.state.state import NodeState, Shape

if TYPE_CHECKING:
    from distribute.core.scheduling.indexes import Indexes


def keeps_from(agenda: Indexes, node: NodeState, shape: Shape, priority: int) -> Held:
    """What the node keeps for waiting GPU work, as seen by a job of this shape and priority."""
    kept = Held()
    if is_gpu_work(shape) or not has_gpu(node):
        return kept
    held = agenda.pending.held_of(node.name)
    taken = Held(gpus=set(held.gpus))
    for waiting, lane in _waiting(agenda, priority):
        if node.name not in agenda.nodes_for[waiting]:
            continue
        if waiting.whole_node:
            if _jobs_for(agenda, node, lane, 1):
                return Held(1, node.cpus, node.memory_bytes)
            continue
        idle_gpus = free_gpus(node, waiting, taken)
        fitting = len(idle_gpus) // waiting.gpus if waiting.gpus else 1
        jobs = _jobs_for(agenda, node, lane, fitting)
        for _ in range(jobs):
            kept.add(waiting.cpus, waiting.memory_bytes, ())
        taken.gpus.update(idle_gpus[: jobs * waiting.gpus])
    return kept


def fits_beside_gpu_work(
    agenda: Indexes, node: NodeState, shape: Shape, priority: int, first: Shape | None = None
) -> bool:
    """Does a job of this shape and priority, which fits the node, fit beside what it keeps for GPU work?

    `first`: a job that comes before the GPU work, and is none.
    """
    kept = keeps_from(agenda, node, shape, priority)
    if not kept.jobs:
        return True
    held = agenda.pending.held_of(node.name)
    cpus_left = node.cpus - node.used_cpus - held.cpus - kept.cpus
    memory_left = node.memory_bytes - node.used_memory_bytes - held.memory_bytes - kept.memory_bytes
    if first is not None:
        cpus_left -= first.cpus
        memory_left -= first.memory_bytes
    needs_no_memory = shape.memory_bytes == 0  # even if less memory is left than is kept
    return 0 < shape.cpus <= cpus_left and (needs_no_memory or shape.memory_bytes <= memory_left)


def _waiting(agenda: Indexes, priority: int) -> Iterator[tuple[Shape, Lane]]:
    """The waiting GPU work of this or a higher priority, the highest first, then by submission."""
    for level in sorted(agenda.queues.by_priority, reverse=True):
        if level < priority:
            return
        lanes = [
            (lane[0], shape, lane)
            for queue in agenda.queues.by_priority[level].values()
            for shape, lane in queue.lanes.items()
            if is_gpu_work(shape)
        ]
        for _, shape, lane in sorted(lanes, key=lambda found: found[0]):
            yield shape, lane


def _jobs_for(agenda: Indexes, node: NodeState, lane: Lane, most: int) -> int:
    """The number of waiting jobs of the lane that the node could build, up to `most`."""
    found = 0
    for _, batch_id, number in lane:
        if found >= most:
            break
        if node.name in agenda.state.batches[batch_id].build_failed:
            continue
        found += sum(1 for _ in islice(agenda.waiting[batch_id][number].rows(), most - found))
    return found
