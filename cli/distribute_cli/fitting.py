"""Whether the nodes there are could run a batch, before it is submitted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from distribute.core.errors import Refused
from distribute.core.fold_batch import needs
from distribute.core.specs import BatchSpec
from distribute.core.state import Shape

if TYPE_CHECKING:
    from distribute_cli.output import Document
    from distribute_cli.reads import Reads


class Fit(NamedTuple):
    """On how many of the nodes each shape of job could run, in the order of the batch's shapes."""

    line: str
    problem: str | None
    document: Document


async def fit_of(reads: Reads, spec: BatchSpec) -> Fit:
    """What the cluster says to a batch's needs."""
    shapes = Counter(needs(spec, job)[0] for job in spec.work.jobs)
    payload = {
        "capabilities": sorted(spec.required_capabilities),
        "shapes": [_resources(shape) for shape in shapes],
    }
    answer = await reads.match(payload)
    return Fit(_line(answer, list(shapes.values())), answer["problem"], answer)


def refuse_misfit(fit: Fit) -> None:
    """Raises `Refused` where some job could run on none of the nodes."""
    if fit.problem is not None:
        raise Refused(f"{fit.problem}; --anyway submits it all the same, to wait for such a node")


def _resources(shape: Shape) -> dict[str, Any] | None:
    """A shape as the query spells it; None: a whole node."""
    if shape.whole_node:
        return None
    return {"cpus": shape.cpus, "memory_bytes": shape.memory_bytes, "gpus": shape.gpus}


def _line(answer: Document, jobs: list[int]) -> str:
    """`runs on 2/3 of the nodes`; where jobs differ, how many run where."""
    nodes = answer["nodes"]
    by_fit: Counter[int] = Counter()
    for fit, count in zip(answer["fit"], jobs, strict=True):
        by_fit[fit] += count
    if len(by_fit) == 1:
        return f"runs on {next(iter(by_fit))}/{nodes} of the nodes"
    parts = [f"{count} jobs on {fit}/{nodes}" for fit, count in sorted(by_fit.items(), reverse=True)]
    return f"runs on {min(by_fit)}/{nodes} of the nodes or more: {', '.join(parts)}"
