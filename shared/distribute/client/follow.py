"""Following a batch to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from distribute.client.batch_log import BatchReader
from distribute.client.queries import no_such_batch
from distribute.client.standing import ask_standing
from distribute.core.errors import LogReplaced
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory
from distribute.core.telling.listing import batch_document
from distribute.ports import Only, Place

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster

ASK_EVERY_S = 0.2
"""How often to ask the scheduler at most: a large batch has a thousand events a second."""

OnFigures = Callable[["BatchDocument"], None]
"""Is told how a batch stands whenever something happened to it."""


def _tell_nobody(_: BatchDocument) -> None:
    pass


async def follow_to_end(
    cluster: Cluster, batch: BatchId, *, archived: bool = True, on_figures: OnFigures = _tell_nobody
) -> BatchDocument:
    """Wait until a batch is over and, if `archived`, everything it left can be pulled.

    Args:
        cluster: where it runs.
        batch: which.
        archived: wait for the archive, too.
        on_figures: is told how the batch stands, now and after every change.

    Returns:
        How the batch ended.

    Raises:
        Refused: there is no such batch, or a person deletes it meanwhile.
    """
    while True:
        try:
            ended = await _ask_on(cluster, batch, on_figures, archived=archived)
            return ended or await _follow(cluster, batch, on_figures, archived=archived)
        except LogReplaced:
            continue  # as after a restore from an older copy: what was folded is invalid, so read again


async def _ask_on(
    cluster: Cluster, batch: BatchId, on_figures: OnFigures, *, archived: bool
) -> BatchDocument | None:
    """Ask the scheduler, and again whenever something happened. None: it can't say.

    To fold a large batch from its beginning takes a minute. The log only tells when to ask.
    """
    clock = asyncio.get_running_loop().time
    asked_at = clock()
    end = await cluster.log.end()
    told = await ask_standing(cluster, batch)
    if told is None:
        return None
    # The scheduler has read that end, unless it is behind.
    after = Place(told.seq, None) if told.seq < end.seq else end
    async with aclosing(cluster.log.follow(after=after.seq, at=after.time, only=Only(batch=batch))) as coming:
        while told is not None:
            if told.document is None:
                raise no_such_batch(batch)
            on_figures(told.document)
            if _is_over(told.course, archived=archived):
                return told.document
            while (await anext(coming))[-1].seq <= told.seq:
                pass
            await asyncio.sleep(max(0.0, asked_at + ASK_EVERY_S - clock()))
            asked_at = clock()
            told = await ask_standing(cluster, batch)
    return None


async def _follow(
    cluster: Cluster, batch: BatchId, on_figures: OnFigures, *, archived: bool
) -> BatchDocument:
    story = BatchStory(batch)
    async with aclosing(BatchReader(cluster, batch, story.fold).changes()) as changes:
        async for _ in changes:
            if story.state is None:
                raise no_such_batch(batch)
            standing = cast("BatchDocument", batch_document(story.state))
            on_figures(standing)
            if _is_over(Course.of(story.state), archived=archived):
                return standing
    raise AssertionError("following without a last sequence never ends")


def _is_over(course: Course, *, archived: bool) -> bool:
    return course.end is not None and (course.archived or not archived)
