"""Find the name that a person probably meant, where one that they typed does not exist."""

from __future__ import annotations

import difflib
from bisect import bisect
from collections.abc import Sequence
from typing import TYPE_CHECKING

from distribute.client.queries import ask
from distribute.client.words import printable
from distribute.core.errors import Refused, UnknownName, Unreachable

if TYPE_CHECKING:
    from distribute.ports import Cluster

LOOKED_AT = 500
"""Of many names, only so many are compared that begin or end like the wanted one: each takes 20 µs."""

ANSWER_WITHIN_S = 1.0


async def with_nearest(cluster: Cluster, error: UnknownName) -> UnknownName:
    """The same error, with the nearest name there is, if the scheduler knows one."""
    near = nearest(error.name, await _names(cluster, error))
    return error if near is None else error.meaning(printable(near))


async def _names(cluster: Cluster, error: UnknownName) -> Sequence[str]:
    """The names of this kind."""
    try:
        match error.kind:
            case "node":
                answer = await ask(cluster, "nodes", {}, timeout_s=ANSWER_WITHIN_S)
                return [node["node"] for node in answer["nodes"]]
            case "job":
                namespace, batch = error.batch
                asked = {"namespace": namespace, "batch": batch}
                answer = await ask(cluster, "names", asked, timeout_s=ANSWER_WITHIN_S)
                return list(answer.get("jobs", ()))
            case "batch":
                batches = (await ask(cluster, "status", {}, timeout_s=ANSWER_WITHIN_S))["batches"]
                if "/" not in error.name:
                    return [batch["batch"] for batch in batches]
                return [f"{batch['namespace']}/{batch['batch']}" for batch in batches]
    except (Unreachable, Refused):
        return []  # then the error stands without a hint


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The one of `names` that is most like `name`. None: none is much like it."""
    last = name.rpartition("/")[2]
    for found in sorted(names):
        if found.rpartition("/")[2] == last:
            return found  # of another namespace
    alike = difflib.get_close_matches(name, _neighbours(name, names), n=1)
    # `lab/a` and `lab/b` have most letters in common, and yet nobody means the one by the other.
    same = name[: -len(last) or None]
    if not alike or not alike[0].startswith(same) or difflib.get_close_matches(last, [alike[0][len(same) :]]):
        return alike[0] if alike else None
    return None


def _neighbours(name: str, names: Sequence[str]) -> Sequence[str]:
    """All of `names` if they are few; else those that begin or end like `name`."""
    if len(names) <= 2 * LOOKED_AT:
        return names
    forwards, backwards = sorted(names), sorted(found[::-1] for found in names)
    return [
        *_around(forwards, name),
        *(found[::-1] for found in _around(backwards, name[::-1])),
    ]


def _around(ordered: Sequence[str], name: str) -> Sequence[str]:
    at = bisect(ordered, name)
    return ordered[max(0, at - LOOKED_AT // 2) : at + LOOKED_AT // 2]
