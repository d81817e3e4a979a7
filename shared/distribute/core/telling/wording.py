"""What the sentences about events share: how they are worded, and what is known beside the events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from distribute.core.ids import BatchId

MAX_REASON = 300
"""Max. characters of a reason in a sentence. An event may carry 10,000."""


class Wording(NamedTuple):
    """What a reader sees of times and names.

    `moment` writes a time. Jobs of `batch` are called by their own names, all others by their whole ones.
    """

    moment: Callable[[datetime], str]
    batch: BatchId | None = None


class Known(NamedTuple):
    """What the fold knows of an event beside the event's own words. By default, nothing.

    `jobs`: how many the batch has. `ends`: how many jobs of a batch that is over succeeded, failed and were
    killed. `was_killed`: the attempt that finished had been killed. `before`: what the node that joined was
    before, None: not there. `silent_s`: for how long it was silent. `attempts`: how many a lost node has.
    `stays`: how many jobs of the batch that was replaced are kept, and how many go on.
    """

    jobs: int | None = None
    ends: tuple[int, int, int] | None = None
    was_killed: bool = False
    before: str | None = None
    silent_s: float | None = None
    attempts: int = 0
    stays: tuple[int, int] | None = None


NOTHING = Known()


def because(reason: str | None) -> str:
    """A reason as the end of a sentence, cut if it is long."""
    if not reason:
        return ""
    return f": {reason}" if len(reason) <= MAX_REASON else f": {reason[:MAX_REASON]}…"
