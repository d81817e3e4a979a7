"""Pull the results of a batch that runs, as they come to the archive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from distribute.client.pull.listing import Known, Listing
from distribute.core.errors import LogReplaced
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.client.pull.fetching import Pulled
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster

PAUSE_S = 0.5
"""The shortest time between two looks at a batch."""

NEWS = frozenset(
    {
        "finished", "collected", "job_archived", "build_finished", "build_collected", "completed",
        "batch_archived", "deleted",
    }
)  # fmt: skip
"""The types of events after which a batch has more to pull, or is over."""


T = TypeVar("T")


class Turn(NamedTuple):
    """What was listed and fetched: at one time, or in all."""

    listing: Listing
    pulled: Pulled


async def follow_results(
    cluster: Cluster,
    batch: BatchId,
    look: Callable[[Known], Awaitable[Listing]],
    fetch: Callable[[Listing], Awaitable[Pulled]],
    on_turn: Callable[[Turn], None],
) -> Turn:
    """Fetch what there is, then what comes, until the batch is over and everything is archived.

    Each turn fetches the results of jobs that are new. At the end, another look finds what may have failed
    in a turn, or was hidden by a log that lost its end; only its problems count.

    Args:
        cluster: where the batch is.
        batch: which.
        look: lists its results, without those that are known.
        fetch: fetches what is listed.
        on_turn: is told of every turn but the last.

    Returns:
        All that was listed and fetched.
    """
    seen, done = set[int](), set[str]()
    total: Turn | None = None
    async with aclosing(archive_changes(cluster, batch)) as changes:
        async for _ in changes:
            listing = await look(Known(seen, done))
            turn = Turn(listing, await fetch(listing))
            total = turn if total is None else _together(total, turn)
            seen.update(listing.ends)
            if not listing.problems and not turn.pulled.problems:
                done.update(listing.ends.values())
            if listing.complete:
                break
            on_turn(turn)
    assert total is not None, "the first turn is at once"
    rest = await look(Known(set(), done))
    return _together(total, Turn(rest, await fetch(rest)))


async def archive_changes(
    cluster: Cluster, batch: BatchId, *, pause_s: float = PAUSE_S
) -> AsyncGenerator[None, None]:
    """Yield at once, and again whenever there may be more to pull, for ever.

    After each turn of the reader, this waits for as long as the turn took, and at least for `pause_s`: a
    large batch has a thousand events a second. Survives outages, and a log that was replaced.
    """
    clock = asyncio.get_running_loop().time
    while True:
        seen = await cluster.log.end()
        only = Only(types=NEWS, batch=batch)
        try:
            async with aclosing(cluster.log.follow(after=seen.seq, at=seen.time, only=only)) as coming:
                while True:
                    began = clock()
                    yield
                    await asyncio.sleep(max(pause_s, clock() - began))
                    await anext(coming)
        except LogReplaced:
            continue  # as after a restore from an older copy: what was pulled is looked at again


def _together(before: Turn, last: Turn) -> Turn:
    """Both turns as one. The last one knows how the batch stands, and what still is a problem."""
    old, new = before.listing, last.listing
    listing = replace(
        new,
        attempts=old.attempts | new.attempts,
        files=_all(old.files, new.files),
        links=_all(old.links, new.links),
        filtered=_all(old.filtered, new.filtered),
        left_out=_all(old.left_out, new.left_out),
        outside=old.outside | new.outside,
        ends=old.ends | new.ends,
    )
    pulled = replace(
        last.pulled,
        fetched=before.pulled.fetched + last.pulled.fetched,
        size_bytes=before.pulled.size_bytes + last.pulled.size_bytes,
        kept=before.pulled.kept,
        removed=before.pulled.removed + last.pulled.removed,
        edited=_all(before.pulled.edited, last.pulled.edited),
        beside=_all(before.pulled.beside, last.pulled.beside),
        leftovers=_all(before.pulled.leftovers, last.pulled.leftovers),
    )
    return Turn(listing, pulled)


def _all(before: list[T], last: list[T]) -> list[T]:
    """Everything in both lists, once: builds are listed in each turn."""
    return list(dict.fromkeys([*before, *last]))
