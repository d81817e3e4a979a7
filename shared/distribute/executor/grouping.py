"""How many calls a job gets. To start a job takes a node some hundredths of a second, which an empty function
does not.

The first calls of a function are a job each. What these show says how many of the others fit in a job.
"""

from __future__ import annotations

from collections.abc import Sequence

from distribute.executor.batches import BUDGET_S
from distribute.executor.calls import Call

PROBES = 8
"""So many calls of an unknown function are sent at once, or as many as the cluster can run at once. The
others wait until something is known of these."""
LONG_S = 0.5
"""A function that takes longer gets a job for each call."""
TARGET_S = BUDGET_S / 2
"""So long the calls of a job should take together."""
MAX_TOGETHER = 1000


def jobs_of(calls: Sequence[Call], seconds: float | None, slots: int) -> list[Sequence[Call]]:
    """Distribute calls over jobs.

    Args:
        calls: those of one function, or with the same `together`.
        seconds: how long one takes. None: it is not known, or differs.
        slots: so many jobs the cluster can run at once.
    """
    together = calls[0].together
    if together is None:
        together = 1 if seconds is None else fitting(len(calls), seconds, slots)
    return [calls[at : at + together] for at in range(0, len(calls), together)]


def fitting(count: int, seconds: float, slots: int) -> int:
    """How many of `count` calls fit in a job, if one takes so many seconds.

    As many as take `TARGET_S`, and more if each slot would otherwise get more than two jobs: a job hands back
    what it did not begin within its budget.
    """
    if seconds > LONG_S:
        return 1
    by_time = int(TARGET_S / seconds) if seconds * MAX_TOGETHER > TARGET_S else MAX_TOGETHER
    by_slots = -(-count // (2 * max(1, slots)))
    return max(1, min(MAX_TOGETHER, max(by_time, by_slots)))
