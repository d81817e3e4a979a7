"""What a person saw of a batch before they decided what becomes of it, and what people did to it since.

A question may stand for minutes. If somebody has the batch run again meanwhile, the answer to it is refused,
and the person looks again. What jobs do meanwhile is no reason for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.batch_log import read_standing
from distribute.client.saying import changed_meanwhile
from distribute.client.standing import ask_standing
from distribute.core.log.events import (
    Edited,
    Event,
    Held,
    HoldReleased,
    MoveRequested,
    Reprioritized,
    RetryRequested,
)
from distribute.ports import Only

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument
    from distribute.client.queries import Queries
    from distribute.core.errors import Refused
    from distribute.core.ids import BatchId
    from distribute.core.log.recorded import Recorded
    from distribute.core.projections.course import Course
    from distribute.ports import Cluster

ACTS: Mapping[type[Event], str] = {
    RetryRequested: "had jobs of {batch} run again",
    Held: "held {batch}",
    HoldReleased: "released {batch}",
    Edited: "edited {batch}",
    MoveRequested: "moved a job of {batch}",
    Reprioritized: "changed the priority of {batch}",
}
"""What people do to batches that go on. Not a kill: whoever ends a batch does the same."""


class Seen(NamedTuple):
    """How a batch stood when a person decided what becomes of it, as of the event at `seq`."""

    course: Course
    seq: int

    def is_before(self, recorded: Recorded) -> bool:
        """Did somebody do this to the batch after the person saw it?"""
        return recorded.seq > self.seq and type(recorded.event) in ACTS


async def standing_of(cluster: Cluster, queries: Queries, batch: BatchId) -> tuple[Seen, BatchDocument]:
    """How a batch stands, and the same as people are shown it.

    If the scheduler says so, none of its events are read: it can be deleted even if its archive is gone.

    Raises:
        Refused: there is no such batch.
    """
    told = await ask_standing(cluster, batch)
    if told is not None and told.document is not None:
        return Seen(told.course, told.seq), told.document
    seen = Seen(*await read_standing(cluster, batch))
    return seen, await queries.batch(batch, most=0)


async def refuse_acts(cluster: Cluster, batch: BatchId, seen: Seen, until: int, otherwise: str) -> None:
    """Raise `Refused` if somebody did something to a batch after a person saw it, up to a sequence.

    `otherwise` says what the refusal comes to.
    """
    if until <= seen.seq:
        return
    following = cluster.log.follow(after=seen.seq, only=Only(scope=batch), until=until)
    async with aclosing(following) as said:
        async for events in said:
            for recorded in events:
                if seen.is_before(recorded):
                    raise acted(batch, recorded, otherwise)


def acted(batch: BatchId, recorded: Recorded, otherwise: str) -> Refused:
    """The error for a batch to which somebody did something while a person decided."""
    event = recorded.event
    return changed_meanwhile(batch, event.author, ACTS[type(event)], recorded.time, otherwise)
