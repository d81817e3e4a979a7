"""Ask the broker until it answers, however long an outage lasts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from distribute.core.errors import Unreachable
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import ApiError

_log = logging.getLogger(__name__)

STALLED_AFTER_S = 60.0
"""Callers that can do without an answer give up a reachable broker after this many seconds of silence."""

_TOLD_AFTER_S = 10.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_TEMPORARY = 503

T = TypeVar("T")


async def patiently(
    connection: Connection, ask: Callable[[], Awaitable[T]], *, give_up_after_s: float = STALLED_AFTER_S
) -> T:
    """Call `ask` until it returns. Only time while the broker is reachable counts towards giving up.

    Raises:
        Unreachable: the broker is reachable, but does not answer for `give_up_after_s` seconds.
        ApiError: JetStream refused.
    """
    pause_s, silent_s, told = _FIRST_PAUSE_S, 0.0, False
    while True:
        await connection.returned()
        asked_at = time.monotonic()
        try:
            return await ask()
        except (ApiError, Unreachable) as error:
            if isinstance(error, ApiError) and error.code != _TEMPORARY:
                raise
            if connection.connected and silent_s >= give_up_after_s:
                raise
            if silent_s >= _TOLD_AFTER_S and not told:
                _log.warning("%s; asking again until there is an answer", error)
                told = True
        # A broker that is starting sends no signal when it is ready, so we pause and ask again.
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if connection.connected:
            silent_s += time.monotonic() - asked_at
