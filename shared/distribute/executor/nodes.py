"""What an executor asks of the cluster's nodes: their Python, and how many jobs they can run at once."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from distribute.client.documents import GONE
from distribute.client.submit import Fit
from distribute.core.errors import Refused
from distribute.core.words import few
from distribute.executor.pickling import PYTHON

if TYPE_CHECKING:
    from distribute.client.queries import Queries
    from distribute.executor.batches import Needs

_PYTHON_NAME = re.compile(r"python3\.[0-9]+")


async def check_nodes(queries: Queries, needs: Needs) -> None:
    """Refuse to begin if no node could ever run a call. Warns if none is here now.

    Raises:
        Refused: no node has this Python, or what else a call needs.
    """
    match = await queries.match(sorted(needs.python), [needs.resources.model_dump()])
    fit = Fit(match, {match["fit"][0]: 1})
    if fit.problem is not None:
        raise Refused(await _other_pythons(queries) or f"no node can run a call: {fit.problem}")
    if fit.waits_for is not None:
        warnings.warn(f"calls wait: {fit.waits_for}", stacklevel=1)


async def _other_pythons(queries: Queries) -> str | None:
    """Which Pythons there are, if none is this program's."""
    found: dict[str, list[str]] = {}
    for node in (await queries.nodes())["nodes"]:
        for capability in node["capabilities"]:
            if _PYTHON_NAME.fullmatch(capability):
                found.setdefault(capability, []).append(node["node"])
    if PYTHON in found:
        return None
    there = "; ".join(f"{few(names)}: {python}" for python, names in sorted(found.items()))
    return (
        f"this program runs on {PYTHON}, and no node has that, which its functions need "
        f"({there or 'no node has any Python 3'}): install {PYTHON} on nodes, or run the program with theirs"
    )


async def slots(queries: Queries, needs: Needs) -> int:
    """How many calls the nodes that are here can do at once, by their cpus."""
    cpus = needs.resources.cpus
    here = (node for node in (await queries.nodes())["nodes"] if node["state"] not in GONE)
    return sum(node["cpus"] // cpus for node in here if needs.python <= set(node["capabilities"]))
