"""What a batch asks for that this computer does not have. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from distribute.core.spec.gpu_kind import GpuKind, gpus_in_words, suitable
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.grouping import needs
from distribute.core.state.state import Shape
from distribute.core.words import counted, format_size
from distribute.host import Capacity

_CONTAINERS, _GPU = "apptainer", "gpu"


def what_lacks(spec: BatchSpec, has: Capacity) -> list[str]:
    """A line for each thing that some job needs and this computer lacks. Empty: all jobs can run."""
    jobs: dict[Shape, list[str]] = {}
    for job in spec.work.jobs:
        jobs.setdefault(needs(spec, job)[0], []).append(job.name)
    lines = [_capability(name, has) for name in sorted(spec.required_capabilities - has.capabilities)]
    for shape, names in jobs.items():
        more = len(names) - 1
        who = f"{names[0]} and {counted(more, 'more job')} ask" if more else f"{names[0]} asks"
        lines += [f"{who} for {excess}" for excess in _excesses(shape, has)]
    return lines


def _capability(name: str, has: Capacity) -> str:
    if name == _CONTAINERS:
        why = has.lacks.get(name, "it is not installed")
        return f"the batch runs in containers, for which this computer lacks apptainer: {why}"
    if name == _GPU and not has.gpus:
        return "the batch needs a GPU, and this computer has none that its driver shows"
    return (
        f"this computer lacks {name}, which `capabilities` asks for; if it has that, say so: "
        f"--capability {name}"
    )


def _excesses(shape: Shape, has: Capacity) -> Iterator[str]:
    if shape.cpus > has.cpus:
        yield f"{counted(shape.cpus, 'cpu')}, and this computer has {has.cpus}"
    if shape.memory_bytes > has.memory_bytes:
        yield (
            f"{format_size(shape.memory_bytes)} of memory, and this computer has "
            f"{format_size(has.memory_bytes)}"
        )
    if shape.gpus > len(suitable(has.gpus, has.gpu_memory_bytes, shape.gpu_kind)):
        yield f"{gpus_in_words(shape.gpus, shape.gpu_kind)}, and this computer has {_gpus(has)}"


def _gpus(has: Capacity) -> str:
    if not has.gpus:
        return "none that its driver shows"
    known = [*has.gpu_memory_bytes, *[0] * len(has.gpus)]
    kinds = [GpuKind(known[index], name) for index, name in enumerate(has.gpus)]
    return " and ".join(gpus_in_words(1, kind) for kind in kinds)
