"""What jobs need of a node, from the sections of a file to the specification of a batch."""

from __future__ import annotations

from functools import lru_cache
from typing import TypedDict

from distribute.config.sections.jobs_file import JobNeeds
from distribute.config.sections.needs_sections import Gpus, Resources, SignalBefore
from distribute.core.spec import specs


class Needs(TypedDict):
    """What a job needs. None: as its batch."""

    resources: specs.Resources | None
    timeout_s: float | None
    grace_s: float | None
    signal_before: specs.SignalBefore | None
    retries: int | None


def needs_of(job: JobNeeds) -> Needs:
    """What a job needs, as its specification holds it."""
    return {
        "resources": resources_of(job.resources),
        "timeout_s": job.timeout_s,
        "grace_s": job.grace_s,
        "signal_before": signal_before_of(job.signal_before),
        "retries": job.retries,
    }


def signal_before_of(written: SignalBefore | None) -> specs.SignalBefore | None:
    """How a job is warned, as the specification of a batch or a job holds it."""
    if written is None:
        return None
    return specs.SignalBefore(signal=written.signal, before_s=written.before_s)


@lru_cache(maxsize=1024)  # most of 100,000 jobs ask for the same
def resources_of(written: Resources | None) -> specs.Resources | None:
    """A job's share of a node, as the specification of a batch or a job holds it."""
    if written is None:
        return None
    gpus = Gpus(count=written.gpus) if isinstance(written.gpus, int) else written.gpus
    kind = specs.GpuKind(memory_bytes=gpus.memory_bytes, model=gpus.model)
    return specs.Resources(
        cpus=written.cpus,
        memory_bytes=written.memory_bytes,
        gpus=gpus.count,
        gpu_kind=kind if gpus.count and kind != specs.GpuKind() else None,
    )
