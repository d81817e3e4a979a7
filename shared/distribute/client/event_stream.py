"""The log's events as a stream for other programs, which can resume it where they were."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from distribute.client.nearest import nearest
from distribute.core.errors import InputError
from distribute.core.events import KINDS, type_of
from distribute.core.recorded import Recorded
from distribute.ports import Only
from distribute.saved.log import SavedLog

if TYPE_CHECKING:
    from distribute.ports import Cluster, EventLog, Raw

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

    `time` is in seconds since 1970, by the log's clock. This reads some twenty events, or a saved log once.
    """
    if isinstance(log, SavedLog):
        return log.last_before(time)
    low, high = 0, await log.last_seq()
    while low < high:
        middle = (low + high + 1) // 2
        found = await _last_up_to(log, middle, behind=low)
        if found is None or found.time < time:
            low = middle
        else:
            high = found.seq - 1
    return low


async def _last_up_to(log: EventLog, seq: int, *, behind: int) -> Raw | None:
    """The last event up to a sequence. None: there is none behind `behind`, only what is no event."""
    while seq > behind:
        try:
            return await log.get_raw(seq)
        except KeyError:
            seq -= 1
    return None
