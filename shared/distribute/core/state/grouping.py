"""How the jobs of a new batch stand in rows: those with equal needs side by side, in a group."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from distribute.core.spec.limits import Limits
from distribute.core.spec.specs import BatchSpec, GpuKind, Job, Resources
from distribute.core.state.state import Group, Shape


def needs(spec: BatchSpec, job: Job) -> tuple[Shape, int]:
    """A job's shape and retries: its own, or else the batch's."""
    return _needs(spec, job.resources, job.retries)


def _needs(spec: BatchSpec, resources: Resources | None, retries: int | None) -> tuple[Shape, int]:
    shape = Shape.of(spec.required_capabilities, spec.resources if resources is None else resources)
    return shape, spec.retries if retries is None else retries


def columns(spec: BatchSpec) -> tuple[tuple[Group, ...], list[str], array[int] | None]:
    """Groups of alike jobs, the jobs' names by row, and the rows in the order of the file if it differs."""
    if Limits.of(spec).has_last_job:
        return _columns_with_last(spec)
    jobs = spec.work.jobs
    # In one pass, because fetching 100,000 objects from memory takes most of the time: 20 ms.
    names = [job.name for job in jobs if job.resources is None and job.retries is None]
    if len(names) == len(jobs):
        return (Group(*_needs(spec, None, None), 0, len(jobs)),), names, None
    groups, order = _group(spec, jobs)
    names = [jobs[position].name for position in order]
    return groups, names, _inverse(order) if len(groups) > 1 else None


def _columns_with_last(spec: BatchSpec) -> tuple[tuple[Group, ...], list[str], array[int] | None]:
    """As `columns`. The job that runs last is a group of its own."""
    *others, last = spec.work.jobs
    groups, order = _group(spec, others)
    row = len(others)
    groups = (*groups, Group(*_needs(spec, last.resources, last.retries), row, row + 1))
    names = [*(others[position].name for position in order), last.name]
    return groups, names, _inverse([*order, row]) if len(groups) > 2 else None


def _group(spec: BatchSpec, jobs: Sequence[Job]) -> tuple[tuple[Group, ...], list[int]]:
    """Groups of alike jobs, and the positions in the file in the order of rows."""
    # Making and hashing a shape is slow, so equal jobs share one.
    alike: dict[tuple[int, int, int, GpuKind | None] | None, dict[int | None, list[int]]] = {}
    for position, job in enumerate(jobs):
        found = job.resources
        said = None if found is None else (found.cpus, found.memory_bytes, found.gpus, found.gpu_kind)
        alike.setdefault(said, {}).setdefault(job.retries, []).append(position)
    members: dict[tuple[Shape, int], list[int]] = {}
    for by_retries in alike.values():
        for positions in by_retries.values():
            first = jobs[positions[0]]
            members.setdefault(_needs(spec, first.resources, first.retries), []).extend(positions)
    for positions in members.values():
        positions.sort()
    groups = []
    order: list[int] = []
    for (shape, retries), positions in sorted(members.items(), key=lambda item: item[1][0]):
        groups.append(Group(shape, retries, len(order), len(order) + len(positions)))
        order.extend(positions)
    return tuple(groups), order


def _inverse(order: list[int]) -> array[int]:
    rows = array("I", bytes(4 * len(order)))
    for row, position in enumerate(order):
        rows[position] = row
    return rows
