"""What a job needs of a node, as the state and the scheduler's decisions compare it."""

from __future__ import annotations

from typing import NamedTuple

from distribute.core.spec.gpu_kind import GpuKind
from distribute.core.spec.specs import Resources

GPU = "gpu"
"""The capability of GPU work that asks for no number of GPUs, as in files of the first `distribute`."""


class Shape(NamedTuple):
    """A job's needs. `cpus` 0: the whole node."""

    capabilities: frozenset[str]
    cpus: int = 0
    memory_bytes: int = 0
    gpus: int = 0
    gpu_kind: GpuKind | None = None
    """None: any GPUs."""

    @property
    def whole_node(self) -> bool:
        return self.cpus == 0

    @classmethod
    def of(cls, capabilities: frozenset[str], resources: Resources | None) -> Shape:
        if resources is None:
            return cls(capabilities)
        asked = resources.gpu_kind if resources.gpus else None
        kind = None if asked is None else GpuKind(asked.memory_bytes, asked.model)
        return cls(capabilities, resources.cpus, resources.memory_bytes, resources.gpus, kind)


def is_gpu_work(shape: Shape) -> bool:
    """Does the job want a GPU?"""
    return shape.gpus > 0 or GPU in shape.capabilities
