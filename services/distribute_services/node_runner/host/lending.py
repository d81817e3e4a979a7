"""What a node lends of what its computer has. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from distribute.core.errors import InputError
from distribute.core.words import counted, format_size
from distribute.host import Capacity
from distribute_services.node_runner.host.cores import Core, choose, part_of
from distribute_services.node_runner.host.gpus import Gpu
from distribute_services.node_runner.host.topology import Counted


class Part(NamedTuple):
    """Which of how many equal parts of the computer this node lends, from 1."""

    number: int = 1
    of: int = 1


WHOLE = Part()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person wants a node to lend. None: all there is.

    `written` says where a person wrote `cpus`, `memory` or `gpus`; there, more than the computer has is an
    error. Elsewhere it is not: `up --nodes 4 --cpus 4` is for trying things out.
    """

    cpus: int | None = None
    memory_bytes: int | None = None
    gpus: int | None = None
    counts: Counted = "cores"
    part: Part = WHOLE
    written: Mapping[str, str] = field(default_factory=dict)


ALL = Wishes()


@dataclass(frozen=True, slots=True)
class Hardware:
    """What this process may use of its computer. `cpu_quota` is in cpus; infinite if there is none.

    `gpus` are those that CUDA_VISIBLE_DEVICES leaves. `hides_gpus`: jobs could see GPUs that are not theirs.
    """

    cores: tuple[Core, ...]
    threads: int
    memory_bytes: int
    gpus: tuple[Gpu, ...] = ()
    cpu_quota: float = math.inf
    hides_gpus: bool = False


APPTAINER = "apptainer"
"""The capability to run containers."""


class Programs(NamedTuple):
    """The capabilities that follow from this computer's programs, and why it `lacks` others."""

    capabilities: frozenset[str] = frozenset()
    lacks: Mapping[str, str] = MappingProxyType({})


NOTHING = Programs()


@dataclass(frozen=True, slots=True)
class Lent:
    """What a node lends. Its cores may be fewer than its cpus: then its jobs share them."""

    capacity: Capacity
    cores: tuple[Core, ...]
    gpus: tuple[Gpu, ...]
    hides_gpus: bool
    counts: Counted = "cores"


def lend(
    has: Hardware, wishes: Wishes, programs: Programs = NOTHING, capabilities: frozenset[str] = frozenset()
) -> Lent:
    """Choose what the node lends. It has the capability `gpu` if it lends any.

    `capabilities` are what a person wrote that it can do.

    Raises:
        InputError: a person wrote that it lends more than there is, or can do what it can't.
    """
    cores = choose(has.cores, max(1, min(len(has.cores), math.floor(min(has.cpu_quota, len(has.cores))))))
    if problems := [*_excesses(cores, has, wishes), *_idle_wishes(programs, capabilities)]:
        raise InputError(*problems)
    number, parts = wishes.part
    cores = part_of(cores, number, parts)
    cpus = wishes.cpus or max(1, len(cores) if parts == 1 else len(has.cores) // parts)
    gpus = _gpus(has.gpus, wishes)
    capacity = Capacity(
        cpus=cpus,
        memory_bytes=has.memory_bytes // parts if wishes.memory_bytes is None else wishes.memory_bytes,
        gpus=tuple(gpu.name for gpu in gpus),
        capabilities=capabilities | programs.capabilities | ({"gpu"} if gpus else set()),
        gpu_memory_bytes=tuple(gpu.memory_bytes for gpu in gpus),
        lacks=programs.lacks,
    )
    return Lent(
        capacity=capacity,
        cores=choose(cores, cpus) if cpus < len(cores) else cores,
        gpus=gpus,
        hides_gpus=has.hides_gpus,
        counts=wishes.counts,
    )


def _idle_wishes(programs: Programs, capabilities: frozenset[str]) -> Iterator[str]:
    """What a person wrote that this computer can do, and it can't."""
    for name in sorted(capabilities & programs.lacks.keys()):
        yield (
            f"capability {name}: this node lacks it: {programs.lacks[name]}. Mend that, or leave {name} out"
            " of the node's capabilities: it is detected"
        )


def _gpus(found: Sequence[Gpu], wishes: Wishes) -> tuple[Gpu, ...]:
    number, parts = wishes.part
    first, end = (-(-count * len(found) // parts) for count in (number - 1, number))
    return tuple(found[first:end][: wishes.gpus])


def _excesses(cores: Sequence[Core], has: Hardware, wishes: Wishes) -> Iterator[str]:
    """What a person wrote and this computer does not have."""
    written = wishes.written
    cpus, memory_bytes, gpus = wishes.cpus or 0, wishes.memory_bytes or 0, wishes.gpus or 0
    if "cpus" in written and cpus > len(cores):
        remedy = f"write {len(cores)} or less"
        if wishes.counts == "cores" and has.threads > len(cores):
            remedy += f", or `count: threads` to lend its {has.threads} threads"
        there_are = counted(len(cores), "core" if wishes.counts == "cores" else "thread")
        yield f"{written['cpus']}: {cpus} are too many: this computer has {there_are}; {remedy}"
    if "memory" in written and memory_bytes > has.memory_bytes:
        yield (
            f"{written['memory']}: {format_size(memory_bytes)} is too much: this computer has "
            f"{format_size(has.memory_bytes)} ({has.memory_bytes} bytes); write less, or nothing to lend all"
        )
    if "gpus" in written and gpus > len(has.gpus):
        names = ", ".join(f"{index}: {gpu.name}" for index, gpu in enumerate(has.gpus))
        there_are = (
            f"{counted(len(has.gpus), 'GPU')} ({names})" if has.gpus else "no GPU that its driver shows"
        )
        yield f"{written['gpus']}: {gpus} are too many: this computer has {there_are}"
