"""What a small step costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine

_ROUNDS = 10
_TIMES = 30


async def cpu_s_of(step: Callable[[], Coroutine[None, None, object]]) -> float:
    """The processor time that `step` takes, in seconds: its mean in the cheapest of ten rounds.

    Python may collect garbage in any of them, which takes longer than all the steps.
    """
    found = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        for _ in range(_TIMES):
            await step()
        found.append((time.process_time() - begun) / _TIMES)
    return min(found)
