"""Names for batches that their owners leave unnamed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from distribute.core.errors import NameTaken
from distribute.core.ids import MAX_NAME_BYTES, BatchId

if TYPE_CHECKING:
    from distribute.client.queries import Queries
    from distribute.core.spec.specs import BatchSpec

T = TypeVar("T")


async def under_free_name(
    queries: Queries, spec: BatchSpec, submit: Callable[[BatchSpec], Awaitable[T]]
) -> tuple[BatchSpec, T]:
    """Submit a batch under its own name or, if it is taken, with the first number behind it that is free.

    Returns:
        The batch under the name that it has, and what `submit` returns.
    """
    batches = (await queries.batches())["batches"]
    taken = {BatchId(batch["namespace"], batch["batch"]) for batch in batches}
    numbered = (spec.id._replace(batch=_numbered(spec.batch, number)) for number in count(2))
    name = spec.id
    while True:
        if name not in taken:
            renamed = spec.model_copy(update={"batch": name.batch})
            try:
                return renamed, await submit(renamed)
            except NameTaken:
                pass  # by somebody else, since we asked
        name = next(numbered)


def _numbered(name: str, number: int) -> str:
    """The name with a number behind it. A name that would be too long loses characters before the number."""
    behind = f"-{number}"
    kept = name.encode()[: MAX_NAME_BYTES - len(behind)]
    return kept.decode(errors="ignore") + behind  # the cut may have gone through a character
