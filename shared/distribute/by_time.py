"""Where in a log a moment lies, found by halves."""

from __future__ import annotations

from contextlib import aclosing

from distribute.ports import EventLog, Raw

ENDLESS = 2**63 - 1
"""The sequence before the next event, if there is none."""


async def between(log: EventLog, time: float) -> tuple[int, int]:
    """The sequence of the last event that was logged before a time (0: none), and that before the next event.

    `time` is in seconds since 1970, by the log's clock. Takes some twenty requests, however much was removed
    from the log.
    """
    low, high, before_next = 0, await log.last_seq(), ENDLESS
    while low < high:
        middle = (low + high + 1) // 2
        found = await _first(log, middle, until=high)
        if found is not None and found.time < time:
            low = found.seq
            continue
        high = middle - 1
        if found is not None:
            before_next = found.seq - 1
    return low, before_next


async def _first(log: EventLog, seq: int, *, until: int) -> Raw | None:
    """The first event from one sequence to another. None: what was there is no event, or was removed."""
    try:
        return await log.get_raw(seq)
    except KeyError:
        pass
    async with aclosing(log.follow_raw(after=seq, until=until)) as reading:
        async for raws in reading:
            return raws[0]
    return None
