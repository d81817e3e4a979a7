"""The log's events as a stream for other programs, which can resume it where they were."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from distribute.by_time import between
from distribute.client.nearest import nearest
from distribute.core.errors import InputError
from distribute.core.log.events import KINDS, type_of
from distribute.core.log.recorded import Recorded
from distribute.ports import Only
from distribute.saved.log import SavedLog
from distribute.whole_log import WholeLog

if TYPE_CHECKING:
    from distribute.ports import Cluster, EventLog

EVENT_TYPES = tuple(sorted(map(type_of, KINDS)))
"""The types of all events."""


def check_types(option: str, types: Sequence[str]) -> frozenset[str]:
    """The types of events that an option names.

    Raises:
        InputError: no event is of one of these types.
    """
    for unknown in sorted(set(types) - set(EVENT_TYPES)):
        near = nearest(unknown, EVENT_TYPES)
        meant = f"did you mean {near!r}? There" if near is not None else "there"
        raise InputError(
            f"{option}: no event is of the type {unknown!r}; {meant} are {', '.join(EVENT_TYPES)}"
        )
    return frozenset(types)


async def stream(
    cluster: Cluster, after: int, types: frozenset[str] | None = None, *, follow: bool = False
) -> AsyncGenerator[Recorded, None]:
    """The events behind a sequence, in order, each once; with `follow`, on and on, through outages.

    Raises:
        InputError: the log does not go as far as that sequence.
        LogReplaced: the log was restored from an older copy meanwhile.
    """
    end = await cluster.log.last_seq()
    if after > end:
        raise InputError(
            f"the log ends at sequence {end}, before {after}: was it restored from an older copy, or is this "
            "another cluster?"
        )
    if after == end and not follow:
        return
    reading = cluster.log.follow(after=after, only=Only(types=types), until=None if follow else end)
    async with aclosing(reading):
        async for events in reading:
            for recorded in events:
                yield recorded


async def last_before(log: EventLog, time: float) -> int:
    """A sequence up to which all events were logged before a time, and behind which none was.

    `time` is in seconds since 1970, by the log's clock. This reads some twenty events, and a saved log, or an
    archive in which the moment may lie, once.
    """
    if isinstance(log, SavedLog):
        return log.between(time)[0]
    if isinstance(log, WholeLog):
        return await log.last_before(time)
    return (await between(log, time))[0]
